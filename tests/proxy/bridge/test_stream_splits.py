"""Tests of translated streams: the same for every split of the bytes, and the same as the whole answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.bridge.bridges import BRIDGES, Bridge
from standby.proxy.bridge.stream_translator import StreamTranslator

from tests.proxy.bridge.accumulated import accumulated, events_of, visible
from tests.proxy.bridge.upstreams import AFTER_THE_END, GARBAGE, LINE_ENDS, STREAMS, rendered

__all__: list[str] = []

Json: TypeAlias = dict[str, Any]

PAIRS: Final = tuple(BRIDGES)
CASES: Final = tuple((pair, name) for pair in PAIRS for name in STREAMS[pair[1]])
ASKED: Final = {"model": "pool", "stream": True, "stream_options": {"include_usage": True}}
COMMENT: Final = b": keep-alive\n\n"
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
PONG: Final = b": ping\n\n"

each_bridge = pytest.mark.parametrize("pair", PAIRS, ids="-".join)
each_case = pytest.mark.parametrize(("pair", "name"), CASES)


def translator(bridge: Bridge, asked: Json | None = None) -> StreamTranslator:
    """A new translator of a stream."""
    return bridge.stream(bridge.question(ASKED if asked is None else asked, "target", 7))


def heard(stream: bytes) -> bytes:
    """A stream without its signs of life."""
    return stream.replace(PONG, b"")


def translated(bridge: Bridge, chunks: Iterable[bytes], asked: Json | None = None) -> bytes:
    """The translation of a whole stream."""
    stream = translator(bridge, asked)
    return b"".join([*map(stream.feed, chunks), stream.end()])


def upstream(pair: tuple[str, str], name: str, line_end: bytes = b"\n", between: bytes = b"") -> bytes:
    """The bytes of one of the providers' streams."""
    named = pair[1] == "messages"
    return rendered(STREAMS[pair[1]][name].events, named=named, line_end=line_end, between=between)


def in_pieces(raw: bytes, size: int) -> list[bytes]:
    """The bytes in pieces of that size."""
    return [raw[at : at + size] for at in range(0, len(raw), size)]


@pytest.mark.parametrize("line_end", LINE_ENDS)
@each_bridge
def test_a_split_in_two_changes_nothing(pair: tuple[str, str], line_end: bytes) -> None:
    """Wherever the bytes are split in two, the same goes out."""
    raw, bridge = upstream(pair, "everything", line_end), BRIDGES[pair]
    whole = translated(bridge, [raw])

    assert whole == translated(bridge, [upstream(pair, "everything")])
    for at in range(1, len(raw)):
        assert translated(bridge, [raw[:at], raw[at:]]) == whole, at


@pytest.mark.parametrize(
    ("line_end", "between"), [(b"\n", PING), (b"\r\n", b""), (b"\r\n", COMMENT), (b"\r", PING)]
)
@each_case
def test_small_pieces_change_nothing(
    pair: tuple[str, str], name: str, line_end: bytes, between: bytes
) -> None:
    """A stream that arrives byte by byte, or with comments and pings, is translated to the same events."""
    raw, bridge = upstream(pair, name, line_end, between), BRIDGES[pair]
    whole = translated(bridge, [raw])

    assert translated(bridge, in_pieces(raw, 1)) == whole
    assert translated(bridge, in_pieces(raw, 7)) == whole
    assert heard(whole) == heard(translated(bridge, [upstream(pair, name)]))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_split_changes_anything(data: st.DataObject) -> None:
    """However often the bytes are split, the same goes out."""
    pair, name = data.draw(st.sampled_from(CASES))
    raw = upstream(pair, name, data.draw(st.sampled_from(LINE_ENDS)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=12)))
    chunks = [raw[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(raw)])]

    assert translated(BRIDGES[pair], chunks) == translated(BRIDGES[pair], [raw])


@each_case
def test_a_stream_says_what_the_whole_answer_says(pair: tuple[str, str], name: str) -> None:
    """What a client accumulates is the translation of the whole answer with the same content."""
    bridge = BRIDGES[pair]
    out = translated(bridge, [upstream(pair, name)])
    whole = bridge.document(STREAMS[pair[1]][name].whole, bridge.question(ASKED, "target", 7))

    assert visible(pair[0], accumulated(pair[0], out)) == visible(pair[0], whole)


@each_case
def test_a_translated_stream_is_well_formed(pair: tuple[str, str], name: str) -> None:
    """Each event has the name and the number that its format demands, and the last is the end."""
    out = translated(BRIDGES[pair], [upstream(pair, name)])
    events = events_of(out)

    if pair[0] == "chat":
        assert out.endswith(b"data: [DONE]\n\n")
        assert out.count(b"[DONE]") == 1
        return
    assert [event_name for event_name, _ in events] == [event["type"] for _, event in events]
    kinds = [event["type"] for _, event in events]
    if pair[0] == "messages":
        assert kinds[0] == "message_start"
        assert kinds[-2:] == ["message_delta", "message_stop"]
        starts = [event["index"] for _, event in events if event["type"] == "content_block_start"]
        stops = [event["index"] for _, event in events if event["type"] == "content_block_stop"]
        assert starts == sorted(stops) == list(range(len(starts)))
        return
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in {"response.completed", "response.incomplete"}
    assert [event["sequence_number"] for _, event in events] == list(range(len(events)))


