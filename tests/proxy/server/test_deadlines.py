"""The deadlines of clients, on a virtual clock, with both parsers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.server import Parser, ServerLimits

from tests.proxy.harness import VirtualLoop
from tests.proxy.server.memory import Line
from tests.proxy.server.wire import CHAT, JSON, Answer, Recorder

__all__: list[str] = []

_HEAD = b"\r\n".join([CHAT, b"Host: a", JSON, b"Content-Length: 200000", b"", b""])
_WHOLE = b"\r\n".join([CHAT, b"Host: a", JSON, b"Content-Length: 2", b"", b"{}"])


def _run(scene: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scene)


async def _until(time: float) -> None:
    """Advance the virtual clock of the loop to `time`."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    loop.call_at(time, reached.set_result, None)
    await reached


def _code(line: Line) -> str:
    return Answer.parsed(line.wire.written).code


def test_a_head_has_ten_seconds_from_its_first_byte(parser: Parser) -> None:
    """B8: a head that arrives byte by byte is late ten seconds after its first byte, and not before."""

    async def scene() -> None:
        line = Line(parser)
        start = asyncio.get_running_loop().time()
        await _until(start + 8)
        for second in range(10):
            line.send(b"GET /v1/mod"[second : second + 1])
            await _until(start + 8 + second + 0.9)
        assert line.wire.written == b""
        await _until(start + 18.1)
        assert _code(line) == "request_timeout"

    _run(scene())


def test_a_silent_connection_has_ten_seconds(parser: Parser) -> None:
    """B8: a silent connection is closed after ten seconds, without an answer that could be misread."""

    async def scene() -> None:
        line = Line(parser)
        start = asyncio.get_running_loop().time()
        await _until(start + 11)
        assert line.wire.closed_at == pytest.approx(start + 10)
        assert line.wire.written == b""

    _run(scene())


def test_a_body_has_thirty_seconds_from_the_end_of_its_head(parser: Parser) -> None:
    """B8: a body that arrives byte by byte is late thirty seconds after its head, and the time that its
    length takes at 256 KiB a second."""

    async def scene() -> None:
        line = Line(parser)
        start = asyncio.get_running_loop().time()
        line.send(_HEAD)
        for second in range(30):
            line.send(b"a")
            await _until(start + second + 0.9)
        assert line.wire.written == b""
        await _until(start + 30.9)
        assert _code(line) == "request_timeout"
        await line.settle()
        assert line.recorder.gone == 1
        assert line.recorder.arrived == []

    _run(scene())


def test_a_body_that_the_app_does_not_read_is_not_late(parser: Parser) -> None:
    """While the server itself does not read, a client cannot send, and is not refused."""

    async def scene() -> None:
        may_read = asyncio.Event()
        recorder = Recorder()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await may_read.wait()
            recorder.instead = None
            await recorder(scope, receive, send)

        recorder.instead = slow
        line = Line(parser, recorder=recorder)
        start = asyncio.get_running_loop().time()
        line.send(_HEAD)
        line.send(b" " * 100_000)
        assert line.wire.paused
        await _until(start + 100)
        assert line.wire.written == b""
        may_read.set()
        await line.settle()
        assert not line.wire.paused
        line.send(b" " * 100_000)
        await line.settle()
        assert Answer.parsed(line.wire.written).status == 200

    _run(scene())


