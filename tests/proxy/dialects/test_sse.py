"""Tests of the splitter: the same events for any chunks, and no byte changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.dialects.sse import MAX_EVENT, Event, EventTooLarge, Splitter

__all__: list[str] = []

BOM: Final = b"\xef\xbb\xbf"
MIXED: Final = (
    b": a comment\n\n"
    b"data: one\n\n"
    b"event: named\r\ndata:two\r\n\r\n"
    b"data: three\rdata:  four\r\r"
    b"retry: 10\nid: 7\ndata\ndata: \n\n"
    b"event: only a name\n\n"
    b"\n\n\n"
    b"data: \xc3\xa9 \xe2\x82\xac: {}\n\r\n"
    b"data: last\n\n"
)
EVENTS: Final = [
    (b"", b"one"),
    (b"named", b"two"),
    (b"", b"three\n four"),
    (b"", b"\n"),
    (b"", "é €: {}".encode()),
    (b"", b"last"),
]

_BLANK_BEFORE = re.compile(rb"(?:\A|\r\n|\n|\r)(?:\r\n|\n|\r)\Z")


def split(chunks: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The events of a stream that arrives in these chunks."""
    splitter = Splitter()
    return [event[:2] for chunk in chunks for event in splitter.feed(chunk)]


def reference(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The events of a whole stream, parsed line by line as in the standard."""
    events: list[tuple[bytes, bytes]] = []
    name, data = b"", list[bytes]()
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM))
    for line in lines[:-1]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Streams of lines that may have a meaning, with any line ends."""
    line = st.sampled_from(
        [
            b"",
            b"data: x",
            b"data:y",
            b"data",
            b"event: n",
            b"event:",
            b": c",
            b"id: 1",
            b"junk",
            b"data: \xe2\x82\xac",
        ]
    )
    end = st.sampled_from([b"\n", b"\r\n", b"\r"])
    body = b"".join(draw(st.lists(st.tuples(line, end).map(b"".join), max_size=14)))
    return draw(st.sampled_from([b"", BOM])) + body


@st.composite
def partitions(draw: st.DrawFn) -> list[bytes]:
    """Such streams, in chunks of any size, some of them empty."""
    stream = draw(streams())
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def test_every_line_end_and_field() -> None:
    """LF, CRLF, CR and mixtures end lines; comments, ids and names without data are not events."""
    assert split([MIXED]) == EVENTS


def test_every_single_cut() -> None:
    """For any split of a stream into two chunks, the events are the same."""
    assert [at for at in range(len(MIXED) + 1) if split([MIXED[:at], MIXED[at:]]) != EVENTS] == []


def test_byte_by_byte() -> None:
    """A stream may arrive one byte at a time."""
    assert split([MIXED[at : at + 1] for at in range(len(MIXED))]) == EVENTS


@given(streams())
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    """The events of a stream in one chunk are those of a line-by-line parser."""
    assert split([stream]) == reference(stream)


@given(partitions())
def test_every_partition_yields_the_same_events(chunks: list[bytes]) -> None:
    """The chunks of a stream do not affect its events."""
    assert split(chunks) == reference(b"".join(chunks))


@pytest.mark.parametrize("at", range(4))
def test_a_mark_at_the_beginning_is_no_part_of_the_first_line(at: int) -> None:
    """A byte order mark is skipped, also when a chunk ends within it."""
    stream = BOM + b"data: one\n\n"
    assert split([stream[:at], stream[at:]]) == [(b"", b"one")]


def test_a_mark_elsewhere_is_not_skipped() -> None:
    """Only at the very beginning are the three bytes a mark; later they are part of a field's name."""
    assert split([b"data: one\n\n" + BOM + b"data: two\n\n"]) == [(b"", b"one")]


@given(partitions())
def test_offsets_point_behind_a_blank_line(chunks: list[bytes]) -> None:
    """The offset of each event is after its blank line, so a relay that stops there has sent whole events."""
    splitter, before = Splitter(), b""
    for chunk in chunks:
        events = splitter.feed(chunk)
        ends = [event[2] for event in events]
        assert ends == sorted(ends)
        assert all(0 < end <= splitter.boundary <= len(chunk) for end in ends)
        for offset in {*ends, splitter.boundary} - {0}:
            assert _BLANK_BEFORE.search((before + chunk[:offset]).removeprefix(BOM))
        before += chunk


@given(partitions())
def test_ripe_parts_make_the_stream(chunks: list[bytes]) -> None:
    """The bytes up to each boundary and the tail, joined, are the received bytes."""
    splitter, relayed, rest = Splitter(), b"", b""
    for chunk in chunks:
        splitter.feed(chunk)
        rest += chunk
        if cut := splitter.boundary:
            ripe = len(rest) - len(chunk) + cut
            relayed, rest = relayed + rest[:ripe], rest[ripe:]
    assert relayed + rest == b"".join(chunks)
    assert splitter.tail == rest


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: whole\n\n", []),
        (b"data: no line end", [(b"", b"no line end")]),
        (b"data: one\n", [(b"", b"one")]),
        (b"data: one\r", [(b"", b"one")]),
        (b"event: e\r\ndata: one\r\n", [(b"e", b"one")]),
        (b": comment", []),
        (b"", []),
    ],
)
def test_the_end_completes_what_was_begun(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    """At the end of a stream the last event counts even without its blank line."""
    splitter = Splitter()
    splitter.feed(stream)
    assert [event[:2] for event in splitter.finish()] == events
    assert splitter.finish() == []


def test_an_event_without_end_is_given_up() -> None:
    """An event may have 8 MiB; one byte more is an error."""
    splitter = Splitter()
    assert splitter.feed(b"data: " + b"x" * (MAX_EVENT - 6)) == []
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")


def test_whole_events_may_be_as_long_as_they_like_together() -> None:
    """The limit is per event: a long chunk of short events is valid."""
    assert len(split([b"data: " + b"x" * 1000 + b"\n\n"] * 3)) == 3
    assert len(split([(b"data: " + b"x" * 1000 + b"\n\n") * 2000])) == 2000


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"\r", b"\n\r\n"])
def test_blank_lines_without_end_are_nothing(monkeypatch: pytest.MonkeyPatch, blank: bytes) -> None:
    """Blank lines between events are skipped and not read one by one, however many a provider sends."""
    read: list[bytes] = []
    dispatch = Splitter._dispatch  # pyright: ignore[reportPrivateUsage]

    def recording(self: Splitter, events: list[Event], block: bytes, end: int) -> None:
        read.append(block)
        dispatch(self, events, block, end)

    monkeypatch.setattr(Splitter, "_dispatch", recording)
    splitter = Splitter()
    data = [event[1] for event in splitter.feed(b"data: a\n\n" + blank * 10_001 + b"data: b\n\n")]
    assert data == [b"a", b"b"]
    assert len(read) == 2
