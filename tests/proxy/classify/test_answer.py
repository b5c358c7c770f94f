"""Tests of reading a streamed answer: what commits it, what is a fault, and what is neither."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standby.proxy.asgi import Headers
from standby.proxy.classify.answer import MAX_HELD, Answer, Verdict
from standby.proxy.classify.faults import Fault, FaultKind
from standby.proxy.dialects.sse import MAX_EVENT

from tests.proxy.streams import EMPTY, SPOKEN, Spoken

__all__: list[str] = []

HOLD, COMMIT, FAULT = Verdict
SSE: Final[Headers] = ((b"content-type", b"text/event-stream; charset=utf-8"),)
GZIP: Final[Headers] = (*SSE, (b"content-encoding", b"gzip"))


@pytest.fixture(params=[*SPOKEN.values()], ids=[*SPOKEN])
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Each of the streamed dialects."""
    spoken: Spoken = request.param
    return spoken


def started(spoken: Spoken, headers: Headers = SSE) -> Answer:
    """An answer that has received the head of a valid stream."""
    answer = Answer(spoken.operation, streamed=True)
    assert answer.start(200, headers) is HOLD
    return answer


def read(spoken: Spoken, pieces: Iterable[bytes], headers: Headers = SSE) -> Answer:
    """An answer that has received these chunks."""
    answer = started(spoken, headers)
    for piece in pieces:
        answer.feed(piece)
    return answer


def test_a_preamble_never_commits(spoken: Spoken) -> None:
    """Events before the first content neither commit an answer nor count as progress."""
    answer = read(spoken, (*spoken.preamble, *spoken.idle))
    assert (answer.verdict, answer.fault, answer.progress) == (HOLD, None, False)


@pytest.mark.parametrize("nth", range(4))
def test_content_commits(spoken: Spoken, nth: int) -> None:
    """Text, a tool call, reasoning and a refusal in words are content."""
    answer = read(spoken, spoken.preamble)
    assert answer.feed(spoken.content[nth % len(spoken.content)]) is COMMIT
    assert answer.progress


def test_a_finish_commits(spoken: Spoken) -> None:
    """An answer without content is valid if it has a stop reason."""
    assert read(spoken, (*spoken.preamble, spoken.finish)).verdict is COMMIT


def test_only_content_is_progress(spoken: Spoken) -> None:
    """Comments, pings and empty deltas are no progress, before and after commit."""
    answer = read(spoken, (*spoken.preamble, spoken.content[0]))
    for idle in spoken.idle:
        answer.feed(idle)
        assert not answer.progress, idle
    for content in spoken.content:
        answer.feed(content)
        assert answer.progress, content


def test_progress_is_told_of_the_chunk_not_of_the_event(spoken: Spoken) -> None:
    """A chunk with one content event among others is progress; half an event is not."""
    answer = read(spoken, spoken.preamble)
    answer.feed(EMPTY + spoken.content[0] + EMPTY)
    assert answer.progress
    answer.feed(spoken.content[0][:20])
    assert not answer.progress
    answer.feed(spoken.content[0][20:])
    assert answer.progress


def test_a_whole_stream(spoken: Spoken) -> None:
    """A stream with its terminal marker is complete and has no fault."""
    answer = read(spoken, [spoken.whole])
    assert (answer.verdict, answer.complete, answer.ended, answer.fault) == (COMMIT, True, True, None)
    assert answer.end() is COMMIT
    assert (answer.complete, answer.fault) == (True, None)
    assert answer.is_stream


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("begun", [False, True])
def test_nothing_but_an_end(dialect: str, begun: bool) -> None:
    """A stream that ends before its first content is a fault, even if it has begun."""
    spoken = SPOKEN[dialect]
    answer = read(spoken, (*spoken.preamble * begun, spoken.done))
    assert (answer.verdict, answer.fault) == (FAULT, Fault("bad_response", 200))
    assert not answer.complete


def test_an_end_that_tells_how_it_finished() -> None:
    """The terminal event of a response has its status, so it is an answer by itself."""
    spoken = SPOKEN["responses"]
    answer = read(spoken, (*spoken.preamble, spoken.done))
    assert (answer.verdict, answer.fault, answer.complete) == (COMMIT, None, True)


def test_an_error_before_content(spoken: Spoken) -> None:
    """An error inside a 200 is a fault of the kind that the error names."""
    answer = read(spoken, (*spoken.preamble, spoken.refused))
    assert answer.verdict is FAULT
    assert answer.fault is not None
    assert (answer.fault.kind, answer.fault.status) == ("overloaded", 200)
    assert answer.ended


def test_an_error_after_content(spoken: Spoken) -> None:
    """After commit, an error ends the answer as truncated, and the code of the error is kept."""
    answer = read(spoken, (*spoken.preamble, spoken.content[0], spoken.refused))
    assert answer.verdict is COMMIT
    assert answer.fault is not None
    assert answer.fault.kind == "stream_truncated"
    assert answer.fault.code in {"overloaded_error", "server_is_overloaded", "overloaded"}
    assert (answer.ended, answer.complete) == (True, False)


