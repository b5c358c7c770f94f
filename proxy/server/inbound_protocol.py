"""One client connection: what uvicorn's protocols leave open is decided here, before they see a byte.

The deadlines for a head and a body, the caps on a head, one request at a time, and every refusal as JSON in
the caller's dialect. What the bytes mean is decided in `framing`, `head` and `chunks`; here are the clock and
the wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final, TypeAlias, cast

from typing_extensions import override
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as HttpToolsCycle
from uvicorn.server import ServerState

from ..errors import Refusal
from ..exchange import Exchange
from ..http.refusal import dialect_of, render
from .framing import Framing
from .limits import ServerLimits
from .lingering_close import LingeringClose

__all__ = ["H11Inbound", "HttpToolsInbound", "InboundProtocol"]

_LOG: Final = logging.getLogger("standby.server")


class _HttpTools(HttpToolsProtocol):
    malformed: Callable[[], None]

    @override
    def send_400_response(self, msg: str) -> None:
        self.malformed()


class _H11(H11Protocol):
    malformed: Callable[[], None]

    @override
    def send_400_response(self, msg: str) -> None:
        self.malformed()


_Parser: TypeAlias = _HttpTools | _H11
_Cycle: TypeAlias = HttpToolsCycle | H11Cycle


class InboundProtocol(asyncio.Protocol):
    """What `Config(http=...)` takes: one of uvicorn's protocols, fed only what has been judged.

    It stands before the protocol rather than in it, so that it is the same for both parsers: `parser` says
    which. The limits are those of the configuration, see `configuration`.
    """

    parser: ClassVar[type[_Parser]]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._inner = self.parser(config, server_state, app_state, _loop)
        self._inner.malformed = self._malformed
        self._inner.access_log = config.access_log  # uvicorn logs wherever some handler would listen
        self._loop = self._inner.loop
        self._state = server_state
        limits = getattr(config, "limits", None)
        self._limits = limits if isinstance(limits, ServerLimits) else ServerLimits()
        self._framing = Framing(self._limits)
        self._transport: asyncio.Transport
        self._lingering = False
        self._due: float | None = None  # when what the client is at must be done, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream both ways, as a server's always is
        self._inner.connection_made(LingeringClose(self._transport, self._close))
        self._allow(self._limits.head_seconds)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hold()  # after a reset uvicorn forgets to, and would keep all this for 75 s
        self._inner.connection_lost(exc)

    @override
    def eof_received(self) -> None:
        self._inner.eof_received()

    @override
    def pause_writing(self) -> None:
        self._inner.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._inner.resume_writing()

    @override
    def data_received(self, data: bytes) -> None:
        framing, inner = self._framing, self._inner
        if self._lingering or self._transport.is_closing() or not self._ready():
            return
        idle, headless = framing.silent, framing.head is None
        try:
            judged = framing.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if judged:
            inner.data_received(judged)
            if self._lingering:
                return
        if framing.surplus:
            inner.cycle.keep_alive = False

        if framing.complete:
            self._due = None
            if self._answered:
                self._keep_alive()
        elif framing.head is not None and headless:
            self._allow(self._limits.body_seconds)
        elif idle:
            self._hold()
            self._allow(self._limits.head_seconds)

    def _ready(self) -> bool:
        """Whether what comes now can be told apart from what came before an answer."""
        if self._framing.head is None or not self._answered:
            return True
        if self._framing.unasked:
            # The answer came without the body being asked for: what comes now may be the body or the next
            # request, and only the client knows which (RFC 9110, 10.1.1).
            self._transport.close()
            return False
        if self._framing.complete:
            self._framing.begin()
        return True

    @property
    def _answered(self) -> bool:
        """The request that came last has its whole answer."""
        cycle = self._cycle
        return cycle is not None and cycle.response_complete

    @property
    def _cycle(self) -> _Cycle | None:
        """What uvicorn knows of the request that came last; nothing before the first."""
        return self._inner.cycle

    def _keep_alive(self) -> None:
        """Wait for the next request. uvicorn forgets to, when a body ends after its answer did."""
        inner = self._inner
        if inner.timeout_keep_alive_task is None and not self._transport.is_closing():
            inner.timeout_keep_alive_task = self._loop.call_later(
                inner.timeout_keep_alive, inner.timeout_keep_alive_handler
            )

    def _hold(self) -> None:
        """A request begins: the connection is not idle any more, though the parser has seen nothing yet."""
        if self._inner.timeout_keep_alive_task is not None:
            self._inner.timeout_keep_alive_task.cancel()
            self._inner.timeout_keep_alive_task = None

    def _allow(self, seconds: float) -> None:
        """Give the client so long from now on. A timer is seldom due, so it is moved late."""
        self._due = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._tick)
        else:
            self._due = None
            self._late()

    def _late(self) -> None:
        """The client did not finish in time what it is at."""
        cycle = self._inner.cycle
        if self._lingering or self._transport.is_closing():
            self._transport.abort()
        elif self._framing.silent or (self._framing.in_body and self._answered):
            self._transport.close()
        elif self._framing.in_body and self._inner.flow.read_paused:
            self._allow(self._limits.body_seconds)  # it is the application that does not read
        elif self._framing.in_body and cycle.response_started:
            cycle.keep_alive = False  # an answer is under way: it may end, and then the connection does
        else:
            self._refuse(Refusal("request_timeout", close=True))

    def _malformed(self) -> None:
        """The parser refuses what was judged sound."""
        self._refuse(Refusal("malformed_request", close=True))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application, which hears of a hang-up if it had begun with this request."""
        refusal.close = True  # the parser was passed over: there is no going on from here
        _LOG.info("a request was refused by the server: %s", refusal.code)
        cycle = self._cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self._transport.close()
                return
        self._transport.write(self._answer(refusal))
        self._linger()

    def _answer(self, refusal: Refusal) -> bytes:
        seen = self._framing.seen
        target = seen.partition(b" ")[2].partition(b" ")[0]
        anthropic = b"\nanthropic-version:" in seen.lower()
        dialect = dialect_of(target.decode("latin-1"), [(b"anthropic-version", b"")] if anthropic else ())
        status, headers, body = render(refusal, Exchange.of({}).id, dialect)
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%b: %b" % pair for pair in (*self._state.default_headers, *headers)]
        return b"\r\n".join((*lines, b"", b"" if seen.startswith(b"HEAD ") else body))

    def _close(self) -> None:
        """The protocol closes the connection."""
        talking = self._framing.in_body or self._framing.surplus
        if talking and not self._lingering and not self._transport.is_closing():
            self._linger()
        else:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # It stays open until the client has read the rest, which may be never.
                self._allow(self._limits.linger_seconds)

    def _linger(self) -> None:
        """Let go of a client that may be sending still."""
        self._lingering = True
        self._inner.flow.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._allow(self._limits.linger_seconds)


class HttpToolsInbound(InboundProtocol):
    """The entrance before httptools, the parser to run on."""

    parser = _HttpTools


class H11Inbound(InboundProtocol):
    """The entrance before h11: slower, in pure Python, and the proof that nothing depends on the parser."""

    parser = _H11
