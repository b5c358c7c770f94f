"""Runs every test of the HTTP/1.1 client under both event loops."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["anyio_backend"]


@pytest.fixture(scope="session", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop of asyncio, and uvloop, which the server uses."""
    return "asyncio", {"use_uvloop": request.param}
