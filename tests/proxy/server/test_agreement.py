"""I18: both parsers give the same answer to the same bytes, and pass the same bytes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.server import Parser

from tests.proxy.harness import VirtualLoop
from tests.proxy.server.memory import Line
from tests.proxy.server.rows import SENT
from tests.proxy.server.wire import Answer, Arrived, post

__all__: list[str] = []

_SEEDS = (
    *SENT,
    post(),
    post(b"X-A: b"),
    b"GET /v1/models/a HTTP/1.1\r\nHost: a\r\n\r\n" * 2,
)
_PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b"\x00",
            b"\x80",
            b"%2f",
            b"#",
            b"?",
            b",",
            b";",
            b"_",
            b"0",
        ),
        *(
            b"Host: a\r\n",
            b"Content-Length: 1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
        ),
        *(
            b"Expect: 100-continue\r\n",
            b"Upgrade: h2c\r\nConnection: upgrade\r\n",
            b"X_A: b\r\n",
            b"HTTP/1.0",
        ),
    ]
)


@st.composite
def _mutants(draw: st.DrawFn) -> bytes:
    """A request of the matrix, or a valid one, with bytes inserted, removed and repeated."""
    raw: bytes = draw(st.sampled_from(_SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        length = draw(st.integers(0, 12))
        put = draw(_PIECES | st.binary(max_size=3))
        raw = raw[:start] + put + raw[start + length :]
    return raw


def _result(parser: Parser, raw: bytes) -> tuple[int, str, list[Arrived]]:
    """Status and code of the answer (0 if there is none), and the requests that reached the app."""

    async def served() -> Line:
        line = Line(parser)
        line.send(raw)
        await line.settle()
        await line.hang_up()
        return line

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        line = runner.run(served())
    arrived = [replace(each, request_id="") for each in line.recorder.arrived]
    written = line.wire.written.removeprefix(b"HTTP/1.1 100 \r\n\r\n").removeprefix(
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    if not written:
        return 0, "", arrived
    answer = Answer.parsed(written)
    head = raw.startswith(b"HEAD ") or not answer.body
    return answer.status, "" if head or answer.status == 200 else answer.code, arrived


@settings(max_examples=150, deadline=None)
@given(_mutants())
def test_both_parsers_give_the_same(raw: bytes) -> None:
    """For any bytes, httptools and h11 give the same status and code, and pass on the same requests."""
    assert _result("httptools", raw) == _result("h11", raw)


@settings(max_examples=80, deadline=None)
@given(_mutants())
def test_nothing_is_a_bare_error(raw: bytes) -> None:
    """I17: any input is answered, refused with a documented code, or waited for."""
    status, code, arrived = _result("httptools", raw)

    assert status in {0, 200} or code or raw.startswith(b"HEAD ")
    assert status != 500
    assert status != 200 or len(arrived) == 1
