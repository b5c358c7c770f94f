"""Tests that the usage event which a caller did not ask for is removed, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.dialects.sse import Splitter
from standby.proxy.dialects.usage_event_filter import UsageEventFilter
from standby.proxy.exchange import Exchange

from tests.proxy.harness import ASK, Caller, alone, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio

USAGE: Final = b'{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
TEXT: Final = b'{"id":"c","choices":[{"index":0,"delta":{"content":"Hi, prompt_tokens!"}}],"usage":null}'
LAST: Final = b'{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
DONE: Final = b"[DONE]"


def stream(end: bytes, *, usage: bytes = USAGE, comment: bytes = b": busy") -> tuple[bytes, bytes]:
    """A stream with these line ends, as sent by the provider, and as expected by the caller."""
    before = [comment + end + end, b"data: " + TEXT + end + end, b"data: " + LAST + end + end]
    hidden = b"data: " + usage + end + end
    after = b"data: " + DONE + end + end
    return b"".join((*before, hidden, after)), b"".join((*before, after))


def relayed(pieces: Iterator[bytes]) -> bytes:
    """The filtered stream, for a stream that arrives in these chunks and is relayed as whole events."""
    splitter, unasked = Splitter(), UsageEventFilter()
    waiting, out = b"", b""
    for piece in pieces:
        splitter.feed(piece)
        ripe, waiting = (
            (waiting + piece[: splitter.boundary], piece[splitter.boundary :])
            if (splitter.boundary)
            else (b"", waiting + piece)
        )
        out += unasked.out_of(ripe)
    return out + unasked.out_of(waiting)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_in_two_pieces(end: bytes) -> None:
    """For any split into two chunks, the usage is removed and the rest is unchanged."""
    sent, wanted = stream(end)
    for cut in range(len(sent) + 1):
        assert relayed(iter((sent[:cut], sent[cut:]))) == wanted, cut


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_in_small_pieces(end: bytes, length: int) -> None:
    """A stream that arrives in chunks of one or a few bytes is filtered likewise."""
    sent, wanted = stream(end)
    assert relayed(sent[at : at + length] for at in range(0, len(sent), length)) == wanted


@given(cuts=st.lists(st.integers(0, 400), max_size=8), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_in_any_pieces(cuts: list[int], end: bytes) -> None:
    """For any chunks, the usage is removed and the rest is unchanged."""
    sent, wanted = stream(end)
    places = [0, *sorted(cut % len(sent) for cut in cuts), len(sent)]
    assert relayed(sent[a:b] for a, b in pairwise(places)) == wanted


@pytest.mark.parametrize(
    "kept",
    [
        TEXT,
        b'{"choices":[],"prompt_filter_results":[{"prompt_tokens":1}]}',
        b'{"choices":[],"usage":null,"x":"prompt_tokens"}',
        b'{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1}}',
        b'{"choices":[],"usage":{"prompt_tokens":1},"error":{"message":"no"}}',
        b'["prompt_tokens"]',
        b"no json, but prompt_tokens",
    ],
)
def test_what_is_kept(kept: bytes) -> None:
    """An event with more than usage is kept, whatever it contains."""
    sent, _ = stream(b"\n", usage=kept)
    assert relayed(iter((sent,))) == sent


@pytest.mark.parametrize(
    "hidden",
    [
        USAGE,
        json.dumps(json.loads(USAGE), indent=1).replace("\n", "\ndata: ").encode(),
        b'{"usage":{"prompt_tokens":0},"choices":null}',
        b'{"usage":{"prompt_tokens":0}}',
    ],
)
def test_what_is_hidden(hidden: bytes) -> None:
    """An event with usage and without choices is removed, in any notation."""
    sent, wanted = stream(b"\n", usage=hidden)
    assert relayed(iter((sent,))) == wanted


def test_a_last_event_without_a_blank_line() -> None:
    """A usage event at the very end of a stream is removed even without its blank line."""
    sent, _ = stream(b"\n")
    short = sent[: sent.index(USAGE) + len(USAGE)]
    assert relayed(iter((short,))) == short[: short.index(b"data: " + USAGE)]


@pytest.mark.parametrize("length", [1, 5, 64, 10_000])
async def test_a_relay_takes_it_out(length: int) -> None:
    """The amended request is sent, and the caller sees the stream of the original request."""
    sent, wanted = stream(b"\n")
    gateway, script = alone()
    script.say(*(sent[at : at + length] for at in range(0, len(sent), length)))
    caller, scope = Caller(json.dumps(ASK).encode()), scope_of()
    exchange = Exchange.of(scope)
    exchange.amendments["stream_options"] = {"include_usage": True}
    exchange.hides_usage = True
    async with gateway:
        await gateway(scope, caller.receive, caller.send)
    assert caller.body == wanted
    assert json.loads(script.bodies[0]) == {
        **ASK,
        "model": "model-a",
        "stream_options": {"include_usage": True},
    }
    answer = exchange.attempts[0].answer
    assert answer is not None
    assert answer.complete
    assert answer.reader is not None
    assert answer.reader.usage is not None
    assert answer.reader.usage[:2] == (3, 2)


async def test_a_relay_leaves_the_rest_alone() -> None:
    """A caller who asked for the usage gets its event."""
    sent, _ = stream(b"\r\n")
    gateway, script = alone()
    script.say(sent)
    caller = Caller(json.dumps(ASK).encode())
    async with gateway:
        await gateway(scope_of(), caller.receive, caller.send)
    assert caller.body == sent
