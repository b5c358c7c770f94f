"""The simulator as a provider: its answers, its record of requests, and its control."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import httpx2
import pytest
from standby.proxy.rehearsal.simulator import DONE, Fault, Received, Simulator, Slow, Stall, Status

from tests.proxy.rehearsal.caller import CHAT, STREAMS, Caller, ask, good

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", STREAMS)
async def test_equal_requests_get_equal_bytes(path: str) -> None:
    """Name, seed and request determine every byte of an answer."""
    assert (await good(path, stream=True)).raw == (await good(path, stream=True)).raw


@pytest.mark.parametrize("path", STREAMS)
async def test_every_event_bears_the_canary(alpha: Simulator, path: str) -> None:
    """A byte that leaked into another caller's answer can be traced to its provider."""
    answer = await ask(alpha, path, stream=True)

    assert answer.whole
    assert all(alpha.canary.encode() in event for event in answer.events if event != DONE.strip())
    assert alpha.canary in str(answer.headers)


async def test_canaries_differ() -> None:
    """Neither two names nor two seeds share a canary."""
    providers = (Simulator("alpha"), Simulator("beta"), Simulator("alpha", seed=1))
    assert len({provider.canary for provider in providers}) == 3


async def test_connections_are_kept_and_counted(alpha: Simulator) -> None:
    """The record contains the connection of each request, and whether it had been used before."""
    async with httpx2.AsyncClient() as client:
        for _ in range(2):
            await client.post(f"{alpha.url}/embeddings", json={"input": "x"})
    await ask(alpha)

    seen = [(request.number, request.connection, request.reused) for request in alpha.requests]
    assert seen == [(1, 1, False), (2, 1, True), (3, 2, False)]


async def test_the_ledger_keeps_the_request_as_it_came(alpha: Simulator) -> None:
    """Headers keep their order and spelling, and the body its bytes."""
    await ask(alpha, user="ada")
    [seen] = alpha.requests

    assert seen.headers[:2] == [(b"Host", b"alpha"), (b"X-Mark", b"One")]
    assert seen.header("x-mark") == "One"
    assert seen.header("x-none") is None
    assert (seen.method, seen.path, json.loads(seen.body)) == ("POST", CHAT, seen.json)
    assert seen.json == {"model": "m", "user": "ada"}


async def test_a_chunked_request_is_read(alpha: Simulator) -> None:
    """A client may send a body of unknown length."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"inp', b'ut": "x"}'):
            yield piece

    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{alpha.url}/embeddings", content=pieces())

    assert answer.status_code == 200
    assert alpha.requests[0].body == b'{"input": "x"}'


async def test_sent_bytes_are_counted(alpha: Simulator) -> None:
    """The recorded number of bytes is what arrives."""
    answer = await ask(alpha, stream=True)
    assert alpha.requests[0].sent == len(answer.raw)
    assert alpha.requests[0].done


async def test_refused_and_back_again(alpha: Simulator) -> None:
    """A provider that is down drops its connections, refuses others, and returns on the same port."""
    kept = await Caller.to(alpha)
    await alpha.wait_for(lambda: alpha.open == 1)
    url = alpha.url
    await alpha.down()

    assert (await kept.read()).reset
    with pytest.raises(ConnectionRefusedError):
        await Caller.to(alpha)
    kept.hang_up()

    await alpha.up()
    assert alpha.url == url
    assert (await ask(alpha)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels answer for a full queue")
async def test_silent_and_back_again(alpha: Simulator) -> None:
    """A silent provider leaves connection attempts without an answer."""
    await alpha.down(silent=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Caller.to(alpha)

    await alpha.up()
    assert (await ask(alpha)).status == 200


async def test_queued_faults_come_first(alpha: Simulator) -> None:
    """The queue has one fault per request, which may be None. Then `fault` applies until cleared."""
    alpha.fault = Status(503)
    alpha.next(Status(429), times=2)
    alpha.next(None)
    statuses = [(await ask(alpha)).status for _ in range(5)]
    alpha.fault = None

    assert [*statuses, (await ask(alpha)).status] == [429, 429, 200, 503, 503, 200]
    assert [request.fault for request in alpha.requests[2:4]] == [None, Status(503)]


async def test_a_fault_may_depend_on_the_request(alpha: Simulator) -> None:
    """A function selects the fault: healthy for one path, failing for another."""

    def only_embeddings(request: Received) -> Fault | None:
        return Status(500) if request.path == "/v1/embeddings" else None

    alpha.fault = only_embeddings
    assert (await ask(alpha)).status == 200
    assert (await ask(alpha, "/v1/embeddings", input="x")).status == 500


async def test_words_may_depend_on_the_request(alpha: Simulator) -> None:
    """A function selects the words, so that answers to different callers differ."""
    alpha.words = lambda request: ("for ", request.json["user"])
    answer = await ask(alpha, user="ada")
    assert answer.json["choices"][0]["message"]["content"] == "for ada"


async def test_control_over_http(alpha: Simulator) -> None:
    """A fault can be set and cleared with curl, and control requests are not recorded."""
    async with httpx2.AsyncClient(base_url=alpha.origin) as client:

        async def cue(**fields: object) -> int:
            return (await client.post("/_simulator/fault", json=fields)).status_code

        assert await cue(fault="outage") == 200
        assert (await ask(alpha)).status == 503
        assert await cue(fault="slow", seconds=3) == 200
        assert alpha.fault == Slow(3)
        assert await cue(fault="rate_limited") == 200
        assert (await client.get("/_simulator")).json()["fault"].startswith("Status(code=429")
        assert await cue(fault="ok") == 200
        assert [await cue(fault="none such"), await cue(), await cue(fault="slow", size=1)] == [400, 400, 400]
    assert (await ask(alpha)).status == 200
    assert [request.path for request in alpha.requests] == [CHAT, CHAT]


async def test_it_leaves_nothing_behind() -> None:
    """After the block no connection and no task is left, whatever was in progress."""
    before = len(asyncio.all_tasks())
    async with Simulator("alpha", fault=Stall()) as provider:
        callers = [await Caller.to(provider) for _ in range(5)]
        for caller in callers[:3]:
            await caller.send(CHAT)
        await provider.wait_for(lambda: len(provider.requests) == 3 and provider.open == 5)

    assert provider.open == 0
    assert len(asyncio.all_tasks()) == before
    assert not any(request.gone for request in provider.requests)
    for caller in callers:
        caller.hang_up()


async def test_it_runs_on_its_own() -> None:
    """The module run as a program is one provider with the given words and name."""
    command = (sys.executable, "-m", "standby.proxy.rehearsal.simulator", "--name", "gamma", "--words", "3")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        async with httpx2.AsyncClient() as client:
            answer = await client.post(f"{line.split()[3].rstrip(';')}/messages", json={"model": "m"})
    finally:
        process.terminate()
        await process.communicate()

    assert answer.json()["content"][0]["text"] == "gamma-0 gamma-1 gamma-2 "
