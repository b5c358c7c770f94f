"""The first answer that proves good is the client's, and is exactly what its provider sent."""

from __future__ import annotations

import asyncio
import time

import pytest
from standby.proxy.rehearsal.simulator import Content, Drip, Fault, Malformed, Slow, Stall

from tests.acceptance.clients import APIS, CHAT, MESSAGES, RESPONSES, Api
from tests.acceptance.faults import BEFORE_CONTENT_OF_ALL, REFUSED, before_content
from tests.acceptance.scene import FIRST_TOKEN, Scene, said_by, scene
from tests.acceptance.serving import Front, bound

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("api", "fault", "stream"), BEFORE_CONTENT_OF_ALL, ids=str)
async def test_the_fallbacks_answer_as_it_is(stage: Scene, api: Api, fault: str, stream: bool) -> None:
    """Where alpha fails before content, each is asked once, and the client gets a 200 with beta's own bytes
    and none of alpha's."""
    if fault == REFUSED:
        await stage.alpha.down()
    stage.alpha.fault = before_content(fault)
    expected = await said_by(stage.beta, api, stream=stream)
    stage.beta.requests.clear()

    answer = await stage.raw.ask(api, stream=stream)

    assert answer.status == 200
    assert answer.body == expected.body
    assert len(stage.alpha.requests) == (0 if fault == REFUSED else 1)
    assert len(stage.beta.requests) == 1
    assert stage.alpha.canary.encode() not in answer.whole
    assert answer.header("x-standby-target") == f"beta{'_claude' if api.name == 'messages' else ''}"
    assert answer.header("x-standby-attempts") == "2"
    assert answer.header("x-standby-degraded") == stage.front.exchanges[-1].degraded


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_good_answer_as_it_is(stage: Scene, api: Api, stream: bool) -> None:
    """A healthy provider's answer arrives unchanged, and nobody else is asked."""
    expected = await said_by(stage.alpha, api, stream=stream)

    answer = await stage.raw.ask(api, stream=stream)

    assert (answer.status, answer.body) == (200, expected.body)
    assert answer.header("content-type") == expected.header("content-type")
    assert stage.beta.requests == []


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_malformed_event_is_not_fatal(stage: Scene, api: Api) -> None:
    """An event whose JSON is broken is passed on as it is, and the rest of the stream arrives."""
    stage.alpha.fault = Malformed(Content(1))
    expected = await said_by(stage.alpha, api, stream=True)

    answer = await stage.raw.ask(api)

    assert answer.body == expected.body
    assert api.end in answer.body
    assert stage.front.exchanges[-1].attempts[0].fault is None


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_malformed_event_before_content_is_not_fatal(stage: Scene, api: Api) -> None:
    """An event whose JSON is broken proves nothing: what follows decides."""
    stage.alpha.fault = Malformed(0)
    expected = await said_by(stage.alpha, api, stream=True)

    assert (await stage.raw.ask(api)).body == expected.body


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_events_are_forwarded_one_by_one(stage: Scene, api: Api, count: int) -> None:
    """What the provider has said is with the client before the provider says more."""
    stage.alpha.fault = Stall(Content(count))
    words: list[str] = []

    async for word in stage.sdks.words(api, stream=True):
        words += [word] if word else []
        if len(words) == count:
            break

    assert words == ["alpha ", "says: ", "all "][:count]
    assert not stage.alpha.requests[0].done


@pytest.mark.parametrize("place", [None, 0, Content(0)], ids=str)
async def test_patience_lasts_until_the_limit(stage: Scene, place: Content | int | None) -> None:
    """A provider that is slow, but within the limit, keeps the request."""
    stage.alpha.fault = Slow(0.1, place)

    answer = await stage.raw.ask(CHAT)

    assert answer.header("x-standby-target") == "alpha"
    assert stage.beta.requests == []


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_a_host_that_does_not_answer(front: Front, api: Api) -> None:
    """A provider that leaves connection attempts unanswered is given up after the limit for connecting."""
    async with scene(front, connect="150ms", first_token="30s") as stage:
        await stage.alpha.down(silent=True)

        answer = await stage.raw.ask(api)

        assert answer.header("x-standby-degraded") == "connect"
        assert stage.beta.canary.encode() in answer.body


