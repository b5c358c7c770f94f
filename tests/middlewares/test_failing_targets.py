"""How often a failing target is still asked and how it comes back, on a loop where waiting takes no time."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from itertools import combinations, pairwise
from typing import Final

import httpx2
import pytest
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import FLOOR, MAX_OPEN, OPEN, SLOW_START, TRIP, Health
from standby.proxy.keys.credentials import digests

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ASK, SCRIPTED, Caller, ask, chunk, scope_of, scripted, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

MISSING: Final = b'{"error": {"code": "model_not_found", "message": "The model `model-a` does not exist."}}'
ROUTED: Final = 'stack = ["route_select", "failover"]'


def timed(**settings: str) -> Scene:
    """Two targets whose health goes by the loop's time, whose breakers are open as briefly as may be."""
    scene = Scene(2, **settings)
    scene.gateway.health = Health(asyncio.get_running_loop().time, lambda: 0.0)
    return scene


def breaker_of(scene: Scene, name: str = "a") -> str:
    """The state of a target's breaker for chat."""
    states = [each for each in scene.gateway.health.states() if each.target == name]
    return states[0].breaker if states else "closed"


class Flapping:
    """Makes target "a" fail or answer, by `fails`, and records when its breaker opened and closed."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.fails = False
        self.openings: list[float] = []
        self.closings: list[float] = []
        self.rests: list[float] = []

    async def ask(self) -> None:
        """One request, which is answered whatever target "a" does."""
        script = self.scene["a"]
        if self.fails:
            script.say(b"", status=500)
        else:
            script.say(chunk("from a"), DONE)
        asked, before = len(script.requests), breaker_of(self.scene)
        assert (await self.scene.ask()).status == 200
        now, after = asyncio.get_running_loop().time(), breaker_of(self.scene)
        if before == "closed" and after != "closed":
            self.openings.append(now)
        elif before != "closed" and after == "closed":
            self.closings.append(now)
        if after == "open" and len(script.requests) > asked:
            self.rests.append(self.scene.gateway.health.ejections()[0].left)


async def test_a_flapping_target_rests_ever_longer() -> None:
    """A target that fails every other time is ejected by that share, each time for twice as long."""
    scene = timed()
    flapping = Flapping(scene)
    for number in range(600):
        flapping.fails = number % 2 == 0
        await flapping.ask()
        await asyncio.sleep(0.5)
    assert len(flapping.rests) >= 6
    assert flapping.rests == [min(OPEN * 2**times, MAX_OPEN) / 2 for times in range(len(flapping.rests))]
    assert scene.asked["a"] < 100


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
async def test_a_flapping_target_does_not_come_and_go(seed: int, share: float) -> None:
    """However its failures fall, an ejected target is out of full traffic for at least five seconds."""
    scene = timed()
    flapping, chance = Flapping(scene), random.Random(seed)
    for _ in range(400):
        flapping.fails = chance.random() < share
        await flapping.ask()
        await asyncio.sleep(chance.choice((0.0, 0.1, 0.9)))
    turns = sorted(
        [*((at, "open") for at in flapping.openings), *((at, "closed") for at in flapping.closings)]
    )
    for (opened, one), (closed, other) in pairwise(turns):
        assert one != other
        assert one == "closed" or closed - opened >= OPEN


@pytest.mark.parametrize("limit", [0.0, 4.0], ids=["refused at once", "silent until the limit"])
async def test_a_storm_of_retries_reaches_a_dead_target_by_its_probes_only(limit: float) -> None:
    """Though each request is repeated twice, the dead target gets what came before its breaker opened, then
    single probes, ever more seldom, and the other one gets each request once."""
    scene = timed(pool='timeouts = { first_token = "4s" }')
    loop, times = asyncio.get_running_loop(), list[float]()

    async def die() -> None:
        times.append(loop.time())
        if not limit:
            raise httpx2.ConnectError("refused")
        await asyncio.sleep(1000.0)

    async def client() -> None:
        for _ in range(3):
            assert (await scene.ask()).body == chunk("from b") + DONE

    scene["a"].before = die
    clients: list[asyncio.Task[None]] = []
    for _ in range(400):
        clients.append(asyncio.create_task(client()))
        await asyncio.sleep(0.1)
    await asyncio.gather(*clients)

    assert scene.asked["b"] == 3 * len(clients)
    opened = times[TRIP - 1] + limit
    probes = [at for at in times[TRIP:] if at > opened + 0.001]
    begun_by_then = TRIP + 2 * TRIP + limit / 0.1  # by new clients, and by those whose first request failed
    assert len(times) - len(probes) <= (begun_by_then if limit else TRIP)
    gaps = [later - earlier for earlier, later in pairwise([opened, *probes])]
    assert len(gaps) >= 3
    assert all(gap >= OPEN / 2 * 2**times for times, gap in enumerate(gaps))


async def test_all_that_are_on_their_way_fail_once() -> None:
    """Of many requests at the onset of an outage each asks the dead target once, and none comes again."""
    scene = timed()

    async def die() -> None:
        await asyncio.sleep(1.0)
        raise httpx2.ReadError("reset")

    scene["a"].before = die
    callers = await asyncio.gather(*[scene.ask() for _ in range(50)])
    assert {caller.status for caller in callers} == {200}
    assert scene.asked == {"a": 50, "b": 50}
    for _ in range(50):
        await scene.ask()
    assert scene.asked == {"a": 50, "b": 100}


async def test_a_black_hole_costs_time_five_times() -> None:
    """A target that connects to nobody is waited for until its breaker opens, then no time is lost."""
    scene = timed()
    loop = asyncio.get_running_loop()

    async def vanish() -> None:
        await asyncio.sleep(3.0)
        raise httpx2.ConnectTimeout("no connection within its limit")

    scene["a"].before = vanish
    took: list[float] = []
    for _ in range(TRIP + 3):
        began = loop.time()
        assert (await scene.ask()).status == 200
        took.append(round(loop.time() - began, 3))
    assert took == [3.0] * TRIP + [0.0] * 3


async def test_a_model_that_does_not_exist_is_marked() -> None:
    """A target without its model is passed over, rests for minutes, and the reason is on record."""
    scene = timed()
    scene["a"].say(MISSING, status=404, headers=((b"content-type", b"application/json"),))
    for _ in range(10):
        caller = await scene.ask()
        assert (caller.status, caller.body) == (200, chunk("from b") + DONE)
        await asyncio.sleep(29.0)
    assert scene.asked == {"a": 1, "b": 10}
    (ejection,) = scene.gateway.health.ejections()
    assert (ejection.kind, ejection.target, ejection.operation) == ("cooldown", "a", "chat")
    assert ejection.reason == "target_missing"

    await scene.ask(path="/v1/embeddings", input="Hi", stream=None)
    assert scene.asked["a"] == 2

    scene["a"].say(chunk("from a"), DONE)
    await asyncio.sleep(11.0)
    assert (await scene.ask()).body == chunk("from a") + DONE


async def test_a_target_that_comes_back_gets_its_share_little_by_little() -> None:
    """After two good probes a target has a tenth of its share, then more, and all after half a minute."""
    scene = timed(top=ROUTED, pool='balance = "weighted"')
    scene["a"].say(b"", status=500)
    while breaker_of(scene) == "closed":
        await scene.ask()
    scene["a"].say(chunk("from a"), DONE)
    while breaker_of(scene) != "closed":
        await asyncio.sleep(0.5)
        await scene.ask()

    shares: list[float] = []
    for _ in range(6):
        before = Counter(scene.asked)
        for _ in range(100):
            assert (await scene.ask()).status == 200
            await asyncio.sleep(SLOW_START / 400)
        asked = Counter(scene.asked) - before
        shares.append(asked["a"] / asked["b"])
    assert shares[0] < FLOOR + 0.25
    assert shares[:4] == sorted(shares[:4])
    assert shares[4:] == [1.0, 1.0]


async def test_when_all_are_down_it_is_said_at_once() -> None:
    """With every breaker open one request at a time may ask the target that may be asked first. All others
    hear at once when that is, and that their SDKs should not try again by themselves."""
    scene = timed()
    scene["a"].say(b"", status=500)
    scene["b"].say(b"", status=500)
    for _ in range(TRIP):
        assert (await scene.ask()).status == 502
    scene["a"].say(5.0, b"", status=500)
    scene["b"].say(5.0, b"", status=500)
    await asyncio.sleep(1.0)
    asked, began = dict(scene.asked), asyncio.get_running_loop().time()
    _, first = scene.begin()
    _, second = scene.begin()
    await asyncio.sleep(0.1)
    caller = await scene.ask()

    assert asyncio.get_running_loop().time() == began + 0.1
    assert (Counter(scene.asked) - Counter(asked)).total() == 1
    await asyncio.gather(first, second)
    assert (caller.status, caller.json["error"]["code"]) == (503, "no_target_available")
    assert (caller.headers[b"retry-after"], caller.headers[b"x-should-retry"]) == (b"2", b"false")


async def test_when_all_are_well_again_they_are_asked() -> None:
    """Targets whose breakers are open for minutes serve again with the first requests that they answer."""
    scene = timed()
    scene["a"].say(b"", status=500)
    scene["b"].say(b"", status=500)
    for _ in range(100):
        await asyncio.sleep(10.0)
        await scene.ask()
    wait = min(ejection.left for ejection in scene.gateway.health.ejections())
    scene["a"].say(chunk("from a"), DONE)
    scene["b"].say(chunk("from b"), DONE)
    assert wait > 20.0
    await asyncio.sleep(6.0)
    assert [(await scene.ask()).status for _ in range(5)] == [200] * 5


async def test_a_dead_provider_is_not_asked_by_everybody() -> None:
    """In a total outage each target is asked once a second at most, however many requests there are."""
    scene = timed()
    for name in ("a", "b"):
        scene[name].say(b"", status=500)
    for _ in range(TRIP):
        await scene.ask()
    asked, began = dict(scene.asked), asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 2.0:
        await scene.ask()
        await asyncio.sleep(0.01)
    assert all(count - asked[name] <= 3 for name, count in scene.asked.items())


async def test_a_pause_that_was_asked_for_is_kept() -> None:
    """A target that answers 503 with Retry-After is left alone for that time, even if nobody else is left."""
    scene = timed()
    for name in ("a", "b"):
        scene[name].say(b"", status=503, headers=((b"retry-after", b"60"),))
    await scene.ask()
    asked = dict(scene.asked)
    assert (await scene.ask()).status == 503
    assert scene.asked == asked


async def test_a_probe_before_its_time_changes_nothing_if_it_fails() -> None:
    """It neither opens the breaker for longer nor counts as an attempt of the callers that are refused."""
    scene = timed()
    scene["a"].say(b"", status=500)
    scene["b"].say(b"", status=500)
    for _ in range(TRIP):
        await scene.ask()
    before = [ejection.left for ejection in scene.gateway.health.ejections()]
    assert (await scene.ask()).status == 502
    assert [ejection.left for ejection in scene.gateway.health.ejections()] == before


async def test_who_asked_to_be_left_alone_is_left_alone() -> None:
    """A target that is rate-limited or refuses our key is not probed before its time."""
    scene = timed()
    scene["a"].say(b"", status=429, headers=((b"retry-after", b"20"),))
    scene["b"].say(b"", status=401)
    await scene.ask()
    asked = dict(scene.asked)
    assert (await scene.ask()).status == 503
    assert scene.asked == asked


KEY: Final = "canary-of-a-caller"
CONCERNS: Final = ("auth", "budget", "route_select", "failover")


@pytest.mark.parametrize(
    "stack",
    [each for size in range(5) for each in combinations(CONCERNS, size)],
    ids="+".join,
)
async def test_a_concern_that_is_left_out_takes_only_its_effect(stack: tuple[str, ...]) -> None:
    """Whichever concerns are left out, a healthy target gives the same answer to the same document, strangers
    are refused only by auth, and a failed target is replaced only by failover."""
    keys = f'[keys.root]\nhash = "{digests(KEY)[0]}"\npools = ["*"]' if "auth" in stack else ""
    scene = timed(top=f"stack = {json.dumps(stack)}", tables=keys)
    known = (b"authorization", f"Bearer {KEY}".encode())

    caller = await scene.ask(known)
    assert (caller.status, caller.body) == (200, chunk("from a") + DONE)
    sent = json.loads(scene["a"].bodies[0])
    assert {name: sent[name] for name in ASK} == {**ASK, "model": "model-a"}
    assert scene.asked == {"a": 1, "b": 0}

    assert (await scene.ask()).status == (401 if "auth" in stack else 200)

    scene["a"].say(b"", status=500)
    caller = await scene.ask(known)
    assert caller.status == (200 if "failover" in stack else 502)
    assert scene.asked["b"] == ("failover" in stack)


REGIONS: Final = f"""
stack = ["auth", "failover"]
[providers.at-a]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
region = "us"
{SCRIPTED}
[providers.at-b]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
region = "eu"
{SCRIPTED}
[targets.a]
provider = "at-a"
model = "model-a"
[targets.b]
provider = "at-b"
model = "model-b"
[pools.support]
prefer = ["a", "b"]
on_break = "restart"
hedge = {{ after = "500ms", share = 0.5 }}
timeouts = {{ first_token = "5s", stall = "5s" }}
[keys.local]
hash = "{digests(KEY)[0]}"
pools = ["support"]
regions = ["us"]
[failover]
retries = 1
"""


async def test_no_way_on_leads_out_of_a_region() -> None:
    """A key of one region gets nothing of another: not by a hedge, a retry, a restart, an open or half-open
    breaker, or after a reload."""
    gateway = Gateway(parse_routes(REGIONS, environ={}))
    gateway.health = Health(asyncio.get_running_loop().time, lambda: 0.0)
    scripts = scripted(gateway)
    headers = ((b"authorization", f"Bearer {KEY}".encode()), (b"x-standby-on-break", b"restart"))

    async def asking() -> Caller:
        return await ask(gateway, scope=scope_of(headers=headers))

    scripts["b"].say(chunk("from b"), DONE)
    scripts["a"].say(chunk("from a"), DONE)
    for _ in range(4):
        assert (await asking()).status == 200
    scripts["a"].say(2.0, chunk("from a"), DONE)  # late enough for a hedge
    assert (await asking()).body == chunk("from a") + DONE
    scripts["a"].say(chunk("from a"), httpx2.ReadError("reset"))  # a restart is wanted
    assert chunk("from a") in (await asking()).body
    for _ in range(2 * TRIP):
        scripts["a"].say(b"", status=500)
        assert (await asking()).status >= 500
    assert gateway.health.is_open("a")
    await asyncio.sleep(MAX_OPEN)
    assert (await asking()).status >= 500  # the probe of the half-open breaker
    await gateway.reload(parse_routes(REGIONS.replace("model-b", "model-c"), environ={}))
    assert (await asking()).status >= 500

    assert not scripts["b"].requests
    assert not scripted(gateway)["b"].requests
    await gateway.aclose()
