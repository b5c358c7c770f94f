"""One upstream call for one attempt: the request that goes out, the answer that comes back, and how it ends.

This is the only place where a byte can leave for a provider, and none does before every clearance has passed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

import httpx2
import orjson

from ..asgi import Headers, Message, Send
from ..bridge.translation import Untranslatable
from ..classify.answer import Answer, Verdict
from ..classify.faults import Fault, Rejection, is_callers
from ..config import Target, Timeouts
from ..dialects.base import Operation
from ..dialects.vendor_request import adapted
from ..errors import CODES, Interrupted, Superseded
from ..exchange import Attempt, Break, Exchange
from ..http.body import Body
from ..http.headers import downstream
from ..routing.issuers import remember_issuer
from .coarse_timer import CoarseTimer
from .relayed_bytes import RelayedBytes
from .timeouts import FAULTS, AttemptTimeouts, Ended
from .transports import Received, Transports, Unreachable

__all__ = ["UpstreamCall"]

# Reading an enum's member from its class costs a descriptor call; these are read for every chunk.
_COMMIT: Final = Verdict.COMMIT
_FAULT: Final = Verdict.FAULT
_SMALL: Final = 16 * 1024
"""Bytes. A whole body up to this size is sent without a timeout: servers buffer four times as much before
`send` waits. After earlier pieces even an empty one may wait, until the client has read enough of them."""
_CODES: Final = MappingProxyType[Ended | None, str]({"stall": "upstream_stall", "total": "answer_timeout"})


class UpstreamCall:
    """One upstream call, from its first byte out to its last byte back."""

    __slots__ = (
        "_answer",
        "_attempt",
        "_body_begun",
        "_clocks",
        "_exchange",
        "_held",
        "_listener",
        "_operation",
        "_relayed",
        "_send",
        "_target",
        "_transports",
        "started",
    )

    def __init__(
        self,
        transports: Transports,
        exchange: Exchange,
        attempt: Attempt,
        target: Target,
        operation: Operation,
        send: Send,
        *,
        translated: bool = False,
    ) -> None:
        self._transports = transports
        self._exchange = exchange
        self._attempt = attempt
        self._target = target
        self._operation = operation
        self._send = send
        self._answer = Answer(
            operation, streamed=exchange.streamed, plain=attempt.continues, translated=translated
        )
        self._answer.withholds = attempt.takes_over is not None
        self._clocks: AttemptTimeouts | None = None
        self._listener: asyncio.Task[None] | None = None
        self.started = False  # a part of an answer was sent
        self._body_begun = False  # some of the body was sent to the client
        self._held = b""  # whole events received before the answer proved good
        self._relayed = RelayedBytes(self._answer, operation, hides_usage=exchange.hides_usage)

    async def run(self, body: Body, timeouts: Timeouts, watch: CoarseTimer) -> None:
        """Make the call and send the answer, or set the attempt's fault if there is none to send.

        Raises Interrupted when only a cut connection can show the client that the answer is incomplete.
        """
        exchange = self._exchange
        first = timeouts.first_token if exchange.streamed else timeouts.answer
        left = None if exchange.deadline is None else exchange.deadline - exchange.clock()
        clocks = AttemptTimeouts(timeouts, first, left, partial(self._listen, body), watch)
        self._clocks = clocks
        try:
            with clocks:
                if (response := await self._send_request(body, clocks)) is not None:
                    try:
                        await self._relay_answer(response, clocks)
                    finally:
                        await response.release()
        except asyncio.CancelledError:
            await self._stopped()
            raise
        except Superseded:
            raise
        except (Unreachable, httpx2.TransportError, OSError) as error:
            self._explain(error, clocks)
        finally:
            self._leave()
        fault = self._answer.fault
        if fault is not None and fault.kind == "stream_truncated" and not self.started:
            fault = replace(fault, kind="stream_failed")  # nothing of it was sent yet
        self._attempt.fault = fault
        if self.started and not exchange.client_gone:
            # The provider's connection is released by now: this last message cannot fail because of it.
            code = "upstream_event_too_large" if self._answer.too_large else "upstream_interrupted"
            try:
                await self._close(_CODES.get(clocks.ended, code))
            except Superseded:
                raise
            except OSError:
                exchange.client_gone = True

    def _listen(self, body: Body) -> None:
        """Watch for the client to hang up."""
        self._listener = asyncio.create_task(body.disconnected())
        self._listener.add_done_callback(self._client_gone)

    def _client_gone(self, listener: asyncio.Task[None]) -> None:
        clocks = self._clocks
        if listener.cancelled() or listener.exception() is not None or clocks is None:
            return
        reader = self._answer.reader
        if reader is not None and reader.finish is not None and reader.usage is None:
            # All is generated, and the usage that the provider bills is on its way.
            self._exchange.client_gone = True
            self._send = _to_nobody
            clocks.linger()
        else:
            clocks.interrupt("client_gone")

    def _leave(self) -> None:
        """Stop watching the client before the end: servers report a disconnect after a normal end too."""
        self._book_wait()
        self._attempt.finished = self._exchange.clock()
        if self._clocks is not None:
            self._attempt.sent = self._clocks.sent
        if self._listener is not None:
            self._listener.cancel()
        if self._answer.reader is not None:
            self._answer.reader.on_issue = None  # a reference to the exchange, which would be a cycle

    # -- the conversation -------------------------------------------------------------------

    async def _send_request(self, body: Body, clocks: AttemptTimeouts) -> Received | None:
        """Send the request. Returns the response with its body unread, or None if a clearance refused."""
        target, exchange = self._target, self._exchange
        for clearance in exchange.clearances:
            if (refused := await clearance(exchange, self._attempt)) is not None:
                self._withdraw(refused)
                return None
        try:
            content = self._content(body)
        except Untranslatable as lost:
            self._withdraw(Rejection("capability.untranslatable", field=lost.field))
            return None
        traced: Headers = ()
        if target.propagate and exchange.trace is not None:
            traced = exchange.trace.outgoing(exchange, self._attempt)
        return await self._transports.to(target).send(
            self._operation.upstream_path, exchange.headers, traced, content, clocks
        )

    def _withdraw(self, refused: Rejection) -> None:
        """Note that this candidate is passed over, and nothing was sent to it."""
        self._exchange.withdraw(self._attempt, refused)
        self._answer.refuse(Fault("policy", code=refused.reason, retry_after=refused.ready_in))

    def _content(self, body: Body) -> bytes:
        """Returns the body that goes to the target."""
        target, own, amendments = self._target, self._attempt.amendments, self._exchange.amendments
        if own is not None:
            amendments = {**own, **amendments}
        vendor = target.provider.adapted_for
        if vendor is not None and self._operation.name == "chat":
            value = {**body.document.value, **amendments, "model": target.model}
            return orjson.dumps(adapted(value, vendor))
        return body.document.bytes(target.model, amendments)

    async def _relay_answer(self, response: Received, clocks: AttemptTimeouts) -> None:
        """Read the answer, and relay it from the moment when it has proved good.

        Everything per chunk happens in this one coroutine, since it runs for every token.
        """
        answer = self._attempt.answer = self._answer
        if answer.reader is not None:
            answer.reader.on_issue = partial(remember_issuer, self._exchange, self._target.provider)
        headers = response.headers
        verdict = answer.start(response.status, headers)
        if verdict is _FAULT or not 200 <= answer.status <= 299:
            await self._receive_refusal(response)
            return
        if self._exchange.served is self._attempt:
            await self._open(headers, clocks)  # without Failover there is nothing to wait for
        async for chunk in response:
            if (skim := answer.skim) is not None and skim(chunk):
                clocks.progress()
                ready = chunk
            else:
                ready = self._read(chunk, clocks)
            if not self.started and self._held and answer.verdict is _COMMIT:
                await self._open(headers, clocks)
            if ready:
                self._body_begun = clocks.sending = True
                await self._send({"type": "http.response.body", "body": ready, "more_body": True})
                clocks.sending = False
            if answer.ended and self._is_over(clocks):
                break
        else:
            self._end(framed=response.framed)
        if not self.started and (answer.fault is None or is_callers(answer.fault)):
            self._attempt.fault = answer.fault
            await self._open(headers, clocks)

    def _end(self, *, framed: bool) -> None:
        """The body has ended. `framed` is whether its head said where."""
        answer = self._answer
        if answer.outgrown and not framed:
            answer.broke("stream_failed")  # ended by the close of the connection, as a break would be
        answer.end(framed=framed)

    def _read(self, chunk: bytes, clocks: AttemptTimeouts) -> bytes:
        """Read a chunk. Returns the bytes that may be sent now."""
        answer = self._answer
        answer.feed(chunk)
        if answer.progress:
            if clocks.phase != "stall":
                self._book_wait()
            clocks.progress()
        elif answer.working:
            clocks.working()
        ready = self._relayed.ready(chunk)
        if self.started:
            return ready
        self._held += ready
        return b""

    def _is_over(self, clocks: AttemptTimeouts) -> bool:
        """Whether to stop reading after the terminal marker instead of waiting for the end of the body."""
        self._relayed.rest.clear()
        if self._answer.fault is not None and not self._may_tell_usage():
            return True
        if clocks.phase != "drain":
            clocks.drain()
            return False
        return self._answer.cut is not None and self._answer.fault is None

    def _may_tell_usage(self) -> bool:
        """Whether the usage may follow an error event. It is waited for as long as for the end of a body."""
        reader = self._answer.reader
        return bool(self._operation.usage_filter and self.started and reader and reader.usage is None)

    async def _open(self, headers: Headers, clocks: AttemptTimeouts) -> None:
        """Send the head and what was held: the answer is good, or an error meant for the caller."""
        clocks.sending = True
        await self._begin(self._answer.status, downstream(headers, streamed=self._answer.is_stream))
        if held := self._held:
            self._held = b""
            self._body_begun = True
            await self._send({"type": "http.response.body", "body": held, "more_body": True})
        clocks.sending = False

    async def _receive_refusal(self, response: Received) -> None:
        """Read an error answer completely before any of it is sent: most are not for the caller to see."""
        answer = self._answer
        if answer.verdict is _FAULT:
            return
        parts: list[bytes] = []
        async for chunk in response:
            parts.append(chunk)
            if answer.feed(chunk) is _FAULT:
                break
        else:
            answer.end()
        if answer.fault is not None and is_callers(answer.fault):
            self._attempt.fault = answer.fault
            body = b"".join(parts)
            # A length of its own, since only the beginning of an oversized error is read.
            sent_headers = [
                pair for pair in downstream(response.headers, streamed=False) if pair[0] != b"content-length"
            ]
            await self._begin(answer.status, [*sent_headers, (b"content-length", b"%d" % len(body))])
            self._body_begun = True
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    # -- how it ends ------------------------------------------------------------------------

    def _explain(self, error: Exception, clocks: AttemptTimeouts) -> None:
        """Name the fault of a call that ended with `error`."""
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
            self._answer.broke(FAULTS[ended])

    async def _stopped(self) -> None:
        """The server cancels this request as it stops: an error event still reaches the client."""
        if self.started and self._answer.accepts_events and not self._answer.complete:
            await self._finish(self._error_event("gateway_draining"))

    async def _finish(self, body: bytes) -> None:
        last = {"type": "http.response.body", "body": body, "more_body": False}
        if (len(body) <= _SMALL and not self._body_begun) or self._clocks is None:
            await self._send(last)
            return
        try:
            # The clocks have stopped, and a client may never read the end of its answer.
            async with asyncio.timeout(self._clocks.timeouts.stall):
                await self._send(last)
        except TimeoutError:
            self._exchange.client_gone = True

    def _book_wait(self) -> None:
        """Record, once, the time since the start as waiting for the provider."""
        if self._attempt.upstream_wait is None:
            self._attempt.upstream_wait = self._exchange.clock() - self._attempt.began

    async def _close(self, code: str) -> None:
        answer = self._answer
        if self._is_taken_over(code):
            return
        if answer.complete or answer.fault is None or is_callers(answer.fault):
            await self._finish(self._last_bytes())
        elif answer.accepts_events:
            await self._finish(self._error_event(code))
        else:
            raise Interrupted(CODES[code].message)

    def _last_bytes(self) -> bytes:
        """Returns what is left of a complete answer."""
        return self._relayed.last()

    def _is_taken_over(self, code: str) -> bool:
        """Whether the answer broke and another target restarts it, so that the body stays open."""
        takes_over, answer = self._attempt.takes_over, self._answer
        if takes_over is None or answer.complete or answer.fault is None or code == "answer_timeout":
            return False
        return answer.accepts_events and takes_over(Break(code, self._error_event(code)))

    def _error_event(self, code: str) -> bytes:
        """The one error event that ends a broken stream; empty if the provider has already sent one."""
        reader = self._answer.reader
        if reader is None:
            return b""
        if reader.error is not None:
            if self._answer.withheld:
                return self._answer.withheld
            # The blank line at its end may be missing, and clients ignore an event without one.
            rest = bytes(self._relayed.rest)
            return rest + b"\n\n" if rest else b""
        return reader.broken(code, CODES[code].message, self._exchange.id)


async def _to_nobody(_message: Message) -> None:
    """The `send` to a client that has left."""