def test_an_answer_under_way_is_never_cut_for_a_late_body(parser: Parser) -> None:
    """An app that answers before the request is complete may finish. Then the connection is closed."""

    async def scene() -> None:
        more = asyncio.Event()
        recorder = Recorder()

        async def early(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await more.wait()
            await send({"type": "http.response.body", "body": b"b"})

        recorder.instead = early
        line = Line(parser, recorder=recorder)
        line.send(_HEAD)
        await _until(asyncio.get_running_loop().time() + 100)
        assert line.wire.closed_at is None
        more.set()
        await line.settle()
        assert Answer.parsed(line.wire.written).body == b"ab"
        assert line.wire.ended

    _run(scene())


def test_an_idle_connection_is_kept_for_75_seconds(parser: Parser) -> None:
    """An idle connection outlives the usual 60 seconds of a load balancer, and is closed later."""

    async def scene() -> None:
        line = Line(parser)
        line.send(_WHOLE)
        await line.settle()
        start = asyncio.get_running_loop().time()
        await _until(start + 74)
        assert line.wire.closed_at is None
        await _until(start + 76)
        assert line.wire.closed_at == pytest.approx(start + 75, abs=0.01)

    _run(scene())


def test_a_request_that_begins_late_is_not_idle(parser: Parser) -> None:
    """The first byte of a request ends the idle timeout, even shortly before it expires."""

    async def scene() -> None:
        line = Line(parser)
        line.send(_WHOLE)
        await line.settle()
        first = len(line.wire.written)
        await _until(asyncio.get_running_loop().time() + 74.9)
        line.send(_WHOLE[:10])
        await _until(asyncio.get_running_loop().time() + 5)
        line.send(_WHOLE[10:])
        await line.settle()
        assert Answer.parsed(line.wire.written[first:]).status == 200

    _run(scene())


def test_a_connection_is_idle_again_after_a_body_that_ended_late(parser: Parser) -> None:
    """A request whose body ended after its answer leaves an idle connection, which is closed in time."""

    async def scene() -> None:
        line = Line(parser)
        line.send(_WHOLE.replace(JSON, b"Content-Type: text/plain")[:-1])
        await line.settle()
        assert Answer.parsed(line.wire.written).code == "unsupported_media_type"
        line.send(b"}")
        start = asyncio.get_running_loop().time()
        await _until(start + 76)
        assert line.wire.closed_at == pytest.approx(start + 75, abs=0.01)

    _run(scene())


def test_the_next_head_has_ten_seconds_again(parser: Parser) -> None:
    """A later deadline of the previous request does not extend that of the next one."""

    async def scene() -> None:
        line = Line(parser)
        line.send(_WHOLE[:-1])  # thirty seconds for the body
        line.send(_WHOLE[-1:])
        await line.settle()
        first = len(line.wire.written)
        start = asyncio.get_running_loop().time()
        line.send(_WHOLE[:10])
        await _until(start + 9.9)
        assert len(line.wire.written) == first
        await _until(start + 10.1)
        assert Answer.parsed(line.wire.written[first:]).code == "request_timeout"

    _run(scene())


def test_a_refused_client_is_heard_out_for_a_while(parser: Parser) -> None:
    """After a refusal further bytes of the client are dropped, for two seconds at most."""

    async def scene() -> None:
        line = Line(parser)
        start = asyncio.get_running_loop().time()
        line.send(b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert _code(line) == "bad_host"
        assert line.wire.ended
        assert line.wire.closed_at is None
        line.send(_WHOLE)
        await _until(start + 3)
        assert line.wire.closed_at == pytest.approx(start + 2, abs=0.01)
        assert _code(line) == "bad_host"
        assert line.recorder.arrived == []

    _run(scene())


def test_a_lost_connection_leaves_no_timer(parser: Parser) -> None:
    """When a client has disconnected, no task or timer of it is left on the loop."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        before = loop.timers
        line = Line(parser, limits=ServerLimits(head_seconds=1000, body_seconds=1000))
        line.send(_HEAD)
        await line.hang_up()
        assert loop.timers == before
        assert line.state.connections == set()

    _run(scene())


def test_an_unfinished_head_goes_with_its_connection(parser: Parser) -> None:
    """What a client sent of a head is freed as its connection is lost, without a garbage collection."""

    async def scene() -> None:
        line = Line(parser)
        line.send(_HEAD.removesuffix(b"\r\n") + b"X-A: " + b"a" * 50_000)
        entrance = line.entrance
        gone, framing = weakref.ref(entrance), entrance._framing  # pyright: ignore[reportPrivateUsage]
        gc.disable()
        try:
            await line.hang_up()
            assert not framing._part  # pyright: ignore[reportPrivateUsage]
            assert not framing.seen
            del line, entrance, framing
            await asyncio.sleep(0)
            assert gone() is None
        finally:
            gc.enable()

    _run(scene())


def test_an_announced_length_keeps_no_connection_open(parser: Parser) -> None:
    """A request that is answered before its body has come is closed after thirty seconds, whatever length it
    has announced."""

    async def scene() -> None:
        line = Line(parser)
        line.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n")
        await line.settle()
        start = asyncio.get_running_loop().time()
        seconds = 0
        while not line.wire.is_closing() and seconds < 40:
            seconds += 1
            await _until(start + seconds)
            line.send(b"a")
        assert seconds <= 34

    _run(scene())
