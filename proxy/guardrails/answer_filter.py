"""The `send` of a request whose answer guardrails read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..asgi import Headers, Message, Send, header
from ..classify.decompression import Decompressor, Undecodable
from ..dialects.base import Operation
from ..dialects.json_values import dumped, is_object, read_json
from ..dialects.sse import EventTooLarge
from ..errors import CODES, Refusal, Superseded
from ..exchange import Exchange
from ..http.refusal import render
from ..http.stream_restart import is_requested
from .answer_document import final_texts, head_of, stopped, strip_probabilities
from .answer_guard import AnswerGuard, AnswerRefused
from .chat_filter import ChatFilter
from .duplicates import has_duplicates
from .external import External
from .messages_filter import MessagesFilter
from .placeholders import Placeholders
from .responses_filter import ResponsesFilter
from .rewriter import Blocked
from .rule_book import RuleBook
from .rules import Rule
from .stream_filter import StreamFilter
from .whole_answer import WHOLE, WholeAnswer

__all__ = ["FILTERED", "AnswerEnded", "AnswerFilter"]

_FILTERS: Final = MappingProxyType[str, Callable[[AnswerGuard], StreamFilter]](
    {"chat": ChatFilter, "messages": MessagesFilter, "responses": ResponsesFilter}
)
FILTERED: Final = frozenset(_FILTERS)
"""The operations whose answers hold text of a model's."""
_LARGE: Final = 32 * 1024
"""Bytes of a body from which on reading it takes so long that it is done in a thread."""
_DROPPED: Final = frozenset({b"content-length", b"content-encoding"})


class AnswerEnded(Superseded):
    """The answer has been ended here: what its provider still sends reaches nobody."""


