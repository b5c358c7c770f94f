"""Every test that asks for `scene` or `store` runs over each kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standby.proxy.stores.store import Store

from tests.proxy.stores.scenes import KINDS, Scene, scene_of
from tests.redis_server import RedisServer

__all__ = ["scene", "store"]


@pytest.fixture(params=KINDS)
async def scene(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer
) -> AsyncIterator[Scene]:
    """A store of each kind, and its clock."""
    scene = scene_of(request.param, tmp_path / "store.db", redis_server)
    yield scene
    await scene.store.aclose()


@pytest.fixture
def store(scene: Scene) -> Store:
    """The store of the scene."""
    return scene.store
