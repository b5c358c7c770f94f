"""What the soak shares: the loop that is fast enough for it."""

from __future__ import annotations

from typing import Any

import pytest

from .process import allow_descriptors

__all__ = ["anyio_backend"]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The callers and the provider run on uvloop, so that they keep up with the gateway."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True, scope="session")
def _descriptors() -> None:
    """This process holds open as many sockets as the gateway's."""
    allow_descriptors()
