"""The gate sends nothing before the commit and everything after it, and a decision is final."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.asgi import Message
from standby.proxy.classify.answer import Answer
from standby.proxy.classify.faults import Fault
from standby.proxy.dialects import chat
from standby.proxy.errors import Superseded
from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.http.foreign_answer import ForeignAnswer
from standby.proxy.http.gate import Gate, State

from tests.proxy.harness import CHAT, SSE, chunk
from tests.proxy.streams import EMPTY, SPOKEN

__all__: list[str] = []

pytestmark = pytest.mark.anyio

DONE = b"data: [DONE]\n\n"
ROLE = SPOKEN["chat"].preamble[-1]
REFUSED = SPOKEN["chat"].refused


class Bench:
    """A gate with its exchange, its attempt, and a recording `send`."""

    def __init__(self, *, relayed: bool = False, moves: bool = True, path: str = CHAT) -> None:
        self.exchange = Exchange(id="req_1", began=0.0, headers=(), path=path, relayed=relayed)
        self.attempt = self.exchange.begin(Candidate("a"))
        self.moves = moves
        self.faults: list[Fault] = []
        self.events: list[str] = []
        self.sent: list[Message] = []
        self.gate = Gate(
            self.record,
            self.exchange,
            self.attempt,
            moves=self._moves,
            on_commit=lambda: self.events.append("commit"),
        )
        foreign = ForeignAnswer(self.gate, self.exchange, self.attempt)
        self.send = self.gate.send if relayed else foreign.send

    async def record(self, message: Message) -> None:
        self.events.append(message["type"].removeprefix("http.response."))
        self.sent.append({**message, "body": bytes(message["body"])} if "body" in message else message)

    def _moves(self, fault: Fault) -> bool:
        self.faults.append(fault)
        return self.moves

    @property
    def body(self) -> bytes:
        """The body that has come out."""
        return b"".join(message.get("body", b"") for message in self.sent)

    async def play(self, *messages: Message) -> None:
        """Send these messages until the gate raises."""
        for message in messages:
            await self.send(message)


def start(status: int = 200, headers: Iterable[tuple[bytes, bytes]] = SSE) -> Message:
    """Returns the start message of a response."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: Any, *, more: bool = True) -> Message:
    """The body that was sent to the client."""
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_nothing_passes_before_the_commit() -> None:
    """Start and preamble are buffered. With the first content all of it is sent unchanged and in order."""
    bench = Bench()
    messages = [start(), body(ROLE), body(EMPTY), body(chunk("Hi"))]
    await bench.play(*messages[:3])
    assert (bench.gate.state, bench.events, bench.exchange.served) == (State.HOLD, [], None)
    await bench.play(messages[3])
    assert bench.gate.state is State.COMMITTED
    assert bench.events == ["commit", "start", "body", "body", "body"]
    assert bench.sent == messages
    assert bench.exchange.served is bench.attempt
    assert bench.gate.held == ()


async def test_after_the_commit_everything_passes() -> None:
    """After the commit every message passes unchanged, whatever its content."""
    bench = Bench()
    await bench.play(start(), body(chunk("Hi")))
    later = [body(REFUSED), body(b"anything"), body(DONE, more=False), {"type": "http.response.trailers"}]
    await bench.play(*later)
    assert bench.sent[2:] == later
    assert bench.gate.state is State.COMMITTED
    assert bench.attempt.fault is None
    assert bench.events.count("commit") == 1


async def test_a_fault_discards() -> None:
    """Nothing of a failed attempt is sent, and its app gets Superseded as if the client had disconnected."""
    bench = Bench()
    await bench.play(start(), body(ROLE))
    with pytest.raises(Superseded):
        await bench.play(body(REFUSED))
    assert isinstance(Superseded(), OSError)
    assert (bench.gate.state, bench.events, bench.exchange.served) == (State.DISCARDED, [], None)
    assert bench.attempt.fault is not None
    assert bench.attempt.fault.kind == "overloaded"


async def test_a_discarded_gate_stays_shut() -> None:
    """An app that suppresses Superseded gets it again at each message."""
    bench = Bench()
    await bench.play(start())
    for message in (body(REFUSED), body(chunk("Hi")), start(), body(b"", more=False)):
        with pytest.raises(Superseded):
            await bench.play(message)
    assert bench.sent == []


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_failure_is_discarded_also_when_nobody_is_left(status: int, moves: bool) -> None:
    """A fault that is not the caller's is discarded even without another candidate; Failover responds for
    all attempts."""
    bench = Bench(moves=moves)
    await bench.play(start(status, ()))
    with pytest.raises(Superseded):
        await bench.play(body(b"upstream text", more=False))
    assert bench.sent == []


