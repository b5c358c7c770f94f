"""One upstream call to a target that has another operation than the caller's: translated there and back."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import Final

from typing_extensions import override

from ..asgi import Message, Send, header
from ..bridge.answer_translator import UnreadableAnswer
from ..bridge.bridges import Bridge
from ..bridge.errors import error_document, error_message
from ..bridge.stream_translator import StreamTranslator
from ..bridge.target_request import request_for
from ..classify.decompression import Decompressor, Undecodable
from ..classify.faults import Fault, is_callers
from ..config import Target
from ..dialects.json_values import dumped, is_object, read_json
from ..errors import CODES
from ..exchange import Attempt, Exchange
from ..http.body import Body
from .transports import Transports, Unreachable
from .upstream_call import UpstreamCall

__all__ = ["TranslatedCall"]

_BETA: Final = b"anthropic-beta"
_MOST: Final = 32 * 1024 * 1024
"""Bytes of a whole answer, which has to be kept until it is complete. Real ones are far smaller."""
_LENGTHS: Final = frozenset({b"content-length", b"content-encoding"})
_IDS: Final = MappingProxyType(
    {"anthropic": (b"x-request-id", b"request-id"), "openai": (b"request-id", b"x-request-id")}
)
"""By the caller's dialect: a header with the provider's id of a request, and what the caller's SDK reads."""


class TranslatedCall(UpstreamCall):
    """One upstream call over a bridge.

    What goes out is translated after every clearance has passed, and what comes back on its way to the
    caller. All that judges and meters the answer reads it as the provider sent it.
    """

    __slots__ = ("_bridge", "_decoder", "_outer", "_parts", "_question", "_size", "_start", "_stream")

    def __init__(
        self,
        transports: Transports,
        exchange: Exchange,
        attempt: Attempt,
        target: Target,
        bridge: Bridge,
        send: Send,
    ) -> None:
        super().__init__(transports, exchange, attempt, target, bridge.target, send, translated=True)
        self._bridge = bridge
        self._outer = send
        self._send = self._send_translated
        self._start: Message | None = None
        self._parts: list[bytes] = []  # of a whole document
        self._size = 0
        self._decoder: Decompressor | None = None
        self._stream: StreamTranslator | None = None

    # -- the request ------------------------------------------------------------------------

    @override
    def _content(self, body: Body) -> bytes:
        exchange, attempt, target = self._exchange, self._attempt, self._target
        value = body.document.value
        # The answer repeats what the caller sent, not what was made of it.
        self._question = self._bridge.question(value, target.model, int(time.time()), exchange.id)
        amended = {**value, **(attempt.amendments or {}), **exchange.amendments}
        sends_beta = (
            header(exchange.headers, _BETA) is not None and self._bridge.caller.dialect == "anthropic"
        )
        unsent = (_BETA.decode(),) if sends_beta else ()
        request, dropped = request_for(self._bridge, amended, target, exchange.pool, unsent)
        attempt.dropped += dropped
        return dumped(request)

    # -- the answer -------------------------------------------------------------------------

    async def _send_translated(self, message: Message) -> None:
        """Send what a message of the provider's becomes. A whole document waits until it is complete."""
        if message["type"] == "http.response.start":
            await self._begin_translated(message)
            return
        body, last = message.get("body", b""), not message.get("more_body", False)
        if self._stream is not None:
            if not last:  # what comes last is translated already
                body = self._stream.feed(self._plain(body))
            if body or last:
                await self._outer({**message, "body": body})
            return
        part = self._plain(body)
        self._parts.append(part)
        self._size += len(part)
        if self._size > _MOST:
            raise Unreachable("bad_response")
        if last:
            await self._send_document()

    async def _begin_translated(self, message: Message) -> None:
        headers = message["headers"]
        encoding = header(tuple(headers), b"content-encoding")
        if encoding not in {None, b"", b"identity"}:
            self._decoder = Decompressor(encoding or b"")
        kept = [pair for pair in headers if pair[0] not in _LENGTHS]
        named, wanted = _IDS[self._exchange.dialect]
        if header(tuple(kept), wanted) is None:
            kept = [(wanted if name == named else name, value) for name, value in kept]
        self._start = {**message, "headers": kept}
        if self._answer.is_stream:
            self._stream = self._attempt.events = self._bridge.stream(self._question)
            await self._outer(self._start)

    def _plain(self, body: bytes) -> bytes:
        """Returns the bytes without their compression; nothing for what the answer cannot read either."""
        try:
            return body if self._decoder is None or not body else self._decoder.feed(body)
        except Undecodable:
            return b""

    async def _send_document(self) -> None:
        """Send a whole answer or error. If it cannot be read, nothing is sent, and the attempt has failed."""
        start, raw = self._start, b"".join(self._parts)
        if start is None:
            return
        value = read_json(raw)
        if 200 <= start["status"] <= 299:
            try:
                document = self._bridge.document(value if is_object(value) else {}, self._question)
            except UnreadableAnswer:
                # What the model wrote is no reason to keep the target from others.
                self._failed(Fault("bad_response", start["status"], rests="nothing"))
                return
        else:
            document = error_document(value, start["status"], self._exchange.dialect, self._exchange.id)
        body = dumped(document)
        headers = [pair for pair in start["headers"] if pair[0] != b"content-type"]
        headers += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        await self._outer({**start, "headers": headers})
        await self._outer({"type": "http.response.body", "body": body, "more_body": False})

    def _failed(self, fault: Fault) -> None:
        """Note that nothing was sent: the next target may still answer."""
        self.started = False
        self._answer.fault = self._attempt.fault = fault

    # -- how it ends ------------------------------------------------------------------------

    @override
    def _end(self, *, framed: bool) -> None:
        if self._answer.is_stream:
            super()._end(framed=framed)
        else:
            self._answer.end()  # all of it is parsed, which shows whether it is whole

    @override
    async def _close(self, code: str) -> None:
        fault = self._answer.fault
        if self._stream is None and fault is not None and not is_callers(fault):
            self._failed(Fault("stream_failed", self._answer.status))
            return
        await super()._close(code)

    @override
    def _last_bytes(self) -> bytes:
        rest = bytes(self._relayed.rest)
        if self._stream is None:
            return rest
        return self._stream.feed(self._plain(rest)) + self._stream.end()

    @override
    def _error_event(self, code: str) -> bytes:
        if self._stream is None:
            return b""
        reader = self._answer.reader
        message = None if reader is None or reader.error is None else error_message(reader.error)
        return self._stream.broken(code, message or CODES[code].message, self._exchange.id)
