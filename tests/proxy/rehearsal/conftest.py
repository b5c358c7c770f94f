"""What the tests of the rehearsal share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from standby.proxy.rehearsal.simulator import Simulator

__all__ = ["alpha"]


@pytest.fixture
async def alpha() -> AsyncIterator[Simulator]:
    """One provider that does nothing wrong yet."""
    async with Simulator("alpha") as provider:
        yield provider
