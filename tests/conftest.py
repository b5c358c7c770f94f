"""What every test shares."""

from __future__ import annotations

import pytest

__all__ = ["anyio_backend", "pytest_collection_modifyitems"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that uvicorn serves on."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run last what keeps one real event loop for the whole session.

    anyio gives every later test that loop, and one whose loop has a time of its own would then really wait.
    """
    items.sort(key=lambda item: item.nodeid.startswith(("tests/acceptance/", "tests/soak/")))