def test_an_error_and_then_an_end(spoken: Spoken) -> None:
    """Some servers send the terminal marker after an error; the answer is still a fault."""
    answer = read(spoken, (*spoken.preamble, spoken.content[0], spoken.refused + spoken.done))
    answer.end()
    assert not answer.complete
    assert answer.fault is not None
    assert answer.cut == len(spoken.refused)


def test_what_follows_the_end_is_cut_off(spoken: Spoken) -> None:
    """Bytes after the terminal marker are not part of the answer, in the same chunk or in later ones."""
    answer = read(spoken, (*spoken.preamble, spoken.content[0], spoken.finish))
    answer.feed(spoken.done + b"data: more\n\n")
    assert answer.cut == len(spoken.done)
    answer.feed(spoken.content[0])
    assert (answer.cut, answer.progress) == (0, False)


@pytest.mark.parametrize("tail", [b"", b"\n", EMPTY, b": pi", b"data: {"])
def test_the_body_ends_before_content(spoken: Spoken, tail: bytes) -> None:
    """A stream that ends before its first content has failed, even if it was closed properly."""
    answer = read(spoken, (*spoken.preamble, tail))
    assert answer.end() is FAULT
    assert answer.fault == Fault("stream_failed", 200)


def test_an_empty_body(spoken: Spoken) -> None:
    """An empty stream has failed too."""
    assert started(spoken).end() is FAULT


@pytest.mark.parametrize("tail", [b"", EMPTY, b"data: {"])
def test_the_body_ends_after_content(spoken: Spoken, tail: bytes) -> None:
    """A stream without its terminal marker is truncated, even if all of its content may have arrived."""
    answer = read(spoken, (*spoken.preamble, spoken.content[0], tail))
    assert answer.end() is COMMIT
    assert answer.fault == Fault("stream_truncated", 200)
    assert not answer.complete


@pytest.mark.parametrize("missing", [1, 2])
def test_the_end_may_lack_its_blank_line(spoken: Spoken, missing: int) -> None:
    """A terminal marker counts even without the line ends after it."""
    answer = read(spoken, [spoken.whole[:-missing]])
    assert not answer.complete
    answer.end()
    assert (answer.complete, answer.fault) == (True, None)


@pytest.mark.parametrize("missing", [1, 2])
def test_an_error_may_lack_its_blank_line(spoken: Spoken, missing: int) -> None:
    """An error counts without them too, before content and after."""
    early = read(spoken, (*spoken.preamble, spoken.refused[:-missing]))
    assert early.end() is FAULT
    assert early.fault is not None
    assert early.fault.kind == "overloaded"
    late = read(spoken, (*spoken.preamble, spoken.content[0], spoken.refused[:-missing]))
    late.end()
    assert late.fault is not None
    assert (late.fault.kind, late.complete) == ("stream_truncated", False)


def test_a_json_tail(spoken: Spoken) -> None:
    """Some overloaded providers send a JSON document instead of a stream: it is classified by its content."""
    error = b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "No."}}'
    answer = read(spoken, (EMPTY, error))
    assert answer.end() is FAULT
    assert answer.fault is not None
    assert answer.fault.kind == "overloaded"
    late = read(spoken, (*spoken.preamble, spoken.content[0], error))
    late.end()
    assert late.fault is not None
    assert late.fault.kind == "stream_truncated"


@pytest.mark.parametrize("kind", ["stream_failed", "timeout", "timeout_first_byte"])
def test_a_break(spoken: Spoken, kind: FaultKind) -> None:
    """A failed connection is a fault of its own kind before content, and a truncation after it."""
    early = read(spoken, spoken.preamble)
    assert early.broke(kind) is FAULT
    assert early.fault is not None
    assert early.fault.kind == kind
    late = read(spoken, (*spoken.preamble, spoken.content[0]))
    assert late.broke(kind) is COMMIT
    assert late.fault == Fault("stream_truncated", 200)


def test_a_break_after_the_end_is_none(spoken: Spoken) -> None:
    """A failure after the end of the answer changes nothing."""
    answer = read(spoken, [spoken.whole])
    answer.broke("stream_failed")
    assert (answer.fault, answer.complete) == (None, True)


def test_a_break_before_the_head() -> None:
    """A connection that failed before an answer has no status."""
    answer = Answer(SPOKEN["chat"].operation, streamed=True)
    assert answer.broke("connect") is FAULT
    assert answer.fault == Fault("connect", None)


