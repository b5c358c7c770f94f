"""A target that asked to be left alone is left alone for as long as it said, and then tried once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from standby.proxy.health.target_health import Health
from standby.proxy.rehearsal.simulator import Fault, Slow, Stall, Status

from tests.acceptance.clients import APIS, CHAT, MESSAGES, RESPONSES, Api
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front, until

__all__ = ["Timed", "timed"]

pytestmark = pytest.mark.anyio


class Timed:
    """A gateway whose health goes by `now`, and an alpha whose slow answers wait for `released`."""

    def __init__(self, stage: Scene) -> None:
        self.stage = stage
        self.now = 1000.0
        self.released = asyncio.Event()
        stage.gateway.health = Health(clock=lambda: self.now, jitter=lambda: 1.0)

        async def wait(seconds: float) -> None:
            del seconds
            await self.released.wait()

        stage.alpha.sleep = wait

    @property
    def asked(self) -> int:
        """How many requests alpha has had."""
        return len(self.stage.alpha.requests)

    async def served(self, api: Api = CHAT) -> str:
        """Who answers a request."""
        answer = await self.stage.raw.ask(api)
        assert answer.status == 200
        return (answer.header("x-standby-target") or "").removesuffix("_claude")

    async def start_requests(self, size: int, *, waiting: int) -> list[asyncio.Task[str]]:
        """So many requests at once, once all but those that wait are answered."""
        tasks = [asyncio.create_task(self.served()) for _ in range(size)]
        await until(lambda: sum(task.done() for task in tasks) == size - waiting)
        return tasks


@pytest.fixture
async def timed(front: Front) -> AsyncIterator[Timed]:
    """A patient gateway on a clock of ours."""
    async with scene(front, first_token="30s") as set_up:
        yield Timed(set_up)


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_retry_after_is_law(timed: Timed, api: Api) -> None:
    """A target that said Retry-After: 7 is not asked for 7 seconds."""
    timed.stage.alpha.next(Status(429, retry_after=7))
    assert await timed.served(api) == "beta"
    for passed in (0.0, 1.0, 3.5, 6.99):
        timed.now = 1000.0 + passed
        for _ in range(5):
            assert await timed.served(api) == "beta"
    assert timed.asked == 1

    timed.now = 1007.01
    assert await timed.served(api) == "alpha"


async def test_one_probe(timed: Timed) -> None:
    """After its rest a target gets one request, however many come, and all again once that one is good."""
    timed.stage.alpha.next(Status(429, retry_after=7))
    await timed.served()
    timed.now += 7.01
    timed.stage.alpha.fault = Slow(1.0, None)

    tasks = await timed.start_requests(10, waiting=1)

    assert timed.asked == 2
    timed.released.set()
    assert Counter(await asyncio.gather(*tasks)) == {"alpha": 1, "beta": 9}
    assert Counter(await asyncio.gather(*await timed.start_requests(10, waiting=0))) == {"alpha": 10}


async def test_a_probe_that_is_refused(timed: Timed) -> None:
    """A probe that is told to wait longer makes the rest longer."""
    timed.stage.alpha.next(Status(429, retry_after=7))
    timed.stage.alpha.next(Status(429, retry_after=60))
    await timed.served()
    timed.now += 7.01
    assert await timed.served() == "beta"
    for _ in range(5):
        timed.now += 11.9
        assert await timed.served() == "beta"
    assert timed.asked == 2

    timed.now += 0.6
    assert await timed.served() == "alpha"


@pytest.mark.parametrize("waits", [(7, 30), (30, 7)])
async def test_the_longest_word_counts(timed: Timed, waits: tuple[int, int]) -> None:
    """Of two answers on their way at once the longer rest counts, whichever comes last."""
    for wait in waits:
        timed.stage.alpha.next(Status(429, retry_after=wait) & Slow(1.0, None))
    tasks = [asyncio.create_task(timed.served()) for _ in range(2)]
    await timed.stage.alpha.wait_for(lambda: timed.asked == 2)
    timed.released.set()
    await asyncio.gather(*tasks)

    timed.now += 29.9
    assert await timed.served() == "beta"
    timed.now += 0.2
    assert await timed.served() == "alpha"


async def test_a_probe_whose_client_leaves(timed: Timed) -> None:
    """A probe that its client gave up proves nothing, and the next request is the probe."""
    timed.stage.alpha.next(Status(429, retry_after=7))
    await timed.served()
    timed.now += 7.01
    timed.stage.alpha.next(Stall())
    probe = asyncio.create_task(timed.served())
    await timed.stage.alpha.wait_for(lambda: timed.asked == 2)
    assert await timed.served() == "beta"

    probe.cancel()

    await timed.stage.alpha.wait_for(lambda: timed.stage.alpha.requests[-1].gone)
    await until(lambda: timed.stage.front.under_way == 0)
    assert await timed.served() == "alpha"


@pytest.mark.parametrize(
    "retry_after", ["-1", "0", "banana", "", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400]
)
async def test_a_retry_after_that_says_nothing(timed: Timed, retry_after: str) -> None:
    """A Retry-After that makes no sense rests the target for a while, which is bounded."""
    timed.stage.alpha.next(Status(429, retry_after=retry_after))
    await timed.served()
    timed.now += 4.9
    assert await timed.served() == "beta"

    timed.now += 300.0
    assert await timed.served() == "alpha"


async def test_a_rest_is_the_accounts(timed: Timed) -> None:
    """A rest holds for every operation of the target, and not for a target of another account."""
    timed.stage.alpha.next(Status(429, retry_after=7))
    await timed.served(CHAT)

    assert await timed.served(RESPONSES) == "beta"
    assert await timed.served(MESSAGES) == "alpha"


@pytest.mark.parametrize(
    "fault", [Status(401), Status(403), Status(402), Status(429, error_code="insufficient_quota")]
)
async def test_what_waiting_does_not_mend(timed: Timed, fault: Fault) -> None:
    """A target that refuses our credential, or has no quota left, is not asked for minutes."""
    timed.stage.alpha.next(fault)
    await timed.served()
    timed.now += 299.0
    assert await timed.served() == "beta"
    timed.now += 1.1
    assert await timed.served() == "alpha"
    assert timed.asked == 2


@pytest.mark.parametrize("fault", [Status(500), Status(503), Status(529)], ids=str)
async def test_a_dead_target_is_asked_little(timed: Timed, fault: Fault) -> None:
    """After five failures a target is asked with one probe at a time, ever more seldom."""
    timed.stage.alpha.fault = fault
    for _ in range(20):
        assert await timed.served() == "beta"
    assert timed.asked == 5
    for probes, rest in enumerate((5.0, 10.0, 20.0, 40.0), 1):
        timed.now += rest - 0.1
        await timed.served()
        assert timed.asked == 4 + probes
        timed.now += 0.2
        for _ in range(5):
            await timed.served()
        assert timed.asked == 5 + probes


async def test_a_breaker_closes_after_two_good_probes(timed: Timed) -> None:
    """A target that failed gets one request at a time until two answers were good, and then all again."""
    timed.stage.alpha.next(Status(500), times=5)
    for _ in range(5):
        await timed.served()
    timed.now += 5.1
    timed.stage.alpha.fault = Slow(1.0, None)
    for round_ in range(2):
        timed.released.clear()
        tasks = await timed.start_requests(5, waiting=1)
        assert timed.asked == 6 + round_
        timed.released.set()
        assert Counter(await asyncio.gather(*tasks)) == {"alpha": 1, "beta": 4}

    assert Counter(await asyncio.gather(*await timed.start_requests(5, waiting=0))) == {"alpha": 5}


async def test_a_breaker_is_the_operations(timed: Timed) -> None:
    """A target that fails for one operation is still asked for the others."""
    timed.stage.alpha.next(Status(500), times=5)
    for _ in range(6):
        assert await timed.served(CHAT) == "beta"

    assert await timed.served(RESPONSES) == "alpha"