@each_bridge
def test_nothing_follows_the_end(pair: tuple[str, str]) -> None:
    """What a provider sends after the end does not go out, in the same chunk or later."""
    raw, bridge, more = upstream(pair, "everything"), BRIDGES[pair], AFTER_THE_END[pair[1]]
    whole = translated(bridge, [raw])

    assert translated(bridge, [raw + more]) == whole
    assert translated(bridge, [raw, more, more]) == whole


@each_bridge
def test_garbage_is_left_out(pair: tuple[str, str]) -> None:
    """Within an answer, events that make no sense translate to nothing, and harm no other."""
    bridge, events = BRIDGES[pair], STREAMS[pair[1]]["everything"].events
    mixed = [piece for event in events[2:] for piece in (event, *GARBAGE)]
    raw = rendered([*events[:2], *mixed], named=pair[1] == "messages")

    assert heard(translated(bridge, [raw])) == heard(translated(bridge, [upstream(pair, "everything")]))


@each_bridge
def test_an_error_does_not_go_out(pair: tuple[str, str]) -> None:
    """A provider's error after content is not passed on; the caller's own error event ends the stream."""
    bridge, events = BRIDGES[pair], STREAMS[pair[1]]["text"].events
    named = pair[1] == "messages"
    begun = rendered(events[:3], named=named)
    error: Json = {"error": {"type": "overloaded_error", "message": "Overloaded, sadly"}}
    failure = rendered([{"type": "error", **error} if named else error], named=named)
    stream = translator(bridge)

    out = stream.feed(begun)
    assert stream.feed(failure) == b""
    ending = stream.broken("upstream_error", "The provider failed.", "req_1")

    (name, last), *others = events_of(ending)
    assert not others
    assert last["error"]["message"] == "The provider failed."
    if pair[0] == "messages":
        assert name == last["type"] == "error"
    elif pair[0] == "responses":
        before = [event["sequence_number"] for _, event in events_of(out)]
        assert name == last["type"] == "response.failed"
        assert [*before, last["sequence_number"]] == list(range(len(before) + 1))
        assert last["response"]["id"] == events_of(out)[0][1]["response"]["id"]
        assert last["response"]["model"] == events_of(out)[0][1]["response"]["model"]


@each_bridge
def test_a_restart_continues_the_numbers(pair: tuple[str, str]) -> None:
    """The event that asks a client to start anew is one of the caller's format, and goes on counting."""
    bridge = BRIDGES[pair]
    stream = translator(bridge)
    out = stream.feed(rendered(STREAMS[pair[1]]["text"].events[:3], named=pair[1] == "messages"))

    ((_, event),) = events_of(stream.restarted("outage", 2))

    assert event["standby"] == {"restart": {"reason": "outage", "attempt": 2}}
    if pair[0] == "responses":
        assert event["sequence_number"] == events_of(out)[-1][1]["sequence_number"] + 1
    if pair[0] == "chat":
        assert event["id"] == events_of(out)[0][1]["id"]


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": False}}])
def test_usage_only_goes_to_those_who_ask(asked: Json) -> None:
    """A caller of Chat Completions who asks for no usage gets no chunk with it."""
    pair = ("chat", "messages")
    out = translated(BRIDGES[pair], [upstream(pair, "text")], {"model": "pool", "stream": True, **asked})

    assert all("usage" not in event and event["choices"] for _, event in events_of(out))


def test_an_unknown_count_is_not_told() -> None:
    """The count of output tokens at the beginning of a message is not told as that of the whole."""
    pair = ("chat", "messages")
    start, *rest = STREAMS["messages"]["text"].events
    events = [start, *(event for event in rest if not isinstance(event, bytes))]
    events = [
        {name: given for name, given in event.items() if name != "usage"}
        for event in events
        if isinstance(event, dict)
    ]
    out = translated(BRIDGES[pair], [rendered(events, named=True)])

    assert not [event for _, event in events_of(out) if event.get("usage")]


@each_bridge
def test_half_a_character_is_carried(pair: tuple[str, str]) -> None:
    """Text that ends within a character, as a token limit may leave it, goes out as the same escape."""
    half = b'"\\ud83d"'
    if pair[1] == "chat":
        raw = b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":' + half + b"}}]}\n\ndata: [DONE]\n\n"
    else:
        start = b'data: {"type":"message_start","message":{"id":"msg_1"}}\n\n'
        raw = start + b'data: {"type":"content_block_delta","index":0,"delta":{"text":' + half + b"}}\n\n"

    assert half in translated(BRIDGES[pair], [raw])


def test_orjson_reads_what_goes_out() -> None:
    """Every event of every stream is strict JSON."""
    for pair, name in CASES:
        for line in translated(BRIDGES[pair], [upstream(pair, name)]).splitlines():
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                orjson.loads(line[6:])