async def test_a_handshake_that_fails(front: Front, stage: Scene) -> None:
    """A provider whose TLS fails is given up, and the client gets the next one's answer."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # as a server does that speaks plain HTTP
        writer.close()

    held = bound()
    server = await asyncio.start_server(speak, sock=held)
    urls = (f"https://127.0.0.1:{held.getsockname()[1]}/v1", stage.beta.url)
    try:
        async with scene(front, urls=urls) as auth_setup:
            answer = await auth_setup.raw.ask(CHAT)
    finally:
        server.close()

    assert answer.header("x-standby-degraded") == "connect"
    assert answer.header("x-standby-target") == "beta"


async def test_a_handshake_that_stalls(front: Front, stage: Scene) -> None:
    """A provider that leaves a TLS handshake unanswered is hung up on, and never asked in clear text."""
    secure = stage.alpha.url.replace("http://", "https://")
    async with scene(front, urls=(secure, stage.beta.url), connect="200ms", first_token="30s") as auth_setup:
        answer = await auth_setup.raw.ask(CHAT)

        assert answer.header("x-standby-degraded") == "connect"
        await stage.alpha.wait_for(lambda: stage.alpha.open == 0, within=1.0)
    assert stage.alpha.requests == []


async def test_no_room_at_a_target(front: Front) -> None:
    """A request that finds all connections of a target in use goes on, and the target is not to blame."""
    async with scene(front, connections=1, first_token="30s") as stage:
        stage.alpha.next(Stall())
        first = asyncio.create_task(stage.raw.ask(CHAT))
        await stage.alpha.wait_for(lambda: len(stage.alpha.requests) == 1)

        for _ in range(2):
            answer = await stage.raw.ask(CHAT)
            assert answer.header("x-standby-target") == "beta"
            assert answer.header("x-standby-degraded") == "local_overload"

        first.cancel()
        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone)
        assert (await stage.raw.ask(CHAT)).header("x-standby-target") == "alpha"


@pytest.mark.parametrize(
    ("api", "fault"),
    [
        (CHAT, Stall()),
        (RESPONSES, Stall(0)),
        (MESSAGES, Drip(0.02)),
        *((api, Stall(Content(0))) for api in APIS),
    ],
    ids=str,
)
async def test_the_caller_may_have_less_time(front: Front, api: Api, fault: Fault) -> None:
    """All attempts together end at the caller's own limit, with an error that says so."""
    async with scene(front, first_token="30s") as stage:
        stage.alpha.fault = stage.beta.fault = fault

        answer = await stage.raw.ask(api, headers={"x-standby-timeout-ms": "200"})

        assert answer.status == 504
        assert b"deadline_exceeded" in answer.body
        assert answer.header("x-should-retry") == "false"
        await stage.alpha.wait_for(lambda: stage.alpha.requests[0].gone, within=1.0)
        assert stage.beta.requests == []


async def test_the_callers_limit_ends_with_the_first_content(stage: Scene) -> None:
    """An answer that has begun may take longer than the caller's limit."""
    stage.alpha.fault = Slow(0.8, Content(1))

    answer = await stage.raw.ask(CHAT, headers={"x-standby-timeout-ms": "500"})

    assert CHAT.end in answer.body


@pytest.mark.parametrize("place", [None, 0, Content(0)], ids=str)
async def test_a_pause_of_our_own_is_not_the_providers(stage: Scene, place: Content | int | None) -> None:
    """A gateway that was itself held up does not take what it has not read yet for what was never sent."""

    async def hold_up(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    stage.alpha.sleep = hold_up
    stage.alpha.fault = Slow(2 * FIRST_TOKEN, place)

    answer = await stage.raw.ask(CHAT)

    assert answer.header("x-standby-target") == "alpha"
    assert stage.beta.requests == []