@pytest.mark.parametrize(("moves", "state"), [(True, State.DISCARDED), (False, State.COMMITTED)])
async def test_a_callers_refusal(moves: bool, state: State) -> None:
    """A refusal meant for the caller is sent if no other candidate is left, else it is kept."""
    bench = Bench(moves=moves)
    messages = (start(400, ()), body(b'{"error": {"code": "unsupported_value"}}', more=False))
    try:
        await bench.play(*messages)
    except Superseded:
        assert bench.gate.held == messages
    else:
        assert tuple(bench.sent) == messages
    assert bench.gate.state is state
    assert [fault.kind for fault in bench.faults] == ["incompatible"]


@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
async def test_our_own_answers_commit(status: int) -> None:
    """Around a Relay, a response without an attempt's answer is the gateway's own and passes."""
    bench = Bench(relayed=True)
    await bench.play(start(status, ()), body(b"ours", more=False))
    assert (bench.gate.state, bench.body, bench.faults) == (State.COMMITTED, b"ours", [])
    assert bench.attempt.fault is None


async def test_a_relays_fault_discards() -> None:
    """A fault that Relay has set discards the response."""
    bench = Bench(relayed=True)
    bench.attempt.fault = Fault("connect")
    with pytest.raises(Superseded):
        await bench.play(start(503, ()))
    assert bench.sent == []


async def test_a_relays_answer_is_not_read_twice() -> None:
    """Around a Relay the gate reads its verdict and feeds the answer nothing."""
    bench = Bench(relayed=True)
    answer = bench.attempt.answer = Answer(chat.OPERATION, streamed=True)
    answer.start(200, SSE)
    await bench.play(start(), body(chunk("not fed")))
    assert bench.gate.state is State.HOLD
    answer.feed(chunk("fed"))
    await bench.play(body(chunk("fed")))
    assert bench.events[0] == "commit"
    assert bench.body == chunk("not fed") + chunk("fed")


async def test_a_relays_refusal_is_kept_whole() -> None:
    """A caller's refusal is buffered to its end, because it may become the final response."""
    bench = Bench(relayed=True)
    answer = bench.attempt.answer = Answer(chat.OPERATION, streamed=True)
    answer.start(400, ())
    answer.feed(b'{"error": {"code": "unsupported_value"}}')
    answer.end()
    bench.attempt.fault = answer.fault
    messages = (start(400, ()), body(b'{"error": {}}'), body(b"", more=False))
    with pytest.raises(Superseded):
        await bench.play(*messages)
    assert bench.gate.state is State.DISCARDED
    assert b"".join(bytes(message.get("body", b"")) for message in bench.gate.held) == b'{"error": {}}'


async def test_messages_may_be_reused() -> None:
    """An app may reuse one dict with other bytes, so the gate buffers copies."""
    bench = Bench()
    message = body(b"")
    await bench.play(start())
    for piece in (ROLE, EMPTY, chunk("one"), chunk("two")):
        message["body"] = piece
        await bench.play(message)
    assert bench.body == ROLE + EMPTY + chunk("one") + chunk("two")


@pytest.mark.parametrize("relayed", [False, True])
async def test_bytes_may_be_reused(relayed: bool) -> None:
    """A body may be a view of a buffer that is overwritten after `send`."""
    bench = Bench(relayed=relayed)
    if relayed:
        answer = bench.attempt.answer = Answer(chat.OPERATION, streamed=True)
        answer.start(200, SSE)
    buffer = bytearray(ROLE)
    await bench.play(start(), body(memoryview(buffer)))
    buffer[:] = b"x" * len(buffer)
    if relayed and bench.attempt.answer is not None:
        bench.attempt.answer.feed(chunk("one"))
    await bench.play(body(memoryview(chunk("one"))))
    assert bench.body == ROLE + chunk("one")


async def test_headers_may_be_reused() -> None:
    """An app may clear its list of headers after sending it."""
    bench = Bench()
    head = start()
    await bench.play(head)
    head["headers"].clear()
    await bench.play(body(chunk("one")))
    assert bench.sent[0]["headers"] == list(SSE)


