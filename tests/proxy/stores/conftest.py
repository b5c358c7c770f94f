"""Fixtures that run a test with `scene` or `store` once for each kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standby.proxy.stores.store import Store

from tests.proxy.stores.scenes import KINDS, Scene, scene_of

__all__ = ["scene", "store"]


@pytest.fixture(params=KINDS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """A store of each kind, with its clock. Only the kind that needs a server starts one."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    scene = scene_of(request.param, tmp_path / "store.db", server)
    yield scene
    await scene.store.aclose()


@pytest.fixture
def store(scene: Scene) -> Store:
    """The store of the scene."""
    return scene.store
