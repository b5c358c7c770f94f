"""Tests that reading an event by a template has the same result as parsing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.classify.answer import Answer
from standby.proxy.dialects.base import Operation
from standby.proxy.dialects.registry import OPERATIONS
from standby.proxy.dialects.similar_events import SimilarEvents

__all__: list[str] = []

SSE: Final = ((b"content-type", b"text/event-stream"),)

TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": (
        '{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":$T},"finish_reason":null}]}',
        '{"id":"c1","choices":[{"delta":{"role":"assistant","content":$T}}],"usage":null,"obfuscation":$P}',
        '{"choices":[{"delta":{"content": $T},"finish_reason":null}],"usage":{"prompt_tokens":$N}}',
        '{"choices":[{"delta":{"content":$T,"refusal":$P}}]}',
        '{"choices":[{"delta":{"content":$T}},{"delta":{"content":$P}}]}',
        '{"choices":[{"delta":{"\\u0063ontent":$T}}],"x":{"content":$P}}',
        '{"choices":[{"delta":{"refusal":$T}}],"x":{"content":$P}}',
        '{"choices":[{"delta":{"content":$T}}],"choices":[{"delta":{"content":$P}}]}',
        '{"choices":[{"delta":{"content":$T},"finish_reason":"stop"}],"obfuscation":$P}',
        '{"choices":[{"delta":{"content":$T}}],"error":{"message":$P}}',
        '{"choices":[{"delta":{"content":$T}}],"\\u0065rror":{"message":$P}}',
        '{"choices":[{"delta":{"content":$T}}],"sequence_number":$N}',
        "[DONE]",
    ),
    "messages": (
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":$T}}',
        '{"type":"content_block_delta","index":$N,"delta":{"type":"thinking_delta","thinking":$T}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":$T}}',
        '{"type":"content_block_delta","index":0,"delta":{"text":"","thinking":$T},"obfuscation":$P}',
        '{"type":"content_block_delta","delta":{"text":$T,"thinking":$P},"error":{"message":"x"}}',
        '{"type":"content_block_start","content_block":{"type":"text","text":$T}}',
        '{"type":"message_delta","delta":{"stop_reason":$T},"usage":{"output_tokens":$N}}',
        '{"type":"ping"}',
        '{"type":"message_stop"}',
    ),
    "responses": (
        '{"type":"response.output_text.delta","sequence_number":$N,"item_id":"m","delta":$T,"obfuscation":$P}',
        '{"type":"response.output_text.delta","delta":$T,"sequence_number":$N}',
        '{"type":"response.output_text.delta","delta":$T,"x":{"sequence_number":$N}}',
        '{"type":"response.output_text.delta","delta":$T,"x":{"delta":$P}}',
        '{"type":"response.output_text.delta","delta":$T,"sequence_number":"$N"}',
        '{"delta":$T,"sequence_number":$N}',
        '{"type":"response.output_item.done","item":{"type":"message","content":$T},"delta":$P}',
        '{"type":"response.completed","sequence_number":$N,"response":{"status":"completed"}}',
        '{"type":"response.output_text.delta","delta":$T,"error":{"message":$P}}',
    ),
}
NAMES: Final = ("", "", "", "content_block_delta", "response.output_text.delta", "error")

plain = st.sampled_from(["a", "b", " order", "é", "\x7f", "日本", "\u2028", "{", "0"])
strange = st.one_of(st.sampled_from(["", "\n", '"', "\\", "\ud800"]), st.text(max_size=4))
texts = st.one_of(plain, plain, plain, strange)
counts = st.sampled_from(["0", "1", "7", "12"])
numbers = st.one_of(counts, counts, st.sampled_from(["-1", "1.5", "1e3", "007", "9" * 20, "null", '"']))


@st.composite
def events(draw: st.DrawFn, few: tuple[str, ...], name: str, end: str) -> bytes:
    """One event, sometimes with more or less than that."""

    def text() -> str:
        return json.dumps(draw(texts), ensure_ascii=draw(st.integers(0, 7)) == 0)

    data = draw(st.sampled_from(few)).replace("$T", text()).replace("$P", text()).replace("$N", draw(numbers))
    event = (f"event: {name}\n" if name else "") + f"data: {data}{end}"
    raw = event.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 15)) == 0:  # a changed byte
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
    return raw


@st.composite
def streams(draw: st.DrawFn, dialect: str) -> list[bytes]:
    """The chunks of a stream: nearly all of them events, of a few kinds."""
    # The first event commits the answer; templates are learnt from the following ones.
    few = tuple(draw(st.lists(st.sampled_from(TEMPLATES[dialect]), min_size=1, max_size=2)))
    name = draw(st.sampled_from(NAMES))
    end = draw(st.sampled_from(["\n\n", "\n\n", "\n\n", "\r\n\r\n", "\r\n\r", "\n"]))
    first = "data: " + TEMPLATES[dialect][0].replace("$T", '"a"').replace("$P", '""').replace("$N", "0")
    pieces = draw(st.lists(events(few, name, end), min_size=3, max_size=12))
    if draw(st.integers(0, 3)) == 0:  # another chunk boundary
        at = draw(st.integers(0, len(pieces) - 1))
        cut = draw(st.integers(0, len(pieces[at])))
        pieces[at : at + 1] = [pieces[at][:cut], pieces[at][cut:]]
    return [first.encode() + b"\n\n", *pieces]


def read_events(operation: Operation, pieces: list[bytes], *, skims: bool) -> tuple[list[Any], int]:
    """The results of an answer after each chunk, and the number of skimmed chunks."""
    answer = Answer(operation, streamed=True)
    answer.start(200, SSE)
    seen: list[Any] = []
    skimmed = 0
    for piece in pieces:
        if skims and answer.skim is not None and answer.skim(piece):
            skimmed += 1
            progress: bool = True
            cut: int | None = len(piece)
        else:
            answer.feed(piece)
            progress, cut = answer.progress, answer.cut
        reader = answer.reader
        assert reader is not None
        state = (answer.verdict, answer.fault, answer.ended, answer.complete, answer.written)
        text_size = (reader.usage, reader.model, reader.answer_id, reader.finish, reader.error)
        seen.append((progress, cut, *state, *text_size, reader.broken("code", "message", "id")))
    answer.end()
    seen.append((answer.verdict, answer.fault, answer.complete, answer.written))
    return seen, skimmed


@pytest.mark.parametrize("dialect", TEMPLATES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_likeness_tells_no_more_and_no_less(dialect: str, data: st.DataObject) -> None:
    """For any chunks, skimming does not change the results."""
    pieces = data.draw(streams(dialect))
    operation = OPERATIONS[dialect]
    assert read_events(operation, pieces, skims=True)[0] == read_events(operation, pieces, skims=False)[0]


@pytest.mark.parametrize("dialect", TEMPLATES)
def test_nearly_all_events_are_skimmed(dialect: str) -> None:
    """From the third event on, no event of an ordinary stream is parsed, for any text and padding."""
    texts = ["He", "llo", " wörld", "!" * 50, "日本"]
    pieces = [
        b"event: x\ndata: "
        + TEMPLATES[dialect][0]
        .replace("$T", f'"{text}"')
        .replace("$P", f'"{"p" * number}"')
        .replace("$N", str(number))
        .encode()
        + b"\n\n"
        for number, text in enumerate(texts)
    ]
    assert read_events(OPERATIONS[dialect], pieces, skims=True)[1] == len(texts) - 2


def test_an_answer_of_strange_events_costs_little() -> None:
    """After a number of templates that never matched, no more are learnt for an answer."""
    operation = OPERATIONS["chat"]
    reader = operation.reader()
    pieces = [b'data: {"n":%d,"choices":[{"delta":{"content":"a"}}]}\n\n' % n for n in range(40)]
    for piece in pieces:
        reader.learn(piece, piece[6:-2])
    assert [reader.skim(piece) for piece in pieces].count(True) == 1


@pytest.mark.parametrize("text", ["a\\nb", 'a"b', "", 7, None])
def test_what_cannot_be_told_from_the_bytes(text: object) -> None:
    """No template is made of an event whose text needs decoding."""
    piece = b'data: {"content":' + json.dumps(text).encode() + b"}\n\n"
    assert SimilarEvents.of(piece, b"content", text) is None
