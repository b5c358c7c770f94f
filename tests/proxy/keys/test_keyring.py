"""From a key's hash to its caller."""

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
    """A store that counts its questions, and can be down or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.down = False
        self.began, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        self.asked.append(digest)
        self.began.set()
        await self.open.wait()
        if self.down:
            raise StoreDown("down")
        return await super().key_by_hash(digest)


class Clock:
    """A time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def routes() -> Routes:
    """A file with one key and one team."""
    return routes_to("http://127.0.0.1:9/v1", top='stack = ["auth", "failover"]', tables=PEOPLE)


@pytest.fixture
def clock() -> Clock:
    """The keyring's time."""
    return Clock()


@pytest.fixture
async def store() -> Counting:
    """A store with one key of the team."""
    store = Counting()
    await store.put_key(record())
    return store


def record(**more: Any) -> KeyRecord:
    """The key in the store."""
    table: dict[str, Any] = {"pools": ["support"], "team": "web", **more.pop("table", {})}
    hashes: dict[str, float | None] = more.get("hashes", {STORE[0]: None})
    return KeyRecord(name="stored", hashes=hashes, table=table)


def name(principal: Principal | None) -> str | None:
    """The name of the key that was found."""
    return None if principal is None else principal.name("key")


async def test_the_file_comes_first(routes: Routes, store: Counting, clock: Clock) -> None:
    """What it knows nobody else is asked, and the same caller is the same object."""
    keyring = Keyring(routes, clock=clock)
    found = await keyring.find((FILE,), store)
    assert name(found) == "own"
    assert store.asked == []
    assert await keyring.find((FILE,), None) is found
    assert await keyring.find(STORE, None) is None


async def test_the_store_knows_the_others(routes: Routes, store: Counting, clock: Clock) -> None:
    """With the chain of the file above them."""
    found = await Keyring(routes, clock=clock).find(STORE, store)
    assert found is not None
    assert (found.name("key"), found.name("team")) == ("stored", "web")


@pytest.mark.parametrize("known", [True, False])
async def test_an_answer_counts_for_its_time(
    routes: Routes, store: Counting, clock: Clock, known: bool
) -> None:
    """Of a key, and of a hash that is no key's; not a moment longer, counted from the question."""
    keyring = Keyring(routes, clock=clock)
    asked = STORE if known else digests("nobody's")
    first = await keyring.find(asked, store)
    clock.now += TTL - 0.001
    assert await keyring.find(asked, store) is first
    assert len(store.asked) == 1
    clock.now += 0.001
    await keyring.find(asked, store)
    assert len(store.asked) == 2


async def test_time_counts_from_the_question(routes: Routes, store: Counting, clock: Clock) -> None:
    """A slow answer is not younger than what it was read from."""
    keyring = Keyring(routes, clock=clock)
    store.open.clear()
    asking = asyncio.create_task(keyring.find(STORE, store))
    await store.began.wait()
    clock.now += TTL
    store.open.set()
    assert await asking is not None
    await keyring.find(STORE, store)
    assert len(store.asked) == 2


@pytest.mark.parametrize("change", ["disable", "delete", "rotate"])
async def test_a_revoked_key_ends_within_its_time(
    routes: Routes, store: Counting, clock: Clock, change: str
) -> None:
    """Whatever way it was revoked, TTL after it nothing more is admitted."""
    keyring = Keyring(routes, clock=clock)
    assert await keyring.find(STORE, store) is not None
    if change == "disable":
        await store.put_key(record(table={"disabled": True}))
    elif change == "delete":
        await store.delete_key("stored")
    else:
        await store.put_key(record(hashes={STORE[0]: store.now() - 1, digests("new")[0]: None}))
    clock.now += TTL
    found = await keyring.find(STORE, store)
    assert found is None or found.ended(store.now()) == "api_key_revoked"


async def test_all_who_ask_at_once_ask_one_question(routes: Routes, store: Counting, clock: Clock) -> None:
    """And one of them who leaves does not take the answer from the others."""
    keyring = Keyring(routes, clock=clock)
    store.open.clear()
    asking = [asyncio.create_task(keyring.find(STORE, store)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    store.open.set()
    found = await asyncio.gather(*asking[1:])
    assert {name(each) for each in found} == {"stored"}
    assert store.asked == [STORE[0]]


async def test_a_store_that_is_down_is_not_a_stranger(routes: Routes, store: Counting, clock: Clock) -> None:
    """What it said counts for its time; after that nobody knows. The file is still known."""
    keyring = Keyring(routes, clock=clock)
    await keyring.find(STORE, store)
    store.down = True
    assert name(await keyring.find(STORE, store)) == "stored"
    clock.now += TTL
    for asked in (STORE, digests("nobody's")):
        with pytest.raises(StoreDown):
            await keyring.find(asked, store)
    assert name(await keyring.find((FILE,), store)) == "own"


async def test_grace_is_for_keys_that_were_known(routes: Routes, store: Counting, clock: Clock) -> None:
    """With it the store's last word on a key counts longer, while it is down; a stranger stays unknown."""
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
    """Once the store answers again its answer counts, whatever was said before."""
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
    """What the store said counts as long as before, by the rules of the new one; another store has said
    nothing."""
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
    """Keys made before there was a pepper go on working, and both answers are kept."""
    keyring = Keyring(routes, clock=clock)
    for _ in range(2):
        assert name(await keyring.find(digests("in-the-store", "pepper"), store)) == "stored"
    assert store.asked == list(digests("in-the-store", "pepper"))


async def test_strangers_are_forgotten_before_keys(routes: Routes, store: Counting, clock: Clock) -> None:
    """Memory is bounded, and guessing pushes no key out of it."""
    keyring = Keyring(routes, clock=clock)
    await keyring.find(STORE, store)
    for number in range(CAPACITY + 10):
        await keyring.find((f"sha256:{number:064x}",), store)
    asked = len(store.asked)
    await keyring.find(STORE, store)
    await keyring.find((f"sha256:{CAPACITY + 9:064x}",), store)
    assert len(store.asked) == asked
    await keyring.find((f"sha256:{9:064x}",), store)  # the oldest is forgotten
    assert len(store.asked) == asked + 1


async def test_a_key_whose_team_is_gone_is_unreadable(routes: Routes, store: Counting, clock: Clock) -> None:
    """Neither free of its team's rules nor a stranger; and nothing of it is remembered."""
    await store.put_key(record(table={"team": "gone"}))
    keyring = Keyring(routes, clock=clock)
    for _ in range(2):
        with pytest.raises(Unreadable, match=r'key stored .* no team "gone"'):
            await keyring.find(STORE, store)
    await store.put_key(record())
    assert name(await keyring.find(STORE, store)) == "stored"


async def test_a_host_needs_no_routes(store: Counting, clock: Clock) -> None:
    """Without a file there are only the keys of the store, and no teams."""
    keyring = Keyring(None, clock=clock)
    with pytest.raises(Unreadable):
        await keyring.find(STORE, store)
    await store.put_key(KeyRecord(name="stored", hashes={STORE[0]: None}, table={"pools": ["support"]}))
    assert name(await keyring.find(STORE, store)) == "stored"


async def test_a_store_that_answers_wrongly_is_not_believed(routes: Routes, clock: Clock) -> None:
    """A record without the hash that was asked for opens nothing."""

    class Confused(Counting):
        @override
        async def key_by_hash(self, digest: str) -> KeyRecord | None:
            return record()

    store: Store = Confused()
    assert await Keyring(routes, clock=clock).find(digests("another"), store) is None
