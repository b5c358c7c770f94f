"""The client's bytes are the provider's bytes, wherever they were cut on their way."""

from __future__ import annotations

import re
import zlib
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import (
    Byte,
    Chunks,
    Cut,
    End,
    Fault,
    Framed,
    Garbage,
    Gzip,
    Insert,
    Just,
    Received,
    Status,
)

from tests.acceptance.batch import send_batch
from tests.acceptance.clients import APIS, CHAT, MESSAGES, RESPONSES, Api
from tests.acceptance.scene import Scene, said_by

__all__: list[str] = []

pytestmark = pytest.mark.anyio

_CHAT: Final = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n',
    b": a comment\r\n\r\n",
    'data: {"choices":[{"delta":{"content":"短く 🙂"}}]}\r\n\r\n'.encode(),
    'id: 7\rdata: {"choices":[{"delta":{"content":"é\\n\\nü"}}]}\r\r'.encode(),
    b'data: {"choices":[\ndata: {"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
_RESPONSES: Final = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n',
    b":\r\n\r\n",
    b"event: response.output_text.delta\r\n"
    + 'data: {"type":"response.output_text.delta","delta":"短 🙂"}\r\n\r\n'.encode(),
    b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n',
)
_MESSAGES: Final = (
    b'event: message_start\ndata: {"type":"message_start"}\n\n',
    b'event: ping\r\ndata: {"type": "ping"}\r\n\r\n',
    b"event: content_block_delta\r\n"
    + 'data: {"type":"content_block_delta","delta":{"text":"短 🙂"}}\r\n\r\n'.encode(),
    b'event: message_delta\rdata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\r\r',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
STREAMS: Final = ((CHAT, _CHAT), (RESPONSES, _RESPONSES), (MESSAGES, _MESSAGES))
BOM: Final = b"\xef\xbb\xbf"
_FINISH: Final = re.compile(rb'"(?:finish|stop)_reason": ?"|"response.completed"')
MARKS: Final = ("chat", "responses", "messages")
_DELICATE: Final = re.compile(rb"[^ -~]+|^.|.$", re.DOTALL)
"""What a cut may tear: line ends, characters of several bytes, and both ends of a body."""


def places(body: bytes, every: int = 16) -> list[int]:
    """Where to cut: before, amid and after all that is delicate, and here and there in what is not."""
    found = {place for match in _DELICATE.finditer(body) for place in range(match.start(), match.end() + 1)}
    return sorted((found | set(range(0, len(body), every))) - {len(body)})


@pytest.mark.parametrize(("api", "events"), STREAMS, ids=MARKS)
async def test_a_stream_in_two_pieces(stage: Scene, api: Api, events: tuple[bytes, ...]) -> None:
    """Wherever a stream is torn in two on its way, the client gets the same bytes."""
    body = b"".join(events)
    for offset in places(body)[1:]:
        stage.alpha.next(Just(body) & Chunks(offsets=(offset,)))
        answer = await stage.raw.ask(api)
        assert answer.body == body, offset
    assert stage.beta.requests == []


@pytest.mark.parametrize(("api", "events"), STREAMS, ids=MARKS)
async def test_a_mark_at_the_beginning(stage: Scene, api: Api, events: tuple[bytes, ...]) -> None:
    """A byte order mark arrives like any other bytes, also if it is torn in two."""
    body = BOM + b"".join(events)
    for offset in range(1, len(BOM) + 2):
        stage.alpha.next(Just(body) & Chunks(offsets=(offset,)))
        answer = await stage.raw.ask(api)
        assert answer.body == body, offset
    assert stage.beta.requests == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(("api", "events"), STREAMS, ids=MARKS)
async def test_a_stream_in_small_pieces(stage: Scene, api: Api, events: tuple[bytes, ...], size: int) -> None:
    """A stream that comes a few bytes at a time arrives whole."""
    stage.alpha.fault = Just(*events) & Chunks(size=size)

    assert (await stage.raw.ask(api)).body == b"".join(events)


@pytest.mark.parametrize(("api", "events"), STREAMS, ids=MARKS)
async def test_a_compressed_stream_in_two_pieces(stage: Scene, api: Api, events: tuple[bytes, ...]) -> None:
    """Wherever a compressed stream is torn in two, the client gets the same bytes."""
    stage.alpha.fault = Just(*events) & Gzip()
    body = bytes((await said_by(stage.alpha, api, stream=True)).body)
    assert zlib.decompress(body, wbits=31) == b"".join(events)
    # Its header, its trailer, and here and there in between: it has no places more delicate than others.
    for offset in (*range(1, 11), *range(11, len(body) - 8, 8), *range(len(body) - 8, len(body))):
        stage.alpha.next(Just(*events) & Gzip() & Chunks(offsets=(offset,)))
        answer = await stage.raw.ask(api)
        assert answer.header("content-encoding") == "gzip"
        assert answer.body == body, offset
    assert stage.beta.requests == []


def boundaries(events: tuple[bytes, ...]) -> list[int]:
    """How many bytes the first event has, the first two, and so on."""
    return [sum(map(len, events[:count])) for count in range(len(events) + 1)]


def finished(events: tuple[bytes, ...]) -> int:
    """How many bytes there are to the end of the event with the finish reason, without its blank line."""
    last = next(count for count, event in enumerate(events) if _FINISH.search(event))
    return len(b"".join(events[: last + 1]).rstrip())


@pytest.mark.parametrize("how", ["reset", "closed", "ended"])
@pytest.mark.parametrize(("api", "events"), STREAMS, ids=MARKS)
async def test_a_stream_cut_off(stage: Scene, api: Api, events: tuple[bytes, ...], how: str) -> None:
    """Wherever a stream is cut, the client gets beta's answer, or whole events of alpha's and one error."""
    expected = bytes((await said_by(stage.beta, api, stream=True)).body)
    body = b"".join(events)
    stage.forgetful()
    for offset in places(body):
        cut: Fault = End(Byte(offset)) if how == "ended" else Cut(Byte(offset), reset=how == "reset")
        stage.alpha.next(Just(*events) & cut)

        answer = bytes((await stage.raw.ask(api)).body)

        if answer == expected:
            assert offset < boundaries(events)[3], offset  # the third event of each is its first content
        elif how == "ended" and offset >= finished(events):
            assert answer == body[:offset], offset  # a finish reason and a proper end need no marker
        else:
            came = max(end for end in boundaries(events) if end <= offset)
            # The last event may lack a line end that nobody waits for.
            kept = next(part for part in (body[:came], body[:offset]) if answer.startswith(part + b"\n\n"))
            assert body.startswith(kept), offset
            assert answer.count(b"upstream_interrupted") == 1, offset
            assert answer.endswith(b"}\n\n"), offset
            assert api.end not in answer, offset


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("framing", ["chunked", "length", "eof", "both"])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_framing_is_ours(stage: Scene, api: Api, framing: str, stream: bool) -> None:
    """However the provider states the length of its answer, the client gets one length and the same bytes."""
    expected = await said_by(stage.alpha, api, stream=stream)
    stage.alpha.fault = Framed(framing)  # type: ignore[arg-type]

    answer = await stage.raw.ask(api, stream=stream)

    assert answer.status == 200
    assert answer.body == expected.body


@pytest.mark.parametrize("code", [200, 400, 422])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_what_is_compressed_stays_so(stage: Scene, api: Api, code: int, stream: bool) -> None:
    """A compressed answer or refusal arrives as it is, and says so."""
    stage.alpha.fault = Gzip() if code == 200 else Status(code) & Gzip()
    expected = await said_by(stage.alpha, api, stream=stream)

    answer = await stage.raw.ask(api, stream=stream)

    assert (answer.status, answer.body) == (code, expected.body)
    assert answer.header("content-encoding") == "gzip"
    assert stage.beta.requests == []


@pytest.mark.parametrize("code", [200, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_compressed_failure_is_read(stage: Scene, api: Api, code: int, stream: bool) -> None:
    """A compressed failure is told from an answer: the client gets beta's, which is not compressed."""
    stage.alpha.fault = Status(code) & Gzip()
    expected = await said_by(stage.beta, api, stream=stream)

    answer = await stage.raw.ask(api, stream=stream)

    assert answer.body == expected.body
    assert answer.header("content-encoding") is None


@pytest.mark.parametrize("code", [200, 400, 500])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_sdk_reads_what_is_compressed(stage: Scene, api: Api, code: int) -> None:
    """An SDK makes of a compressed answer what it makes of a plain one."""
    stage.alpha.fault = Gzip() if code == 200 else Status(code) & Gzip()
    text = "alpha says: all is well." if code == 200 else "beta says: all is well."

    for stream in (False, True):
        if code == 400:
            with pytest.raises(Exception, match="This provider was told to fail"):
                await stage.sdks.say(api, stream=stream)
        else:
            assert await stage.sdks.say(api, stream=stream) == text


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_what_follows_the_end_is_dropped(stage: Scene, api: Api) -> None:
    """Bytes after the terminal marker belong to no answer, and their connection serves no other request."""
    expected = await said_by(stage.alpha, api, stream=True)
    stage.alpha.requests.clear()
    stage.alpha.next(Insert(b"data: {}\n\n", after=1000))

    first = await stage.raw.ask(api)
    second = await stage.raw.ask(api)

    assert first.body == second.body == expected.body
    assert stage.beta.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_nobody_asked_for(stage: Scene, stream: bool) -> None:
    """What a provider sends after its answer is never taken for the answer to the next request."""
    stage.alpha.next(Garbage())

    answers = [await stage.raw.ask(CHAT, stream=stream) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert not any(b"garbage" in answer.whole for answer in answers)
    assert answers[0].header("x-standby-target") == "alpha"


@pytest.mark.parametrize("stream", [False, True])
async def test_crossing_requests_are_not_mixed_up(stage: Scene, stream: bool) -> None:
    """Each of many requests at once gets the answer to its own question."""

    def words(received: Received) -> tuple[str, ...]:
        text: str = received.json["messages"][0]["content"]
        return tuple(f"{word} " for word in text.split())

    stage.alpha.words = words
    stage.alpha.pace = 0.001

    async def asks(prompt: str) -> str:
        text = await stage.sdks.say(CHAT, stream=stream, prompt=prompt)
        return "its own" if text == "".join(f"{word} " for word in prompt.split()) else text

    assert (await send_batch(asks, size=50)).answers == {"its own": 50}
