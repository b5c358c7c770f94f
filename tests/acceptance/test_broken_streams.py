"""A stream that breaks after content had gone out: the client is told, and nobody else takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Final

import anthropic
import httpx2
import openai
import pytest
from standby.proxy.rehearsal.simulator import (
    ALL_CONTENT,
    Byte,
    Content,
    Cut,
    Drip,
    End,
    ErrorEvent,
    Fault,
    Framed,
    Gzip,
    Oversize,
    Pings,
    Stall,
)

from tests.acceptance.clients import APIS, CHAT, Api
from tests.acceptance.scene import Scene, said_by, scene
from tests.acceptance.serving import Front, until

__all__ = ["hurried"]

pytestmark = pytest.mark.anyio

BREAKS: Final = MappingProxyType[str, Fault](
    {
        "reset": Cut(Content(2)),
        "closed": Cut(Content(2), reset=False),
        "stalled": Stall(Content(2)),
        "comments only": Pings(0.02, after=Content(2)),
        "pings only": Pings(0.02, "event", after=Content(2)),
        "dripping inside an event": Drip(0.02, after=Content(2)),
        "ended early": End(Content(2)),
        "ended early, without a length": End(Content(2)) & Framed("eof"),
        "ended after all content": End(ALL_CONTENT),
        "ended before the marker, without a length": End(-1) & Framed("eof"),
        "an event without end": Oversize(after=Content(2)),
        "compressed, reset": Gzip() & Cut(Content(2)),
        "compressed, stalled": Gzip() & Stall(Content(2)),
        "compressed, ended early": End(Content(2)) & Gzip(),
    }
)
RAISED: Final = (openai.APIError, anthropic.APIError, httpx2.TransportError, httpx2.DecodingError)
"""What the SDKs raise: the openai SDK leaves some errors of its transport as they are."""
LATE: Final = Byte(300_000)
"""A place in a document after the gateway has passed on its beginning."""


@pytest.fixture
async def hurried(front: Front) -> AsyncIterator[Scene]:
    """A gateway that waits 300 ms for the next content."""
    async with scene(front, stall="300ms") as set_up:
        yield set_up


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_sdk_raises_and_nobody_takes_over(hurried: Scene, api: Api, fault: Fault) -> None:
    """An SDK hands out what came and then raises, no second provider is called, and the attempt is on record
    as truncated: a part is never taken for the whole."""
    hurried.alpha.fault = fault

    words, error = await _heard(hurried, api)

    assert isinstance(error, RAISED)
    assert "alpha says: all is well.".startswith("".join(words))
    assert api.end not in hurried.sdks.answers[0].body
    assert hurried.beta.requests == []
    assert len(hurried.alpha.requests) == 1
    (attempt,) = hurried.front.exchanges[-1].attempts
    assert attempt.fault is not None
    assert attempt.fault.kind == "stream_truncated"


@pytest.mark.parametrize(
    "fault", [fault for name, fault in BREAKS.items() if "compressed" not in name], ids=[*BREAKS][:-3]
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_stream_ends_with_one_error(hurried: Scene, api: Api, fault: Fault) -> None:
    """The bytes are whole events of the provider's stream, then one error event, and no terminal marker."""
    hurried.alpha.fault = fault

    answer = await hurried.raw.ask(api)

    events = answer.body.split(b"\n\n")
    assert events[-1] == b""
    assert hurried.beta.canary.encode() not in answer.whole
    assert api.end not in answer.body
    failures = [event for event in events if b"upstream_" in event]
    assert failures == events[-2:-1]
    assert hurried.front.exchanges[-1].id.encode() in failures[0]


@pytest.mark.parametrize("api", [api for api in APIS if api.name != "responses"], ids=str)
async def test_an_answer_without_its_terminal_marker(stage: Scene, api: Api) -> None:
    """A finish reason and an end by HTTP's framing is a whole answer, though some servers send no marker."""
    stage.alpha.fault = End(-1)

    assert await stage.sdks.say(api, stream=True) == "alpha says: all is well."

    (attempt,) = stage.front.exchanges[-1].attempts
    assert attempt.fault is None


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_providers_own_error_is_the_last_word(stage: Scene, api: Api) -> None:
    """An error event after content is passed on as it is, and nothing is added."""
    stage.alpha.fault = ErrorEvent(Content(2))

    expected = await said_by(stage.alpha, api, stream=True)

    answer = await stage.raw.ask(api)

    assert answer.body == expected.body
    assert api.end not in answer.body
    assert stage.beta.requests == []


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_whole_answer_has_a_limit(front: Front, api: Api) -> None:
    """A stream that goes on for ever ends at the pool's total, with an error."""
    async with scene(front, total="1s") as set_up:
        set_up.alpha.words = ["word "] * 1000
        set_up.alpha.pace = 0.05

        with pytest.raises(RAISED):
            await set_up.sdks.say(api, stream=True)

        assert b"answer_timeout" in set_up.sdks.answers[0].body
        assert set_up.beta.requests == []


@pytest.mark.parametrize("fault", [Cut(LATE), Cut(LATE, reset=False), Stall(LATE)], ids=str)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_large_document_that_breaks_off(hurried: Scene, api: Api, fault: Fault) -> None:
    """Where an unstreamed answer breaks off after its first part had gone out, the SDK raises."""
    hurried.alpha.words = ["word " * 100_000]
    hurried.alpha.fault = fault

    with pytest.raises(RAISED):
        await hurried.sdks.say(api, stream=False)

    assert hurried.beta.requests == []


@pytest.mark.parametrize("offset", [10, 65_000, 66_000, 100_000, 131_000, 132_000, 200_000])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_no_document_is_half_ones_and_half_anothers(hurried: Scene, api: Api, offset: int) -> None:
    """An unstreamed answer that breaks off is beta's from its first byte to its last, or none."""
    hurried.alpha.words = ["alpha " * 50_000]
    hurried.beta.words = ["beta " * 50_000]
    hurried.alpha.fault = Cut(Byte(offset))

    try:
        answer = await hurried.raw.ask(api, stream=False)
    except httpx2.TransportError:
        assert hurried.beta.requests == []
        return

    assert answer.body == (await said_by(hurried.beta, api, stream=False)).body
    assert answer.header("x-standby-attempts") == "2"


@pytest.mark.parametrize("after", [None, Content(1)], ids=str)
async def test_the_provider_is_let_go(hurried: Scene, after: Content | None) -> None:
    """A provider that stalled is hung up on, before content and after it."""
    hurried.alpha.fault = Stall(after)

    await hurried.raw.ask(CHAT)

    await hurried.alpha.wait_for(lambda: hurried.alpha.requests[0].gone, within=1.0)
    await until(lambda: hurried.front.under_way == 0)


async def _heard(stage: Scene, api: Api) -> tuple[list[str], Exception | None]:
    """The words that an SDK hands out, and what it raises after them."""
    words: list[str] = []
    try:
        async for word in stage.sdks.words(api, stream=True):
            words.append(word)  # noqa: PERF401
    except Exception as error:  # noqa: BLE001
        return words, error
    return words, None
