"""Tests of Keyring: the lookup of a caller by the hash of a key."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from standby.proxy.config import Routes
from standby.proxy.keys.credentials import digests
from standby.proxy.keys.keyring import CAPACITY, TTL, Keyring, Unreadable
from standby.proxy.keys.principal import Principal
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import KeyRecord
from standby.proxy.stores.store import Store, StoreDown
from typing_extensions import override

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

FILE: Final = digests("in-the-file")[0]
STORE: Final = digests("in-the-store")
PEOPLE: Final = f'[teams.web]\n[keys.own]\nhash = "{FILE}"\npools = ["support"]'


class Counting(Memory):
    """A store that records its lookups, and can be down or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[str] = []
        self.down = False
        self.began, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        self.lookups.append(digest)
        self.began.set()
        await self.open.wait()
        if self.down:
            raise StoreDown("down")
        return await super().key_by_hash(digest)


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def routes() -> Routes:
    """A configuration with one key and one team."""
    return routes_to("http://127.0.0.1:9/v1", top='stack = ["auth", "failover"]', tables=PEOPLE)


@pytest.fixture
def clock() -> Clock:
    """The keyring's clock."""
    return Clock()


@pytest.fixture
async def store() -> Counting:
    """A store with one key of the team."""
    store = Counting()
    await store.put_key(record())
    return store


def record(**more: Any) -> KeyRecord:
    """The record of the stored key."""
    table: dict[str, Any] = {"pools": ["support"], "team": "web", **more.pop("table", {})}
    hashes: dict[str, float | None] = more.get("hashes", {STORE[0]: None})
    return KeyRecord(name="stored", hashes=hashes, table=table)


def name(principal: Principal | None) -> str | None:
    """The name of the caller's key, or None."""
    return None if principal is None else principal.name("key")


async def test_the_file_comes_first(routes: Routes, store: Counting, clock: Clock) -> None:
    """A key of routes.toml is found without the store, and its caller is always the same object."""
    keyring = Keyring(routes, clock=clock)
    caller = await keyring.find((FILE,), store)
    assert name(caller) == "own"
    assert store.lookups == []
    assert await keyring.find((FILE,), None) is caller
    assert await keyring.find(STORE, None) is None


async def test_the_store_knows_the_others(routes: Routes, store: Counting, clock: Clock) -> None:
    """A stored key has the scopes that routes.toml defines."""
    caller = await Keyring(routes, clock=clock).find(STORE, store)
    assert caller is not None
    assert (caller.name("key"), caller.name("team")) == ("stored", "web")


@pytest.mark.parametrize("known", [True, False])
async def test_an_answer_counts_for_its_time(
    routes: Routes, store: Counting, clock: Clock, known: bool
) -> None:
    """Known and unknown hashes are cached for exactly TTL seconds from the start of the lookup."""
    keyring = Keyring(routes, clock=clock)
    requested = STORE if known else digests("nobody's")
    first = await keyring.find(requested, store)
    clock.now += TTL - 0.001
    assert await keyring.find(requested, store) is first
    assert len(store.lookups) == 1
    clock.now += 0.001
    await keyring.find(requested, store)
    assert len(store.lookups) == 2


async def test_time_counts_from_the_question(routes: Routes, store: Counting, clock: Clock) -> None:
    """The age of a cached result counts from the start of the lookup."""
    keyring = Keyring(routes, clock=clock)
    store.open.clear()
    pending = asyncio.create_task(keyring.find(STORE, store))
    await store.began.wait()
    clock.now += TTL
    store.open.set()
    assert await pending is not None
    await keyring.find(STORE, store)
    assert len(store.lookups) == 2


@pytest.mark.parametrize("change", ["disable", "delete", "rotate"])
async def test_a_revoked_key_ends_within_its_time(
    routes: Routes, store: Counting, clock: Clock, change: str
) -> None:
    """A disabled, deleted or rotated key is not accepted after TTL seconds."""
    keyring = Keyring(routes, clock=clock)
    assert await keyring.find(STORE, store) is not None
    if change == "disable":
        await store.put_key(record(table={"disabled": True}))
    elif change == "delete":
        await store.delete_key("stored")
    else:
        await store.put_key(record(hashes={STORE[0]: store.now() - 1, digests("new")[0]: None}))
    clock.now += TTL
    caller = await keyring.find(STORE, store)
    assert caller is None or caller.ended(store.now()) in {"api_key_disabled", "api_key_revoked"}


async def test_all_who_ask_at_once_ask_one_question(routes: Routes, store: Counting, clock: Clock) -> None:
    """Concurrent requests share one lookup, which a cancelled request does not stop."""
    keyring = Keyring(routes, clock=clock)
    store.open.clear()
    pending = [asyncio.create_task(keyring.find(STORE, store)) for _ in range(50)]
    await asyncio.sleep(0)
    pending[0].cancel()
    await asyncio.sleep(0)
    store.open.set()
    callers = await asyncio.gather(*pending[1:])
    assert {name(caller) for caller in callers} == {"stored"}
    assert store.lookups == [STORE[0]]


