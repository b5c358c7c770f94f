"""Two providers asked at once because the first is late: one answers, and the other is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from standby.proxy.rehearsal.simulator import Content, Pings, Stall

from tests.acceptance.clients import APIS, CHAT, Api
from tests.acceptance.scene import Scene, said_by, scene
from tests.acceptance.serving import Front, until

__all__ = ["hedged"]

pytestmark = pytest.mark.anyio

LET_GO: float = 1.0
"""Seconds within which the one that lost must be gone, on a busy machine."""


@pytest.fixture
async def hedged(front: Front) -> AsyncIterator[Scene]:
    """A gateway that asks a second provider after 50 ms, with requests enough before that it may."""
    pool = 'hedge = { after = "50ms", share = 0.5 }'
    async with scene(front, first_token="10s", pool=pool) as set_up:
        for api in APIS:
            for _ in range(3):
                await set_up.raw.ask(api)
        set_up.alpha.requests.clear()
        front.exchanges.clear()
        set_up.beta.words = ["from ", "beta"]
        yield set_up


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_second_is_served(hedged: Scene, api: Api) -> None:
    """Its bytes and no others, through the SDK and on the wire; the first provider is hung up on at once."""
    hedged.alpha.fault = Pings(0.01)

    answer = await hedged.raw.ask(api)

    assert answer.body == (await said_by(hedged.beta, api, stream=True)).body
    assert answer.header("x-standby-attempts") == "2"
    assert answer.header("x-standby-degraded") == "hedged"
    await hedged.alpha.wait_for(lambda: hedged.alpha.requests[0].gone, within=LET_GO)
    await until(lambda: hedged.front.under_way == 0)


async def test_while_the_answer_goes_on(hedged: Scene) -> None:
    """The loser is not kept until the end of the winner's answer."""
    hedged.alpha.fault = Stall()
    hedged.beta.fault = Stall(Content(2))

    asking = asyncio.create_task(hedged.raw.ask(CHAT))
    await hedged.alpha.wait_for(lambda: bool(hedged.alpha.requests), within=5.0)
    await hedged.alpha.wait_for(lambda: hedged.alpha.requests[0].gone, within=LET_GO)

    assert not asking.done()
    assert not hedged.beta.requests[-1].gone
    asking.cancel()
    await asyncio.wait([asking])
    await hedged.beta.wait_for(lambda: hedged.beta.requests[-1].gone, within=LET_GO)
    await until(lambda: hedged.front.under_way == 0)


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_sdk_notices_nothing(hedged: Scene, api: Api) -> None:
    """An answer is an answer."""
    hedged.alpha.fault = Stall()

    assert await hedged.sdks.say(api, stream=True) == "from beta"


async def test_connections_are_kept(hedged: Scene) -> None:
    """After many hedges no connection to the winner is lost, and no slot of the loser's."""
    hedged.alpha.fault = Stall()
    for _ in range(6):
        hedged.alpha.fault = Stall()
        await hedged.raw.ask(CHAT)
        hedged.alpha.fault = None
        await hedged.raw.ask(CHAT)
    await until(lambda: hedged.front.under_way == 0)
    assert hedged.gateway.health.busy("alpha") == hedged.gateway.health.busy("beta") == 0
    assert hedged.gateway.health.rejection("alpha", "alpha", "chat") is None
