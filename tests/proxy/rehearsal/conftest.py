"""Fixtures of the simulator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from standby.proxy.rehearsal.simulator import Simulator

__all__ = ["alpha"]


@pytest.fixture
async def alpha() -> AsyncIterator[Simulator]:
    """One provider without a fault."""
    async with Simulator("alpha") as provider:
        yield provider
