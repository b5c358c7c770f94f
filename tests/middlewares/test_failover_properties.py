"""Properties of every request: the number of attempts, and whose bytes are sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.exchange import Exchange

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import Caller, VirtualLoop, chunk

__all__: list[str] = []

WANTED: Final = (b"x-standby-on-break", b"restart")
NAMES: Final = "abc"

LATENESS: Final = st.sampled_from([0.0, 0.3, 0.9, 2.0, 5.0])
OUTCOMES: Final = st.sampled_from(
    ["good", "cut", "cut early", "stall", "error", "500", "503", "429", "409", "400", "silent", "no end"]
)
PLAYS: Final = st.tuples(LATENESS, OUTCOMES)
REQUESTS: Final = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(NAMES, PLAYS)), st.booleans(), st.none() | st.sampled_from([0.4, 1.2])
)


def script_provider(scene: Scene, name: str, play: tuple[float, str]) -> None:
    """Make a provider answer like this. All of its content has its name."""
    late, outcome = play
    one, cut = chunk(f"of {name}"), httpx2.ReadError("reset")
    pieces: dict[str, tuple[Any, ...]] = {
        "good": (one, 0.1, one, DONE),
        "cut": (one, 0.1, cut),
        "cut early": (chunk(role="assistant"), cut),
        "stall": (one, 1000.0),
        "error": (one, b'data: {"error": {"message": "No."}}\n\n'),
        "silent": (1000.0,),
        "no end": (one,),
    }
    if outcome in pieces:
        scene[name].say(late, *pieces[outcome])
    else:
        headers = ((b"retry-after", b"1"),) if outcome in {"429", "503"} else ()
        scene[name].say(late, b"{}", status=int(outcome), headers=headers)


def check(caller: Caller, exchange: Exchange, limit: int, *, restarts: bool) -> None:
    """Check the properties of one request."""
    attempts = exchange.attempts
    assert len(attempts) <= limit
    asked = Counter(each.candidate.name for each in attempts)
    assert sum(times - 1 for times in asked.values()) <= 1
    assert sum(each.kind == "retry" for each in attempts) == sum(times - 1 for times in asked.values())
    assert sum(each.kind == "hedge" for each in attempts) <= 1
    assert all(each.ended is not None for each in attempts)
    bodies = caller.body.split(b'"standby":{"restart"')
    assert len(bodies) <= (2 if restarts else 1)
    for body in bodies:
        assert sum(f"of {name}".encode() in body for name in NAMES) <= 1
    if len(bodies) == 1:
        # No attempt follows the start of an answer, unless the client accepts restarts.
        spoken = [each for each in attempts if each.answer is not None and each.answer.written]
        assert restarts or all(each.kind == "hedge" or each is attempts[-1] for each in spoken[1:])


async def scenario(requests: list[Any], count: int, limit: int, retries: int, share: float) -> None:
    """Send these requests to this many providers, one after another."""
    scene = Scene(
        count,
        pool=f'hedge = {{ after = "500ms", share = {share} }}\non_break = "restart"\n'
        'timeouts = { first_token = "3s", stall = "5s", total = "50s" }',
        tables=f"[failover]\nmax_attempts = {limit}\nretries = {retries}",
    )
    scene.on_loop_time()
    before = asyncio.all_tasks()
    for plays, restarts, leaves in requests:
        for name in scene.scripts:
            script_provider(scene, name, plays[name])
        caller, running = scene.begin(*[WANTED] * restarts)
        if leaves is not None:
            await asyncio.wait([running], timeout=leaves)
            caller.leave()
        await running
        check(caller, scene.exchanges[-1], limit, restarts=restarts)
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
    hedges = [each for exchange in scene.exchanges for each in exchange.attempts if each.kind == "hedge"]
    assert len(hedges) <= share * len(scene.exchanges)
    for name, script in scene.scripts.items():
        assert scene.gateway.health.busy(name) == 0
        assert script.closed <= len(script.requests)
    sent = Counter(each.candidate.name for exchange in scene.exchanges for each in exchange.attempts)
    assert sent == Counter({name: times for name, times in scene.asked.items() if times})


LIMITS: Final = st.tuples(
    st.integers(1, 3), st.integers(1, 4), st.integers(0, 1), st.sampled_from([0.1, 0.5])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=12), LIMITS)
def test_any_walk(requests: list[Any], limits: tuple[int, int, int, float]) -> None:
    """Attempts, retries and hedges stay within their limits, an answer is one provider's, and nothing is
    left."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario(requests, *limits))