def test_too_much_is_held(spoken: Spoken) -> None:
    """After 64 KiB an undecided stream is committed, so that the memory is bounded."""
    comment = b": " + b"x" * 1020 + b"\n\n"
    answer = started(spoken)
    for _ in range(MAX_HELD // len(comment)):
        assert answer.feed(comment) is HOLD
    assert answer.feed(comment) is COMMIT
    assert not answer.progress


def test_an_event_without_end(spoken: Spoken) -> None:
    """An event over the size limit is a fault; after commit a truncation, and nothing of it is relayed."""
    endless = b"data: " + b"x" * MAX_EVENT
    early = started(spoken)
    assert early.feed(endless) is FAULT
    assert early.fault == Fault("bad_response", 200)
    late = read(spoken, (*spoken.preamble, spoken.content[0]))
    late.feed(endless)
    assert (late.fault, late.ended, late.cut) == (Fault("stream_truncated", 200), True, 0)


@given(st.data())
def test_cuts_point_behind_whole_events(data: st.DataObject) -> None:
    """For any chunks of a stream, the bytes to relay are always whole events, in order."""
    spoken = SPOKEN[data.draw(st.sampled_from(sorted(SPOKEN)))]
    stream = spoken.whole + b"data: beyond\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    events = (*spoken.preamble, *spoken.content, spoken.finish, spoken.done)
    ends = {0} | {len(b"".join(events[: n + 1])) for n in range(len(events))}
    answer, seen, ripe = started(spoken), 0, 0
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        answer.feed(stream[start:end])
        assert answer.cut is not None
        if answer.cut:
            ripe = seen + answer.cut
        seen = end
        assert ripe in ends
    assert ripe == len(spoken.whole)
    assert answer.complete


@given(
    st.sampled_from(sorted(SPOKEN)),
    st.booleans(),
    st.sampled_from([b"text/event-stream", b"application/json", b"text/html", b""]),
    st.sampled_from([200, 201, 400, 500]),
    st.lists(
        st.sampled_from(["preamble", "content", "finish", "done", "refused", "document", "junk"]), max_size=5
    ),
)
@example("chat", False, b"text/event-stream", 200, ["done"])
def test_a_verdict_changes_once(
    dialect: str, streamed: bool, kind: bytes, status: int, said: list[str]
) -> None:
    """For any input in any order, the verdict changes from HOLD at most once."""
    spoken = SPOKEN[dialect]
    pieces = {
        "preamble": b"".join(spoken.preamble),
        "content": spoken.content[0],
        "finish": spoken.finish,
        "done": spoken.done,
        "refused": spoken.refused,
        "document": b'{"error": "overloaded"}',
        "junk": b"x",
    }
    answer = Answer(spoken.operation, streamed=streamed)
    seen = [answer.start(status, ((b"content-type", kind),))]
    seen += [answer.feed(pieces[name]) for name in said]
    seen += [answer.end(), answer.broke("stream_failed")]
    assert HOLD not in seen[-2:]
    assert len(set(seen) - {HOLD}) == 1
    assert seen == sorted(seen, key=lambda verdict: verdict is not HOLD)


def test_a_compressed_stream_is_read(spoken: Spoken) -> None:
    """A compressed answer is classified like any other; its bytes are relayed unchanged."""
    packer = zlib.compressobj(wbits=31)
    answer = started(spoken, GZIP)
    for event, verdict in (
        (b"".join(spoken.preamble), HOLD),
        (spoken.content[0], COMMIT),
        (spoken.finish + spoken.done, COMMIT),
    ):
        assert answer.feed(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)) is verdict
        assert answer.cut is None
    assert answer.complete


def test_a_compressed_refusal_is_read(spoken: Spoken) -> None:
    """An error is found in every supported encoding."""
    answer = started(spoken, GZIP)
    assert answer.feed(gzip.compress(b"".join((*spoken.preamble, spoken.refused)))) is FAULT


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip"])
def test_an_encoding_that_nobody_asked_for(spoken: Spoken, encoding: bytes) -> None:
    """An answer in an unknown encoding is a fault, since it cannot be read."""
    answer = Answer(spoken.operation, streamed=True)
    assert answer.start(200, (*SSE, (b"content-encoding", encoding))) is FAULT
    assert answer.fault == Fault("bad_response", 200)


@pytest.mark.parametrize("identity", [b"identity", b"", b"Identity"])
def test_no_encoding_by_name(spoken: Spoken, identity: bytes) -> None:
    """The encoding "identity" is accepted, in any case."""
    assert read(spoken, [spoken.whole], (*SSE, (b"content-encoding", identity))).complete


def test_a_bomb(spoken: Spoken) -> None:
    """A stream that expands too much is a fault, before content and after."""
    bomb = gzip.compress(bytes(2**24))
    early = started(spoken, GZIP)
    assert early.feed(bomb) is FAULT
    packer = zlib.compressobj(wbits=31)
    late = started(spoken, GZIP)
    late.feed(packer.compress(spoken.content[0]) + packer.flush(zlib.Z_SYNC_FLUSH))
    late.feed(packer.compress(bytes(2**24)) + packer.flush())
    assert (late.verdict, late.fault) == (COMMIT, Fault("stream_truncated", 200))