async def test_a_store_that_is_down_is_not_a_stranger(routes: Routes, store: Counting, clock: Clock) -> None:
    """While the store is down, cached results count for TTL seconds; after that StoreDown is raised."""
    keyring = Keyring(routes, clock=clock)
    await keyring.find(STORE, store)
    store.down = True
    assert name(await keyring.find(STORE, store)) == "stored"
    clock.now += TTL
    for requested in (STORE, digests("nobody's")):
        with pytest.raises(StoreDown):
            await keyring.find(requested, store)
    assert name(await keyring.find((FILE,), store)) == "own"


async def test_grace_is_for_keys_that_were_known(routes: Routes, store: Counting, clock: Clock) -> None:
    """During an outage a known key is accepted for the grace period; an unknown hash raises StoreDown."""
    keyring = Keyring(routes, grace=60.0, clock=clock)
    await keyring.find(STORE, store)
    await keyring.find(digests("nobody's"), store)
    store.down = True
    clock.now += 59.9
    assert name(await keyring.find(STORE, store)) == "stored"
    with pytest.raises(StoreDown):
        await keyring.find(digests("nobody's"), store)
    clock.now += 0.1
    with pytest.raises(StoreDown):
        await keyring.find(STORE, store)


async def test_grace_does_not_outlive_the_outage(routes: Routes, store: Counting, clock: Clock) -> None:
    """A new result of the store replaces the earlier one, also for the grace period."""
    keyring = Keyring(routes, grace=60.0, clock=clock)
    await keyring.find(STORE, store)
    await store.delete_key("stored")
    clock.now += TTL
    assert await keyring.find(STORE, store) is None
    store.down = True
    clock.now += TTL
    with pytest.raises(StoreDown):
        await keyring.find(STORE, store)


async def test_grace_goes_on_in_the_next_configuration(routes: Routes, store: Counting, clock: Clock) -> None:
    """Cached results are kept for the next configuration, but not for another store."""
    keyring = Keyring(routes, grace=60.0, clock=clock)
    await keyring.find(STORE, store)
    store.down = True
    clock.now += TTL
    after = Keyring(routes, grace=60.0, clock=clock, records=keyring.records)
    assert name(await after.find(STORE, store)) == "stored"
    other = Counting()
    other.down = True
    with pytest.raises(StoreDown):
        await Keyring(routes, grace=60.0, clock=clock, records=keyring.records).find(STORE, other)
    assert name(await after.find(STORE, store)) == "stored"


async def test_the_plain_hash_is_asked_for_too(routes: Routes, store: Counting, clock: Clock) -> None:
    """Keys from before the pepper still work, and the results for both hashes are cached."""
    keyring = Keyring(routes, clock=clock)
    for _ in range(2):
        assert name(await keyring.find(digests("in-the-store", "pepper"), store)) == "stored"
    assert store.lookups == list(digests("in-the-store", "pepper"))


async def test_strangers_are_forgotten_before_keys(routes: Routes, store: Counting, clock: Clock) -> None:
    """The caches are bounded, and unknown hashes do not evict known keys."""
    keyring = Keyring(routes, clock=clock)
    await keyring.find(STORE, store)
    for number in range(CAPACITY + 10):
        await keyring.find((f"sha256:{number:064x}",), store)
    count = len(store.lookups)
    await keyring.find(STORE, store)
    await keyring.find((f"sha256:{CAPACITY + 9:064x}",), store)
    assert len(store.lookups) == count
    await keyring.find((f"sha256:{9:064x}",), store)  # the oldest was evicted
    assert len(store.lookups) == count + 1


async def test_a_key_whose_team_is_gone_is_unreadable(routes: Routes, store: Counting, clock: Clock) -> None:
    """A key whose team is missing raises Unreadable, and this is not cached."""
    await store.put_key(record(table={"team": "gone"}))
    keyring = Keyring(routes, clock=clock)
    for _ in range(2):
        with pytest.raises(Unreadable, match=r'key stored .* no team "gone"'):
            await keyring.find(STORE, store)
    await store.put_key(record())
    assert name(await keyring.find(STORE, store)) == "stored"


async def test_a_host_needs_no_routes(store: Counting, clock: Clock) -> None:
    """Without routes.toml only keys in the store without a team work."""
    keyring = Keyring(None, clock=clock)
    with pytest.raises(Unreadable):
        await keyring.find(STORE, store)
    await store.put_key(KeyRecord(name="stored", hashes={STORE[0]: None}, table={"pools": ["support"]}))
    assert name(await keyring.find(STORE, store)) == "stored"


async def test_a_store_that_answers_wrongly_is_not_believed(routes: Routes, clock: Clock) -> None:
    """A record that does not contain the requested hash is not accepted."""

    class Confused(Counting):
        @override
        async def key_by_hash(self, digest: str) -> KeyRecord | None:
            return record()

    store: Store = Confused()
    assert await Keyring(routes, clock=clock).find(digests("another"), store) is None
