"""A client that hangs up: the provider is let go at once, wherever the request stood, and is not to blame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final, Protocol

import pytest
from standby.proxy.rehearsal.simulator import Byte, Content, Drip, Endless, Fault, Pings, Stall

from tests.acceptance.clients import CHAT, MESSAGES, Api
from tests.acceptance.scene import scene
from tests.acceptance.serving import Front, until

__all__ = ["Asking", "Caller", "asking", "server"]

pytestmark = pytest.mark.anyio

SOON: Final = 1.0
"""Seconds within which a provider must be let go."""


@pytest.fixture(params=["silent", "raising"])
def server(request: pytest.FixtureRequest, front: Front, raising_front: Front) -> Front:
    """Both kinds of server: after a hang-up one ignores what is sent, the other raises."""
    return front if request.param == "silent" else raising_front


class Caller:
    """A client on a connection of its own, which it may drop at any time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def hang_up(self, *, reset: bool) -> None:
        """Close the connection: in order, or with a reset."""
        if reset:
            self.writer.transport.abort()
        else:
            self.writer.close()


class Asking(Protocol):
    """Makes a caller that has sent its request."""

    async def __call__(self, front: Front, api: Api, *, stream: bool) -> Caller: ...


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    """Callers, of whom none stays longer than the test."""
    callers: list[Caller] = []

    async def ask(front: Front, api: Api, *, stream: bool) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", front.port))
        callers.append(caller)
        body = json.dumps(api.asking(stream=stream)).encode()
        head = f"POST {api.path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        caller.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        return caller

    yield ask
    for caller in callers:
        caller.hang_up(reset=True)


WAITING: Final = (
    pytest.param(Stall(), True, id="waiting for headers"),
    pytest.param(Drip(0.05), True, id="while headers drip"),
    pytest.param(Stall(0), True, id="after headers"),
    pytest.param(Pings(0.05), True, id="while only comments come"),
    pytest.param(Stall(Content(0)), True, id="after the preamble"),
    pytest.param(Stall(), False, id="unstreamed, waiting for headers"),
    pytest.param(Stall(Byte(10)), False, id="unstreamed, amid the body"),
)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(("fault", "stream"), WAITING)
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_before_the_first_byte(
    server: Front, asking: Asking, api: Api, fault: Fault, stream: bool, reset: bool
) -> None:
    """A client that leaves before it was sent anything leaves no call behind, and no other is made."""
    async with scene(server, first_token="30s") as stage:
        stage.alpha.fault = fault
        caller = await asking(server, api, stream=stream)
        await stage.alpha.wait_for(lambda: bool(stage.alpha.requests))

        caller.hang_up(reset=reset)

        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone, within=SOON)
        await until(lambda: server.under_way == 0, within=SOON)
        assert stage.beta.requests == []
        assert server.exchanges[-1].client_gone


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("fault", [Stall(Content(2)), Drip(0.05, Content(2))], ids=str)
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_amid_the_stream(server: Front, asking: Asking, api: Api, fault: Fault, reset: bool) -> None:
    """A client that leaves while it is being told the answer leaves no call to the provider behind."""
    async with scene(server) as stage:
        stage.alpha.fault = fault
        caller = await asking(server, api, stream=True)
        await caller.reader.readuntil(b"says: ")

        caller.hang_up(reset=reset)

        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone, within=SOON)
        await until(lambda: server.under_way == 0, within=SOON)
        assert stage.beta.requests == []


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_while_bytes_flow(server: Front, asking: Asking, reset: bool) -> None:
    """A client that leaves a stream without end, however fast, leaves no call to the provider behind."""
    async with scene(server) as stage:
        stage.alpha.fault = Endless()
        caller = await asking(server, CHAT, stream=True)
        await caller.reader.readuntil(b"well.")

        caller.hang_up(reset=reset)

        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone, within=SOON)
        await until(lambda: server.under_way == 0, within=SOON)


