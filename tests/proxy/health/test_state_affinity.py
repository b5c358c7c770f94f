"""Which provider issued which state: what one process remembers, and what it shares with others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from standby.proxy.health.state_affinity import KEPT, QUEUED, StateAffinity
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import Issued
from standby.proxy.stores.store import StoreDown
from typing_extensions import override

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Shared(Memory):
    """A store in memory that several workers use, and that is down at times."""

    shared = True
    down = False

    @override
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        if self.down:
            raise StoreDown("down")
        await super().put_issued(issued)

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        if self.down:
            raise StoreDown("down")
        return await super().issuers(keys)


def provider_of(affinity: StateAffinity, key: str) -> str | None:
    issued = affinity.issuer_of(key)
    return None if issued is None else issued.provider


async def test_an_id_leads_to_its_issuer() -> None:
    """Relayed ids are remembered; the last provider wins; another id is unknown."""
    affinity = StateAffinity()
    affinity.remember("r1", "openai")
    affinity.remember("r2", "azure", "checkout")
    assert affinity.issuer_of("r2") == Issued("r2", "azure", "checkout")
    assert provider_of(affinity, "r1") == "openai"
    assert [provider_of(affinity, key) for key in ("r3", "R1", "")] == [None] * 3
    affinity.remember("r1", "azure")
    assert provider_of(affinity, "r1") == "azure"


async def test_memory_is_bounded() -> None:
    """The oldest ids are evicted first, and of those that wait for the store the oldest are dropped."""
    affinity, store = StateAffinity(), Shared()
    for number in range(KEPT + 10):
        affinity.remember(f"r{number}", "p", "", store)
    assert provider_of(affinity, "r9") is None
    assert provider_of(affinity, "r10") == "p"
    await affinity.aclose()
    known = await store.issuers([f"r{KEPT + 9}", f"r{KEPT + 10 - QUEUED}", f"r{KEPT + 9 - QUEUED}"])
    assert [issued.key for issued in known] == [f"r{KEPT + 9}", f"r{KEPT + 10 - QUEUED}"]


async def test_another_worker_asks_the_store() -> None:
    """What one worker has relayed, another finds in a store that both share, and then remembers."""
    store, first, second = Shared(), StateAffinity(), StateAffinity()
    first.remember("r1", "p", "checkout", store)
    first.remember("r2", "p", "checkout", store)
    await first.aclose()
    await second.look_up(["r1", "r3"], store)
    assert second.issuer_of("r1") == Issued("r1", "p", "checkout")
    assert second.issuer_of("r2") is None
    assert second.issuer_of("r3") is None
    store.down = True
    await second.look_up(["r1"], store)  # known by now
    with pytest.raises(StoreDown):
        await second.look_up(["r1", "r2"], store)


async def test_a_store_of_one_process_is_not_asked() -> None:
    """What is in the memory of this process anyway is not written and not looked up there."""
    affinity, store = StateAffinity(), Memory()
    affinity.remember("r1", "p", "", store)
    await affinity.aclose()
    assert await store.issuers(["r1"]) == []


async def test_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is written once the store answers again."""
    monkeypatch.setattr("standby.proxy.health.state_affinity._RETRY", 0.0)
    affinity, store = StateAffinity(), Shared()
    store.down = True
    affinity.remember("r1", "p", "", store)
    for _ in range(3):
        await asyncio.sleep(0)
    store.down = False
    for _ in range(10):
        await asyncio.sleep(0)
    assert affinity.waiting == 0
    assert await store.issuers(["r1"])


async def test_an_id_that_two_owners_have() -> None:
    """An id that a server gives to everybody belongs to nobody, and the last provider has it."""
    affinity, store = StateAffinity(), Shared()
    for owner in ("ann", "ben", "ann"):
        affinity.remember("msg_0", "p", owner, store)
    assert affinity.issuer_of("msg_0") == Issued("msg_0", "p", "")
    await affinity.aclose()
    assert await store.issuers(["msg_0"]) == [Issued("msg_0", "p", "")]


async def test_what_cannot_be_written() -> None:
    """An error of the store's that is no outage is logged, and what comes after is written."""

    class Odd(Shared):
        @override
        async def put_issued(self, issued: Sequence[Issued]) -> None:
            if issued[0].key == "odd":
                raise ValueError("odd")
            await super().put_issued(issued)

    affinity, store = StateAffinity(), Odd()
    for key in ("odd", "r1"):
        affinity.remember(key, "p", "", store)
        for _ in range(5):
            await asyncio.sleep(0)
    assert affinity.waiting == 0
    assert await store.issuers(["r1"])


async def test_one_store_that_is_down_keeps_nothing_from_another() -> None:
    """After a reload to another store, what the old one does not take waits alone, and not for ever."""
    affinity, old, new = StateAffinity(), Shared(), Shared()
    old.down = True
    affinity.remember("r1", "p", "", old)
    affinity.remember("r2", "p", "", new)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (affinity.waiting, len(await new.issuers(["r2"]))) == (1, 1)
    await affinity.aclose()
    assert affinity.waiting == 0


def test_a_loop_that_was_closed() -> None:
    """What a loop left unwritten as it closed is written by the next one."""
    affinity, store = StateAffinity(), Shared()

    async def remember(key: str) -> None:
        affinity.remember(key, "p", "", store)

    async def settle() -> None:
        affinity.remember("r2", "p", "", store)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(remember("r1"))
    asyncio.run(settle())
    assert len(asyncio.run(store.issuers(["r1", "r2"]))) == 2
