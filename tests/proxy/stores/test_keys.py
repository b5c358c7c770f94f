"""Tests of virtual keys in every kind of store."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from standby.proxy.stores.records import KeyRecord
from standby.proxy.stores.store import Store

from tests.proxy.stores.scenes import LocalScene, RedisScene, Scene

__all__: list[str] = []

pytestmark = pytest.mark.anyio


def key(name: str = "checkout", **hashes: float | None) -> KeyRecord:
    table = {"pools": ["support"], "budget": [{"limit": "50.00", "window": "month"}], "disabled": False}
    return KeyRecord(name=name, hashes=hashes, table=table, created=1.5)


async def test_a_key_is_found_by_name_and_by_each_hash(store: Store) -> None:
    """A key that is being rotated is found by both hashes."""
    await store.put_key(key(old=1000.25, new=None))
    assert await store.key("checkout") == key(old=1000.25, new=None)
    assert await store.key_by_hash("old") == key(old=1000.25, new=None)
    assert await store.key_by_hash("new") == key(old=1000.25, new=None)
    assert await store.key_by_hash("checkout") is None
    assert await store.key("new") is None


async def test_writing_a_key_replaces_it(store: Store) -> None:
    """Former hashes of a key find nothing."""
    await store.put_key(key(old=None))
    await store.put_key(key(new=None))
    assert await store.key_by_hash("old") is None
    assert await store.key_by_hash("new") == key(new=None)
    assert await store.keys() == [key(new=None)]


async def test_keys_come_by_name(store: Store) -> None:
    """Keys are sorted by name."""
    for name in ("c", "a", "b"):
        await store.put_key(key(name, **{f"hash-{name}": None}))
    assert [record.name for record in await store.keys()] == ["a", "b", "c"]


async def test_a_deleted_key_is_gone(store: Store) -> None:
    """Its hashes find nothing, and deleting it again returns False."""
    await store.put_key(key(hash=None))
    await store.put_key(key("other", other=None))
    assert await store.delete_key("checkout")
    assert not await store.delete_key("checkout")
    assert await store.key("checkout") is None
    assert await store.key_by_hash("hash") is None
    assert await store.keys() == [key("other", other=None)]


async def test_a_hash_moves_with_whoever_wrote_it_last(store: Store) -> None:
    """A hash belongs to the key that was written last. Deleting the former key keeps it."""
    await store.put_key(key("first", shared=None))
    await store.put_key(key("second", shared=None))
    await store.delete_key("first")
    record = await store.key_by_hash("shared")
    assert record is not None
    assert record.name == "second"


async def test_a_damaged_record_is_that_key_s_trouble_alone(scene: Scene) -> None:
    """A record that cannot be read is shown as damaged among the others, and can be deleted."""
    store = scene.store
    for name in ("a", "b"):
        await store.put_key(key(name, **{f"hash-{name}": None}))
    damage(scene, "a")
    damaged = KeyRecord(name="a", hashes={}, damaged=True)
    assert await store.keys() == [damaged, key("b", **{"hash-b": None})]
    assert await store.key("a") == await store.key_by_hash("hash-a") == damaged
    assert await store.key_by_hash("hash-b") == key("b", **{"hash-b": None})
    assert await store.delete_key("a")
    assert await store.key_by_hash("hash-a") is None
    await store.put_key(key("a", again=None))
    assert await store.keys() == [key("a", again=None), key("b", **{"hash-b": None})]


def damage(scene: Scene, name: str) -> None:
    """Overwrites the record of a key with what is none."""
    if isinstance(scene, RedisScene):
        scene.server.say("HSET", f"{{{scene.prefix}}}:keys", name, "{")
    elif isinstance(scene, LocalScene) and scene.path is not None:
        with closing(sqlite3.connect(scene.path)) as connection, connection:
            connection.execute("UPDATE keys SET record = '[1]' WHERE name = ?", (name,))
    else:
        pytest.skip("what is kept in memory is no text")
