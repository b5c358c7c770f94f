"""Fixtures of the simulator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest
from standby.proxy.rehearsal.simulator import Simulator

__all__ = ["alpha", "claude", "gpt"]


@pytest.fixture
async def alpha() -> AsyncIterator[Simulator]:
    """One provider without a fault."""
    async with Simulator("alpha") as provider:
        yield provider


@pytest.fixture
async def gpt(alpha: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    """The openai SDK, without retries."""
    async with openai.AsyncOpenAI(base_url=alpha.url, api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(alpha: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The anthropic SDK, without retries."""
    async with anthropic.AsyncAnthropic(base_url=alpha.origin, api_key="key", max_retries=0) as client:
        yield client