async def test_queued_for_a_connection(server: Front, asking: Asking) -> None:
    """A client that leaves while it waits for a connection never reaches the provider."""
    async with scene(server, connections=1, first_token="30s") as stage:
        stage.alpha.next(Stall())
        first = await asking(server, CHAT, stream=True)
        await stage.alpha.wait_for(lambda: len(stage.alpha.requests) == 1)
        second = await asking(server, CHAT, stream=True)
        await until(lambda: server.under_way == 2 and len(server.exchanges[1].attempts) == 1)

        second.hang_up(reset=False)

        await until(lambda: server.under_way == 1, within=0.4)  # sooner than the queue itself gives up
        assert server.exchanges[1].client_gone
        first.hang_up(reset=False)
        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone, within=SOON)
        await until(lambda: server.under_way == 0)
        third = await stage.raw.ask(CHAT)
        assert third.header("x-standby-target") == "alpha"
        assert len(stage.alpha.requests) == 2
        assert stage.beta.requests == []


async def test_during_failover(server: Front, asking: Asking) -> None:
    """A client that leaves while the second provider is asked leaves no call behind, and no third is made."""
    async with scene(server, first_token="30s") as stage:
        await stage.alpha.down()
        stage.beta.fault = Stall()
        caller = await asking(server, CHAT, stream=True)
        await stage.beta.wait_for(lambda: bool(stage.beta.requests))

        caller.hang_up(reset=False)

        await stage.beta.wait_for(lambda: stage.beta.requests[0].gone, within=SOON)
        await until(lambda: server.under_way == 0, within=SOON)
        assert len(stage.beta.requests) == 1


@pytest.mark.parametrize("fault", [Stall(), Stall(0), Stall(Content(2))], ids=str)
async def test_nobody_is_to_blame(server: Front, asking: Asking, fault: Fault) -> None:
    """However many clients hang up on a provider, it is the first to be asked by the next."""
    async with scene(server, first_token="30s") as stage:
        stage.alpha.fault = fault
        for _ in range(7):
            stage.alpha.requests.clear()
            caller = await asking(server, CHAT, stream=True)
            await stage.alpha.wait_for(lambda: bool(stage.alpha.requests))
            caller.hang_up(reset=False)
            await stage.alpha.wait_for(lambda: stage.alpha.requests[-1].gone, within=SOON)
        await until(lambda: server.under_way == 0)
        stage.alpha.fault = None

        answer = await stage.raw.ask(CHAT)

        assert answer.header("x-standby-target") == "alpha"
        assert answer.header("x-standby-degraded") is None


@pytest.mark.parametrize("stream", [False, True])
async def test_after_the_end(server: Front, asking: Asking, stream: bool) -> None:
    """A client that hangs up right after its answer costs nobody anything: the connection is used again."""
    async with scene(server) as stage:
        for _ in range(3):
            caller = await asking(server, CHAT, stream=stream)
            await caller.reader.readuntil(b"[DONE]\n\n" if stream else b"well.")
            caller.hang_up(reset=False)
            await until(lambda: server.under_way == 0)

        assert stage.alpha.accepted == 1
        assert not any(exchange.attempts[0].fault for exchange in server.exchanges)


async def test_a_client_that_reads_nothing(server: Front, asking: Asking) -> None:
    """A client that stops reading holds up the provider no longer than the reverse."""
    async with scene(server, stall="300ms") as stage:
        stage.alpha.fault = Endless()
        stage.alpha.words = ["word " * 20_000]  # so that the buffers on the way are soon full
        caller = await asking(server, CHAT, stream=True)

        await stage.alpha.wait_for(lambda: any(received.gone for received in stage.alpha.requests))

        await until(lambda: server.under_way == 0)
        assert server.exchanges[-1].client_gone
        caller.hang_up(reset=True)
        stage.alpha.fault = None
        assert (await stage.raw.ask(CHAT)).header("x-standby-target") == "alpha"
