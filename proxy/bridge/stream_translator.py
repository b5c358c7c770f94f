"""Translates the bytes of a stream, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from ..dialects.base import AnswerReader, Operation
from ..dialects.json_values import dumped, lenient
from ..dialects.sse import Event, Splitter
from .answer_translator import AnswerTranslator

__all__ = ["StreamTranslator"]

_PING: Final = b": ping\n\n"
_DONE: Final = b"data: [DONE]\n\n"


class StreamTranslator:
    """Translates one stream for the caller of `operation`, by one stage or several that follow each other.

    The bytes may be split anywhere. Only whole events go out. An error event does not: whoever ends the
    stream says what happened, with `broken`.
    """

    __slots__ = ("_ended", "_first", "_last", "_named", "_operation", "_splitter", "_stages")

    def __init__(self, operation: Operation, stages: Sequence[AnswerTranslator]) -> None:
        self._operation = operation
        self._stages = stages
        self._named = operation.name != "chat"
        self._splitter = Splitter()
        self._ended = False
        self._first = b""  # the data of the first and of the last event that went out
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        """Returns the events that follow from the provider's next bytes. Raises EventTooLarge."""
        return self._translated(self._splitter.feed(chunk))

    def end(self) -> bytes:
        """Returns the events that end a complete stream, if its own bytes have not done so."""
        return self._translated(self._splitter.finish()) + self._ending()

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        """Returns the error event that ends the stream here, in the caller's format."""
        return self._reader().broken(code, message, request_id)

    def restarted(self, reason: str, attempt: int) -> bytes:
        """Returns the event that asks the client to discard this stream, in the caller's format."""
        return self._reader().restarted(reason, attempt)

    def _reader(self) -> AnswerReader:
        """Returns a reader of what went out: it knows the ids and numbers with which the stream goes on."""
        reader = self._operation.reader()
        for data in (self._first, self._last):
            if data:
                reader.event(b"", data)
        return reader

    def _translated(self, events: list[Event]) -> bytes:
        if self._ended:
            return b""
        out: list[bytes] = []
        for name, data, _ in events:
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                if data.strip() == b"[DONE]":
                    out.append(self._ending())
                    break
                event = lenient(data)
            if event.__class__ is not dict or event.get("error") or name == b"error":
                continue
            if event.get("type") == "ping":
                out.append(_PING)
                continue
            made = self._written(self._through(0, [event]))
            if not made and self._first and self._stages[0].is_thinking(event):
                made = [_PING]  # a sign of life: whoever hears nothing for long may hang up
            out += made
            if self._stages[0].ended:
                out.append(self._ending())
                break
        return b"".join(out)

    def _ending(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        out: list[bytes] = []
        for at, stage in enumerate(self._stages):
            out += self._written(self._through(at + 1, stage.end()))
        if not self._named and self._first:
            out.append(_DONE)
        return b"".join(out)

    def _through(self, at: int, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns what the stages from the one `at` this place on make of the events."""
        for stage in self._stages[at:]:
            events = [made for event in events for made in stage.event(event)]
        return events

    def _written(self, events: list[dict[str, Any]]) -> list[bytes]:
        out: list[bytes] = []
        for event in events:
            data = self._last = dumped(event)
            if not self._first:
                self._first = data
            if self._named:
                out.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))
            else:
                out.append(b"data: %b\n\n" % data)
        return out