@pytest.mark.parametrize("pair", [[b"x-a", b"1"], (bytearray(b"x-a"), b"1"), (b"x-a", bytearray(b"1"))])
async def test_a_header_may_be_reused(pair: Any) -> None:
    """An app may change a header pair or its bytes after sending it."""
    bench = Bench()
    await bench.play(start(headers=[*SSE, pair]))
    for place, part in enumerate(pair):
        if isinstance(part, bytearray):
            part[:] = b"changed"
        elif isinstance(pair, list):
            pair[place] = b"changed"
    await bench.play(body(chunk("one")))
    assert bench.sent[0]["headers"] == [*SSE, (b"x-a", b"1")]


async def test_after_the_commit_nothing_of_ours_is_awaited() -> None:
    """A committed gate returns the awaitable of the outer `send`, without a coroutine of its own."""
    bench = Bench()
    await bench.play(start(), body(chunk("one")))
    awaited = bench.gate.send(body(chunk("two")))
    assert getattr(awaited, "cr_code", None) is Bench.record.__code__
    await awaited


async def test_messages_are_not_edited() -> None:
    """The gate does not change the messages of the app."""
    bench = Bench()
    view = memoryview(bytearray(ROLE))
    message = body(view)
    await bench.play(start(), message)
    assert message["body"] is view


async def test_a_body_may_be_left_out() -> None:
    """A message without `body` and `more_body` ends the response."""
    bench = Bench()
    await bench.play(start())
    with pytest.raises(Superseded):
        await bench.play({"type": "http.response.body"})
    assert bench.attempt.fault == Fault("stream_failed", 200)


async def test_header_names_in_any_case() -> None:
    """Header names of foreign apps may have any case."""
    bench = Bench()
    await bench.play(start(429, [(b"Retry-After", b"7")]))
    with pytest.raises(Superseded):
        await bench.play(body(b"", more=False))
    assert bench.attempt.fault == Fault("rate_limited", 429, None, 7.0)


@pytest.mark.parametrize("path", ["", "/v1/files", "/chat"])
async def test_an_unknown_path_is_judged_by_status(path: str) -> None:
    """On an unknown path a good status is enough for the commit."""
    good = Bench(path=path)
    await good.play(start(200, ()))
    assert good.gate.state is State.COMMITTED
    bad = Bench(path=path)
    with pytest.raises(Superseded):
        await bad.play(start(502, ()), body(b"", more=False))


async def test_too_much_is_not_held() -> None:
    """A preamble of more than 64 KiB is committed."""
    bench = Bench()
    await bench.play(start(), *[body(b": " + b"x" * 8190 + b"\n\n")] * 8)
    assert bench.gate.state is State.COMMITTED


async def test_a_client_that_left_before_the_flush() -> None:
    """If sending the buffered messages fails, the attempt is committed nevertheless."""

    async def gone(message: Message) -> None:
        raise OSError("gone")

    bench = Bench()
    gate = Gate(gone, bench.exchange, bench.attempt, moves=lambda _: True, on_commit=lambda: None)
    foreign = ForeignAnswer(gate, bench.exchange, bench.attempt)
    await foreign.send(start())
    with pytest.raises(OSError, match="gone"):
        await foreign.send(body(chunk("Hi")))
    assert gate.state is State.COMMITTED


@given(
    st.lists(st.sampled_from([ROLE, EMPTY, chunk("x"), DONE, REFUSED, b"data: {"]), max_size=6), st.booleans()
)
async def test_all_or_nothing(pieces: list[bytes], moves: bool) -> None:
    """Whatever an app sends, the client gets either all of it or nothing."""
    bench = Bench(moves=moves)
    messages = [start(), *map(body, pieces), body(b"", more=False)]
    try:
        await bench.play(*messages)
    except Superseded:
        assert bench.gate.state is State.DISCARDED
        assert bench.sent == []
        assert bench.attempt.fault is not None
    else:
        assert bench.gate.state is State.COMMITTED
        assert bench.body == b"".join(pieces)


async def test_discarded_from_outside() -> None:
    """After `discard` nothing is sent, and the app gets Superseded."""
    bench = Bench()
    await bench.play(start(), body(ROLE))
    bench.gate.discard()
    with pytest.raises(Superseded):
        await bench.play(body(chunk("Hi")))
    assert (bench.gate.state, bench.sent, bench.exchange.served) == (State.DISCARDED, [], None)
