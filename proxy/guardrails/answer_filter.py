"""The `send` of a request whose answer guardrails read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..asgi import Headers, Message, Send, header
from ..classify.decompression import Decompressor, Undecodable
from ..dialects.base import Operation
from ..dialects.json_values import is_object
from ..dialects.sse import EventTooLarge
from ..errors import CODES, Refusal, Superseded
from ..exchange import Exchange
from ..http.refusal import render
from .answer_document import final_texts, stopped, strip_probabilities
from .answer_guard import AnswerGuard, Undecidable
from .chat_filter import ChatFilter
from .external import Call, External, Undecided
from .messages_filter import MessagesFilter
from .placeholders import Placeholders
from .responses_filter import ResponsesFilter
from .rewriter import Blocked
from .rule_book import RuleBook
from .rules import Rule
from .schemas import SchemaError, is_valid
from .stream_filter import StreamFilter

__all__ = ["FILTERED", "AnswerEnded", "AnswerFilter"]

_FILTERS: Final = MappingProxyType[str, Callable[[AnswerGuard], StreamFilter]](
    {"chat": ChatFilter, "messages": MessagesFilter, "responses": ResponsesFilter}
)
FILTERED: Final = frozenset(_FILTERS)
"""The operations whose answers hold text of a model's."""
_WHOLE: Final = frozenset({"schema", "webhook", "callable"})
"""Kinds of rules that read whole answers."""
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

    # -- the head ---------------------------------------------------------------------------

    async def _begin(self, message: Message) -> None:
        served = self.exchange.served
        if self.exchange.relayed and served is None:
            await self.send_on(message)  # the gateway's own answer
            return
        target = None if served is None else served.candidate.target
        binding = [rule for rule in self.rules if rule.when is None or rule.when.binds(target)]
        if not (binding or self.placeholders):
            await self.send_on(message)
            return
        headers: Headers = tuple([(name.lower(), value) for name, value in message.get("headers", ())])
        whole = [rule for rule in binding if rule.kind in _WHOLE]
        self._guard = guard = AnswerGuard(
            binding, self.book.response, self.placeholders, self.exchange, collects=bool(whole)
        )
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
            plain = bytes(body) if self._decoder is None else self._decoder.feed(bytes(body))
            if stream is None:
                await self._collect(guard, bytes(body), plain, last=last)
                return
            out = stream.feed(plain)
            if last and not stream.ended:
                out += stream.end()
        except (Undecidable, EventTooLarge, Undecodable):
            await self._refuse("guardrail_unavailable")
            return
        if guard.collects and not stream.ended:
            await self._hold(guard, stream, out, last=last)
            return
        await self._pass(guard, out, last=last or stream.ended)
        if stream.ended and not last:
            self.ended = True
            raise AnswerEnded

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
            await self._refuse("guardrail_unavailable")
        if not last:
            return
        texts = ["".join(parts) for parts in stream.spoken.values()]
        try:
            kept = await self._judged(guard, texts)
        except Undecidable:
            await self._refuse("guardrail_unavailable")
            return
        except Blocked:
            kept = None
        if kept == texts:
            await self._pass(guard, b"".join(self._held), last=True)
        else:  # a stream cannot be written anew, so one that is to be redacted is ended too
            await self._pass(guard, stream.stopped(), last=True)

    async def _collect(self, guard: AnswerGuard, body: bytes, plain: bytes, *, last: bool) -> None:
        """Keep a body until its end, and then read it."""
        self._held.append(body)
        self._parts.append(plain)
        self._size += len(body) + len(plain)
        if self._size > 2 * self.most:
            await self._refuse("guardrail_unavailable")
        if not last or self._start is None:
            return
        raw, start = b"".join(self._parts), self._start
        try:
            new = await self._read(guard, raw, start["status"])
        except Undecidable:
            await self._refuse("guardrail_unavailable")
            return
        except Blocked:
            await self._refuse("guardrail_answer_blocked")
            return
        guard.finish()
        self.ended = True
        if new is None:
            await self.send_on(start)
            await self.send_on(
                {"type": "http.response.body", "body": b"".join(self._held), "more_body": False}
            )
            return
        kept = [pair for pair in start.get("headers", ()) if pair[0].lower() not in _DROPPED]
        await self.send_on({**start, "headers": [*kept, (b"content-length", b"%d" % len(new))]})
        await self.send_on({"type": "http.response.body", "body": new, "more_body": False})

    async def _read(self, guard: AnswerGuard, raw: bytes, status: int) -> bytes | None:
        """Returns what a whole body becomes, None if it stays as it is.

        Raises Undecidable, and Blocked for an error that may not be passed on.
        """
        if not raw:
            return None
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            value = None
        if not is_object(value):
            guard.not_scanned(("body",))
            return None
        operation = self.operation.name
        good = 200 <= status <= 299
        try:
            changed = guard.document(value)
            if good:
                changed |= strip_probabilities(operation, value)
                changed |= await self._judge_document(guard, value)
        except Blocked:
            if not good:
                raise
            rule = guard.stopped_by
            return orjson.dumps(stopped(operation, value, None if rule is None else rule.name))
        return orjson.dumps(value) if changed else None

    # -- rules that read the whole answer ---------------------------------------------------

    async def _judge_document(self, guard: AnswerGuard, value: dict[str, Any]) -> bool:
        if not guard.collects:
            return False
        texts = final_texts(self.operation.name, value)
        new = await self._judged(guard, texts)
        for old, text in zip(texts, new, strict=True):
            if old != text:
                guard.rewrite(value, old, text)
        return new != texts

    async def _judged(self, guard: AnswerGuard, texts: list[str]) -> list[str]:
        """Returns the texts that the rules leave of these. Raises Blocked and Undecidable."""
        exchange, principal = self.exchange, self.exchange.principal
        for rule in guard.rules:
            if rule.kind == "schema":
                self._check_schema(guard, rule, texts)
            elif rule.kind in _WHOLE:
                served = exchange.served
                call = Call(
                    rule.name,
                    "response",
                    tuple(texts),
                    exchange.id,
                    None if exchange.pool is None else exchange.pool.name,
                    None if principal is None else principal.name("key"),
                    None if served is None else served.candidate.name,
                )
                try:
                    verdict = await self.external.ask(rule, call)
                except Undecided:
                    guard.undecided((rule,))
                    continue
                if verdict is True or verdict is None:
                    continue
                guard.found(rule, rule.kind)
                if verdict is False and rule.action == "redact":
                    guard.block(rule)
                if verdict is not False and rule.action == "redact":
                    texts = list(verdict)
        return texts

    def _check_schema(self, guard: AnswerGuard, rule: Rule, texts: Sequence[str]) -> None:
        try:
            schema = self.book.schema(rule, self.schema)
            if schema is not None and not all(is_valid(text, schema) for text in texts):
                guard.found(rule, "schema")
        except SchemaError:
            guard.undecided((rule,))

    # -- refusals ---------------------------------------------------------------------------

    async def _refuse(self, code: str) -> None:
        """End the answer with an error. Raises AnswerEnded."""
        self.ended = True
        guard = self._guard
        if guard is not None:
            guard.finish()
        if self._stream is not None:
            event = self.operation.reader().broken(code, CODES[code].message, self.exchange.id)
            await self.send_on({"type": "http.response.body", "body": event, "more_body": False})
        else:
            rule = None if guard is None else guard.stopped_by
            refusal = Refusal(code, param=None if rule is None else rule.name)
            self.exchange.refusal = code
            status, headers, body = render(refusal, self.exchange.id, self.exchange.dialect)
            if not self.exchange.relayed:
                headers += self.exchange.report()
            await self.send_on({"type": "http.response.start", "status": status, "headers": headers})
            await self.send_on({"type": "http.response.body", "body": body, "more_body": False})
        raise AnswerEnded
