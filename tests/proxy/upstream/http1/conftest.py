"""Everything about a connection is tried under both event loops."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["anyio_backend"]


@pytest.fixture(scope="session", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Asyncio's own loop, and the one that is served on."""
    return "asyncio", {"use_uvloop": request.param}
