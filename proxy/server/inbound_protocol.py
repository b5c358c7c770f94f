"""The protocol of one client connection.

It validates and limits requests before uvicorn's parsers see a byte.

It enforces the deadlines for a head and a body, the size limits of a head and one request at a time, and
answers each refusal as JSON in the caller's dialect. `framing`, `request_head` and `chunks` interpret the
bytes; this file does the timers and the I/O.
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
    """The protocol class for `Config(http=...)`. It feeds validated bytes to one of uvicorn's protocols.

    It wraps uvicorn's protocol (`parser`) instead of extending it, so that it is the same for both parsers.
    The limits are those of the configuration, see `configuration`.
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
        self._inner.access_log = config.access_log  # uvicorn would also log if any handler is configured
        self._loop = self._inner.loop
        self._state = server_state
        limits = getattr(config, "limits", None)
        self._limits = limits if isinstance(limits, ServerLimits) else ServerLimits()
        self._framing = Framing(self._limits)
        self._transport: asyncio.Transport
        self._lingering_close: LingeringClose
        self._lingering = False
        self._deadline: float | None = None  # the client's current deadline, on the loop's clock
        self._body_due = 0.0  # when a body that nobody has answered yet must be complete
        self._timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A server's transport can always read and write.
        self._transport = cast("asyncio.Transport", transport)
        self._lingering_close = LingeringClose(self._transport, self._close)
        self._inner.connection_made(self._lingering_close)
        self._set_deadline(self._limits.head_seconds)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_keep_alive()  # after a reset uvicorn does not, and would keep this object for 75 s
        self._inner.connection_lost(exc)
        # These make cycles, and with them an unfinished head would stay until the next garbage collection.
        self._framing.begin()
        self._inner.malformed = _nothing
        self._lingering_close.detach()

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
        if self._lingering or self._transport.is_closing() or not self._can_receive():
            return
        idle, awaiting_head = framing.silent, framing.head is None
        try:
            validated = framing.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if validated:
            inner.data_received(validated)
            if self._lingering:
                return
        if framing.surplus:
            inner.cycle.keep_alive = False

        if framing.complete:
            self._deadline = None
            if self._answered:
                self._start_keep_alive()
        elif framing.head is not None and awaiting_head:
            length = max(0, framing.head.length)  # unknown in chunks
            self._body_due = self._loop.time() + self._limits.body_seconds + length / self._limits.body_rate
            self._set_deadline(self._limits.body_seconds)
        elif idle:
            self._stop_keep_alive()
            self._set_deadline(self._limits.head_seconds)

    def _can_receive(self) -> bool:
        """Whether the next bytes can be interpreted. Begins the next request if the last one is answered.

        Closes the connection if they cannot.
        """
        if self._framing.head is None or not self._answered:
            return True
        if self._framing.unsolicited:
            # The answer was sent without `100 Continue`. The next bytes may be the body or the next request,
            # and only the client knows which (RFC 9110, 10.1.1).
            self._transport.close()
            return False
        if self._framing.complete:
            self._framing.begin()
        return True

    @property
    def _answered(self) -> bool:
        """Whether the last request has been answered completely."""
        cycle = self._cycle
        return cycle is not None and cycle.response_complete

    @property
    def _cycle(self) -> _Cycle | None:
        """The state of the last request in uvicorn, None before the first."""
        return self._inner.cycle

    def _start_keep_alive(self) -> None:
        """Start the keep-alive timeout. uvicorn does not if a body ends after its answer."""
        inner = self._inner
        if inner.timeout_keep_alive_task is None and not self._transport.is_closing():
            inner.timeout_keep_alive_task = self._loop.call_later(
                inner.timeout_keep_alive, inner.timeout_keep_alive_handler
            )

    def _stop_keep_alive(self) -> None:
        """Stop the keep-alive timeout. A request has begun, though the parser has not seen it yet."""
        if self._inner.timeout_keep_alive_task is not None:
            self._inner.timeout_keep_alive_task.cancel()
            self._inner.timeout_keep_alive_task = None

    def _set_deadline(self, seconds: float) -> None:
        """Set the client's deadline to `seconds` from now.

        The timer is not moved for a later deadline; `_check_deadline` does that, since most deadlines never
        expire.
        """
        self._deadline = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        else:
            self._deadline = None
            self._on_deadline()

    def _on_deadline(self) -> None:
        """Handle an expired deadline."""
        cycle = self._inner.cycle
        if self._lingering or self._transport.is_closing():
            self._transport.abort()
        elif self._framing.silent or (self._framing.in_body and self._answered):
            self._transport.close()
        elif self._framing.in_body and self._inner.flow.read_paused:
            # The application is not reading, so the client cannot send.
            self._set_deadline(self._limits.body_seconds)
        elif self._framing.in_body and (left := self._body_due - self._loop.time()) > 0:
            self._set_deadline(min(left, self._limits.body_seconds))
        elif self._framing.in_body and cycle.response_started:
            cycle.keep_alive = False  # let the answer in progress end, then close the connection
        else:
            self._refuse(Refusal("request_timeout", close=True))

    def _malformed(self) -> None:
        """The parser rejected bytes that were validated here."""
        self._refuse(Refusal("malformed_request", close=True))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer instead of the application, and close the connection.

        If the application has begun with this request, it receives a disconnect.
        """
        refusal.close = True  # the parser has missed bytes, so the connection cannot be reused
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
        """Returns the response of a refusal, in the caller's dialect."""
        seen = self._framing.seen
        target = seen.partition(b" ")[2].partition(b" ")[0]
        anthropic = b"\nanthropic-version:" in seen.lower()
        dialect = dialect_of(target.decode("latin-1"), [(b"anthropic-version", b"")] if anthropic else ())
        identifier = Exchange.of({}).id
        status, headers, body = render(refusal, identifier, dialect)
        headers.append((b"x-standby-request-id", identifier.encode()))
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%b: %b" % pair for pair in (*self._state.default_headers, *headers)]
        return b"\r\n".join((*lines, b"", b"" if seen.startswith(b"HEAD ") else body))

    def _close(self) -> None:
        """Handle uvicorn's close: linger if the client may still be sending, else close at once."""
        still_sending = self._framing.in_body or self._framing.surplus
        if still_sending and not self._lingering and not self._transport.is_closing():
            self._linger()
        else:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # It stays open until the client has read the rest, which may never happen.
                self._set_deadline(self._limits.linger_seconds)

    def _linger(self) -> None:
        """Close the sending side, and read for `linger_seconds` more: the client may still be sending."""
        self._lingering = True
        self._inner.flow.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._set_deadline(self._limits.linger_seconds)


def _nothing() -> None:
    """What follows on a connection that is lost."""


class HttpToolsInbound(InboundProtocol):
    """The protocol in front of httptools, the default parser."""

    parser = _HttpTools


class H11Inbound(InboundProtocol):
    """The protocol in front of h11, a slower parser in pure Python.

    Tests run with both, to show that nothing depends on the parser.
    """

    parser = _H11