@dataclass(slots=True, eq=False)
class AnswerFilter:
    """Reads an answer on its way to the caller, by the rules that bind for the target that gives it.

    Where none does, and nothing is to be restored, it passes byte for byte. `schema` is what the request asks
    for. A stream is redacted as it flows; a whole body, and a stream that a rule must read whole, wait for
    their end, `most` bytes at most. Once a rule has ended an answer, the filter sends its end and raises
    AnswerEnded.
    """

    send_on: Send
    exchange: Exchange
    operation: Operation
    rules: Sequence[Rule]
    book: RuleBook
    external: External
    schema: bytes | None
    placeholders: Placeholders | None
    most: int
    ended: bool = field(default=False, init=False)
    cut: bool = field(default=False, init=False)
    """Whether the filter has ended the answer before its app did."""
    _guard: AnswerGuard | None = field(default=None, init=False)
    _stream: StreamFilter | None = field(default=None, init=False)
    _decoder: Decompressor | None = field(default=None, init=False)
    _start: Message | None = field(default=None, init=False)
    _parts: list[bytes] = field(default_factory=list[bytes], init=False)
    _held: list[bytes] = field(default_factory=list[bytes], init=False)
    _size: int = field(default=0, init=False)

    async def send(self, message: Message) -> None:
        """Handle one ASGI message of the answer."""
        if self.ended:
            raise AnswerEnded
        kind = message["type"]
        if kind == "http.response.start":
            await self._begin(message)
        elif self._guard is None or kind != "http.response.body":
            await self.send_on(message)
        else:
            await self._body(self._guard, message.get("body", b""), last=not message.get("more_body", False))

    def finish(self) -> None:
        """Write what was found into the exchange, if the answer has not come to its end."""
        if self._guard is not None:
            self._guard.finish()

    # -- the head ---------------------------------------------------------------------------

    async def _begin(self, message: Message) -> None:
        served = self.exchange.served
        if self.exchange.relayed and served is None:
            await self.send_on(message)  # the gateway's own answer
            return
        guard = AnswerGuard(self.rules, self.book.response, self.placeholders, self.exchange)
        # A stream that breaks may be restarted by a target for which other rules bind.
        reads = self.rules if is_requested(self.exchange) else guard.rules
        restores = self.placeholders is not None and (bool(self.placeholders) or is_requested(self.exchange))
        if not (reads or restores):
            await self.send_on(message)
            return
        self._guard = guard
        guard.collects = any(rule.kind in WHOLE for rule in reads)
        headers: Headers = tuple([(name.lower(), value) for name, value in message.get("headers", ())])
        encoding = (header(headers, b"content-encoding") or b"").strip().lower()
        if encoding not in {b"", b"identity"}:
            try:
                self._decoder = Decompressor(encoding)
            except Undecodable:
                await self._refuse("guardrail_unavailable")
        streamed = b"text/event-stream" in (header(headers, b"content-type") or b"").lower()
        if not streamed or not 200 <= message["status"] <= 299:
            self._start = message
            return
        self._stream = _FILTERS[self.operation.name](guard)
        kept = [pair for pair in headers if pair[0] not in _DROPPED]
        await self.send_on({**message, "headers": kept})

    # -- the body ---------------------------------------------------------------------------

    async def _body(self, guard: AnswerGuard, body: bytes, *, last: bool) -> None:
        stream = self._stream
        try:
            plain = self._plain(bytes(body))
            if stream is None:
                await self._collect(guard, bytes(body), plain, last=last)
                return
            # What is large is read in a thread, so that others are served meanwhile.
            large = stream.waiting + len(plain) > _LARGE
            out = await asyncio.to_thread(stream.feed, plain) if large else stream.feed(plain)
            if last and not stream.ended:
                out += stream.end()
            if guard.collects:
                if not stream.ended:
                    await self._hold(guard, stream, out, last=last)
                    return
                out = stream.stopped(fresh=True)  # what was held is not sent
        except (AnswerRefused, EventTooLarge, Undecodable):
            await self._refuse("guardrail_unavailable")
            return
        await self._pass(guard, out, last=last or stream.ended)
        if stream.ended and not last:
            self.ended = self.cut = True
            raise AnswerEnded

    def _plain(self, body: bytes) -> bytes:
        """Returns the bytes of the answer without their compression. Raises Undecodable."""
        if self._decoder is None:
            return body
        plain = self._decoder.feed(body)
        if self._decoder.has_trailing:
            raise Undecodable
        return plain

    async def _pass(self, guard: AnswerGuard, out: bytes, *, last: bool) -> None:
        if last:
            guard.finish()
            self.ended = True
        if out or last:
            await self.send_on({"type": "http.response.body", "body": out, "more_body": not last})

    async def _hold(self, guard: AnswerGuard, stream: StreamFilter, out: bytes, *, last: bool) -> None:
        """Keep a stream until its end, for rules that read all of it."""
        self._held.append(out)
        self._size += len(out)
        if self._size > self.most:
            guard.undecided([rule for rule in guard.rules if rule.kind in WHOLE])
            guard.collects = False  # the rest passes as it comes
            await self._pass(guard, b"".join(self._held), last=last)
            return
        if not last:
            return
        answers = stream.answers()
        try:
            kept = await self._whole(guard).judge(answers)
        except Blocked:
            kept = None
        if kept is not None and kept != [text for parts in answers for text in parts]:
            guard.end_instead()  # a stream that is kept cannot be written anew
            kept = None
        out = stream.stopped(fresh=True) if kept is None else b"".join(self._held)
        await self._pass(guard, out, last=True)

    async def _collect(self, guard: AnswerGuard, body: bytes, plain: bytes, *, last: bool) -> None:
        """Keep a body until its end, and then read it."""
        self._held.append(body)
        self._parts.append(plain)
        self._size += len(plain)
        start = self._start
        if start is None:
            return
        if self._size > self.most:
            guard.undecided(guard.rules)
            guard.finish()
            self._guard = None  # the rest passes as it comes
            await self._send_whole(start, b"".join(self._held), last=last)
            return
        if not last:
            return
        try:
            new = await self._read(guard, b"".join(self._parts), start["status"])
        except Blocked:
            await self._refuse("guardrail_answer_blocked")
            return
        guard.finish()
        self.ended = True
        if new is None:
            await self._send_whole(start, b"".join(self._held), last=True)
            return
        kept = [pair for pair in start.get("headers", ()) if pair[0].lower() not in _DROPPED]
        start = {**start, "headers": [*kept, (b"content-length", b"%d" % len(new))]}
        await self._send_whole(start, new, last=True)

    async def _send_whole(self, start: Message, body: bytes, *, last: bool) -> None:
        await self.send_on(start)
        await self.send_on({"type": "http.response.body", "body": body, "more_body": not last})

    def _whole(self, guard: AnswerGuard) -> WholeAnswer:
        return WholeAnswer(guard, self.book, self.external, self.exchange, self.schema)

    async def _read(self, guard: AnswerGuard, raw: bytes, status: int) -> bytes | None:
        """Returns what a whole body becomes, None if it stays as it is.

        Raises AnswerRefused, and Blocked for an error that may not be passed on.
        """
        if not raw:
            return None
        value = read_json(raw)
        good, large = 200 <= status <= 299, len(raw) > _LARGE
        if not is_object(value):
            if large:
                return await asyncio.to_thread(self._read_other, guard, raw, value)
            return self._read_other(guard, raw, value)
        operation = self.operation.name
        try:
            if large:
                changed = await asyncio.to_thread(_redact, guard, value, raw)
            else:
                changed = _redact(guard, value, raw)
            if good:
                changed |= strip_probabilities(operation, value)
                changed |= guard.collects and await self._judged(guard, value)
        except Blocked:
            if not good:
                raise
            rule = guard.stopped_by
            head = guard.clean(head_of(value))
            return orjson.dumps(stopped(operation, value, head, None if rule is None else rule.name))
        return dumped(value) if changed else None

    def _read_other(self, guard: AnswerGuard, raw: bytes, value: object) -> bytes | None:
        """Returns what a body becomes that is no JSON object: a list, or a text of any kind."""
        guard.not_scanned(("body",))
        if not guard.occurs(raw):
            return None
        if isinstance(value, list):
            holder: dict[str, Any] = {"list": value}
            guard.document(holder)
            return dumped(holder["list"])
        return guard.text().whole(raw.decode("utf-8", "replace")).encode()

    async def _judged(self, guard: AnswerGuard, value: dict[str, Any]) -> bool:
        """Apply the rules that need the whole answer. Returns whether they changed it."""
        answers = final_texts(self.operation.name, value)
        texts = [text for parts in answers for text in parts]
        new = await self._whole(guard).judge(answers)
        for old, text in zip(texts, new, strict=True):
            if old != text:
                guard.rewrite(value, old, text)
        return new != texts

    # -- refusals ---------------------------------------------------------------------------

    async def _refuse(self, code: str) -> None:
        """End the answer with an error. Raises AnswerEnded."""
        self.ended = self.cut = True
        guard, exchange = self._guard, self.exchange
        rule = None if guard is None else guard.stopped_by
        exchange.refusal = code
        if guard is not None:
            guard.finish()
        if self._stream is not None:
            event = self.operation.reader().broken(code, CODES[code].message, exchange.id)
            await self.send_on({"type": "http.response.body", "body": event, "more_body": False})
            raise AnswerEnded
        refusal = Refusal(code, param=None if rule is None else rule.name)
        if rule is not None:
            exchange.notes.append((b"x-standby-guardrail", rule.name.encode()))
        status, headers, body = render(refusal, exchange.id, exchange.dialect)
        if not exchange.relayed:
            headers += exchange.report()
        await self._send_whole(
            {"type": "http.response.start", "status": status, "headers": headers}, body, last=True
        )
        raise AnswerEnded


def _redact(guard: AnswerGuard, value: dict[str, Any], raw: bytes) -> bool:
    """Redact a whole answer in place. Returns whether it is not what its bytes say any more."""
    # What another parser would read of a key that stands twice is not in `value`.
    twice = guard.occurs(raw) and has_duplicates(raw)
    return guard.document(value) or twice
