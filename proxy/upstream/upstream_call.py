"""One attempt, one upstream call: what goes out for it, what comes back, and how it ends.

This is the one place where a byte can leave for a provider, and none does before every clearance has passed.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from types import MappingProxyType
from typing import Final, cast

import httpx2

from ..asgi import Headers, Scope, Send, header
from ..classify.answer import MAX_HELD, Answer, Verdict
from ..classify.faults import Fault, FaultKind, is_callers
from ..config import Target, Timeouts
from ..dialects.base import Operation
from ..dialects.registry import dialect_named
from ..dialects.usage_event_filter import UsageEventFilter
from ..errors import CODES, Interrupted, Superseded
from ..exchange import Attempt, Break, Exchange
from ..http.body import Body
from ..http.exhausted import exhausted
from ..http.headers import downstream, upstream
from ..http.refusal import send_refusal
from .coarse_timer import CoarseTimer
from .timeouts import AttemptTimeouts, Ended
from .transports import Transports, Unreachable, Upstream

__all__ = ["UpstreamCall"]

_FAULTS: Final = MappingProxyType[Ended, FaultKind](
    {
        "connect": "connect",
        "first_token": "timeout_first_byte",
        "deadline": "timeout_first_byte",
        "stall": "timeout",
        "total": "timeout",
    }
)
# Reading an enum's member from its class costs a descriptor call; these are read for every chunk.
_COMMIT: Final = Verdict.COMMIT
_FAULT: Final = Verdict.FAULT
_SMALL: Final = 16 * 1024
"""Bytes. A whole body of so many never waits: servers hold four times that before they make an app wait. But
after other pieces of the body even an empty one does, until the client has read enough of those."""
_CODES: Final = MappingProxyType[Ended | None, str]({"stall": "upstream_stall", "total": "answer_timeout"})


class UpstreamCall:
    """One upstream call, from the first byte out to the last byte back."""

    __slots__ = (
        "_answer",
        "_attempt",
        "_began",
        "_body_begun",
        "_clocks",
        "_exchange",
        "_held",
        "_listener",
        "_operation",
        "_rest",
        "_scope",
        "_send",
        "_started",
        "_target",
        "_transports",
        "_unasked",
    )

    def __init__(
        self,
        transports: Transports,
        scope: Scope,
        attempt: Attempt,
        target: Target,
        operation: Operation,
        send: Send,
    ) -> None:
        exchange = Exchange.of(scope)
        self._transports = transports
        self._scope = scope
        self._exchange = exchange
        self._attempt = attempt
        self._target = target
        self._operation = operation
        self._send = send
        self._answer = Answer(operation, streamed=exchange.streamed, plain=attempt.continues)
        self._answer.withholds = attempt.takes_over is not None
        self._began = time.perf_counter()
        self._clocks: AttemptTimeouts | None = None
        self._listener: asyncio.Task[None] | None = None
        self._started = False
        self._body_begun = False  # some of the body has gone out
        self._held = b""  # whole events that came before the answer proved good
        self._rest = bytearray()  # the beginning of an event whose end has not come
        self._unasked: UsageEventFilter | None = None

    async def run(self, body: Body, timeouts: Timeouts, watch: CoarseTimer) -> None:
        """Make the call, and answer.

        Raises Interrupted when only a cut connection tells the client the truth.
        """
        exchange = self._exchange
        first = timeouts.first_token if exchange.streamed else timeouts.answer
        clocks = AttemptTimeouts(timeouts, first, self._attempt.deadline, partial(self._listen, body), watch)
        self._clocks = clocks
        try:
            with clocks:
                if (response := await self._send_request(body, clocks)) is not None:
                    try:
                        await self._relay_answer(response, clocks)
                    finally:
                        await Upstream.release(response)
        except asyncio.CancelledError:
            await self._stopped()
            raise
        except Superseded:
            raise
        except (Unreachable, httpx2.TransportError, OSError) as error:
            self._explain(error, clocks)
        finally:
            self._leave()
        self._attempt.fault = self._answer.fault
        if self._answer.complete and self._operation.answers_have_ids:
            self._remember()
        if self._started and not exchange.client_gone:
            # The upstream is released by now: nothing that happens to this last message concerns it.
            code = "upstream_event_too_large" if self._answer.too_large else "upstream_interrupted"
            try:
                await self._close(_CODES.get(clocks.ended, code))
            except Superseded:
                raise
            except OSError:
                exchange.client_gone = True
        elif not exchange.client_gone:
            await send_refusal(self._scope, self._send, exhausted(exchange))

    def _listen(self, body: Body) -> None:
        """Hear it when the client hangs up."""
        self._listener = asyncio.create_task(body.disconnected())
        self._listener.add_done_callback(self._client_gone)

    def _client_gone(self, listener: asyncio.Task[None]) -> None:
        if not listener.cancelled() and listener.exception() is None and self._clocks is not None:
            self._clocks.interrupt("client_gone")

    def _leave(self) -> None:
        """The provider is done with. So is listening: servers report a disconnect after a normal end too."""
        self._book_wait()
        if self._clocks is not None:
            self._attempt.sent = self._clocks.sent
        if self._listener is not None:
            self._listener.cancel()

    # -- the conversation -------------------------------------------------------------------

    async def _send_request(self, body: Body, clocks: AttemptTimeouts) -> httpx2.Response | None:
        """What the provider answers, of which the head is here; None if a clearance forbids to ask."""
        target, exchange = self._target, self._exchange
        for clearance in exchange.clearances:
            if (refused := await clearance(exchange, self._attempt)) is not None:
                exchange.withdraw(self._attempt, refused)
                self._answer.refuse(Fault("policy", code=refused.reason, retry_after=refused.ready_in))
                return None
        connections = self._transports.to(target)
        content = body.document.bytes(target.model, exchange.amendments)
        sent_headers = upstream(
            connections.headers, exchange.headers, dialect_named(target.provider.dialect), len(content)
        )
        return await connections.send(
            connections.url(self._operation.upstream_path), sent_headers, content, clocks
        )

    async def _relay_answer(self, response: httpx2.Response, clocks: AttemptTimeouts) -> None:
        """Read the answer, and pass it on from when it has proved good.

        One coroutine for all that happens to a chunk: this runs for every token.
        """
        answer = self._attempt.answer = self._answer
        stream = cast("httpx2.AsyncByteStream", response.stream)
        headers: Headers = tuple([(name.lower(), value) for name, value in response.headers.raw])
        verdict = answer.start(response.status_code, headers)
        if verdict is _FAULT or not 200 <= answer.status <= 299:
            await self._receive_refusal(stream, headers)
            return
        if self._exchange.served is self._attempt:
            await self._open(headers, clocks)  # without a Failover, nobody waits for proof
        send = self._send
        async for chunk in stream:
            if (skim := answer.skim) is not None and skim(chunk):
                clocks.progress()
                ready = chunk
            else:
                ready = self._read(chunk, clocks)
            if not self._started and self._held and answer.verdict is _COMMIT:
                await self._open(headers, clocks)
            if ready:
                self._body_begun = clocks.sending = True
                await send({"type": "http.response.body", "body": ready, "more_body": True})
                clocks.sending = False
            if answer.ended and self._is_over(clocks):
                break
        else:
            self._end(headers)
        if not self._started and (answer.fault is None or is_callers(answer.fault)):
            await self._open(headers, clocks)

    def _end(self, headers: Headers) -> None:
        """The body has ended."""
        answer = self._answer
        if answer.outgrown and not _is_framed(headers):
            answer.broke("stream_failed")  # it ended with its connection, which a break does too
        answer.end()

    def _read(self, chunk: bytes, clocks: AttemptTimeouts) -> bytes:
        """Read a chunk, and return what may go out now."""
        answer = self._answer
        answer.feed(chunk)
        if answer.progress:
            if clocks.phase != "stall":
                self._book_wait()
            clocks.progress()
        ready = self._ready(chunk)
        if self._started:
            return ready
        self._held += ready
        return b""

    def _is_over(self, clocks: AttemptTimeouts) -> bool:
        """Whether not even the end of a body that has said its last is worth waiting for."""
        self._rest.clear()
        if self._answer.fault is not None:
            return True
        if clocks.phase != "drain":
            clocks.drain()
            return False
        return self._answer.cut is not None

    async def _open(self, headers: Headers, clocks: AttemptTimeouts) -> None:
        """The answer is good, or the caller's fault: pass on how it begins."""
        clocks.sending = True
        await self._begin(self._answer.status, downstream(headers, streamed=self._answer.is_stream))
        if held := self._held:
            self._held = b""
            self._body_begun = True
            await self._send({"type": "http.response.body", "body": held, "more_body": True})
        clocks.sending = False

    def _ready(self, chunk: bytes) -> bytes:
        """What may go out now that this chunk was read."""
        if not self._answer.is_stream:
            return self._ready_of_body(chunk)
        ready = self._ready_of_stream(chunk)
        if not (self._exchange.hides_usage and self._answer.accepts_events):
            return ready
        if self._unasked is None:
            if (usage_filter := self._operation.usage_filter) is None:
                return ready
            self._unasked = usage_filter()
        return self._unasked.out_of(ready)

    def _ready_of_body(self, chunk: bytes) -> bytes:
        """What must go out now of a body: its last piece goes out with the end, as most are one message."""
        rest = self._rest
        ready = bytes(rest) if len(rest) > MAX_HELD else b""
        if ready:
            rest.clear()
        rest += chunk
        return ready

    def _ready_of_stream(self, chunk: bytes) -> bytes:
        """What may go out now of a stream: nothing of an event before its end has come."""
        rest, cut = self._rest, self._answer.cut
        if cut is None or (cut == len(chunk) and not rest):
            return chunk
        rest += chunk[:cut]
        ready = bytes(rest) if cut else b""
        if cut:
            rest.clear()
        rest += chunk[cut:]
        return ready

    def _remember(self) -> None:
        """A later request may name this answer: only the provider that gave it will know it."""
        affinity, reader = self._exchange.affinity, self._answer.reader
        if affinity is not None and reader is not None and reader.answer_id is not None:
            affinity.remember(reader.answer_id, self._target.provider.name)

    async def _receive_refusal(self, stream: httpx2.AsyncByteStream, headers: Headers) -> None:
        """Read a refusal whole before a word of it is passed on: most are not the caller's to see."""
        answer = self._answer
        if answer.verdict is _FAULT:
            return
        parts: list[bytes] = []
        async for chunk in stream:
            parts.append(chunk)
            if answer.feed(chunk) is _FAULT:
                break
        else:
            answer.end()
        if answer.fault is not None and is_callers(answer.fault):
            self._attempt.fault = answer.fault
            body = b"".join(parts)
            # Its own length: of one that is beyond all measure only the beginning was read.
            sent_headers = [
                pair for pair in downstream(headers, streamed=False) if pair[0] != b"content-length"
            ]
            await self._begin(answer.status, [*sent_headers, (b"content-length", b"%d" % len(body))])
            self._body_begun = True
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    # -- how it ends ------------------------------------------------------------------------

    def _explain(self, error: Exception, clocks: AttemptTimeouts) -> None:
        """What it means that the conversation ended with `error`."""
        if clocks.ended is not None and isinstance(error, TimeoutError):
            self._out_of_time(clocks.ended)
        elif isinstance(error, Unreachable):
            self._answer.broke(error.kind)
        elif clocks.sending and isinstance(error, OSError):
            self._exchange.client_gone = True  # some servers say so when we send
        else:
            self._answer.broke("stream_failed")

    def _out_of_time(self, ended: Ended) -> None:
        if ended in {"client_gone", "client_stalled"}:
            self._exchange.client_gone = True
        elif ended == "drain":
            self._answer.end()
        else:
            self._answer.broke(_FAULTS[ended])

    async def _stopped(self) -> None:
        """The server gives up on what is under way; what it still sends for us reaches the client."""
        if self._started and self._answer.accepts_events and not self._answer.complete:
            await self._finish(self._error_event("gateway_draining"))

    async def _finish(self, body: bytes) -> None:
        last = {"type": "http.response.body", "body": body, "more_body": False}
        if (len(body) <= _SMALL and not self._body_begun) or self._clocks is None:
            await self._send(last)
            return
        try:
            # The clocks have stopped, and a client need not ever read the end of its answer.
            async with asyncio.timeout(self._clocks.timeouts.stall):
                await self._send(last)
        except TimeoutError:
            self._exchange.client_gone = True

    def _book_wait(self) -> None:
        """Book the time until now as spent waiting for the provider, once."""
        if not self._attempt.upstream_wait:
            self._attempt.upstream_wait = time.perf_counter() - self._began

    async def _close(self, code: str) -> None:
        answer = self._answer
        if self._is_taken_over(code):
            return
        if answer.complete or answer.fault is None or is_callers(answer.fault):
            # The last event may lack its blank line.
            rest = bytes(self._rest)
            await self._finish(rest if self._unasked is None else self._unasked.out_of(rest))
        elif answer.accepts_events:
            await self._finish(self._error_event(code))
        else:
            raise Interrupted(CODES[code].message)

    def _is_taken_over(self, code: str) -> bool:
        """Whether the answer broke, and is left open for another that begins it anew."""
        takes_over, answer = self._attempt.takes_over, self._answer
        if takes_over is None or answer.complete or answer.fault is None or code == "answer_timeout":
            return False
        return answer.accepts_events and takes_over(Break(code, self._error_event(code)))

    def _error_event(self, code: str) -> bytes:
        """The one event that tells a client of a break, unless the provider said so itself."""
        reader = self._answer.reader
        if reader is None:
            return b""
        if reader.error is not None:
            if self._answer.withheld:
                return self._answer.withheld
            # At the very end its blank line may be missing, and without one no client takes it for an event.
            return bytes(self._rest) + b"\n\n" if self._rest else b""
        return reader.broken(code, CODES[code].message, self._exchange.id)


def _is_framed(headers: Headers) -> bool:
    return header(headers, b"content-length") is not None or header(headers, b"transfer-encoding") is not None
