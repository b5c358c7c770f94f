"""Decides which bytes of an answer may be sent after each chunk: whole events, never the last piece."""

from __future__ import annotations

from ..classify.answer import MAX_HELD, Answer
from ..dialects.base import Operation
from ..dialects.usage_event_filter import UsageEventFilter

__all__ = ["RelayedBytes"]


class RelayedBytes:
    """The bytes of one answer between its provider and its caller.

    `hides_usage` is whether the event with the usage is left out, since only the gateway asked for it.
    """

    __slots__ = ("_answer", "_hides_usage", "_operation", "_unasked", "rest")

    def __init__(self, answer: Answer, operation: Operation, *, hides_usage: bool) -> None:
        self._answer = answer
        self._operation = operation
        self._hides_usage = hides_usage
        self._unasked: UsageEventFilter | None = None
        self.rest = bytearray()
        """The beginning of an event whose end has not arrived, or the last piece of a body."""

    def ready(self, chunk: bytes) -> bytes:
        """Returns what may be sent after the answer has read this chunk."""
        if not self._answer.is_stream:
            return self._ready_of_body(chunk)
        ready = self._ready_of_stream(chunk)
        if not (self._hides_usage and self._answer.accepts_events):
            return ready
        if self._unasked is None and self._operation.usage_filter is not None:
            self._unasked = self._operation.usage_filter()
        return ready if self._unasked is None else self._unasked.out_of(ready)

    def last(self) -> bytes:
        """Returns what is left of a complete answer. Its last event may lack its blank line."""
        rest = bytes(self.rest)
        return rest if self._unasked is None else self._unasked.out_of(rest)

    def _ready_of_body(self, chunk: bytes) -> bytes:
        """The bytes of an unstreamed body to send now. Its last piece waits for the end."""
        rest = self.rest
        ready = bytes(rest) if len(rest) > MAX_HELD else b""
        if ready:
            rest.clear()
        rest += chunk
        return ready

    def _ready_of_stream(self, chunk: bytes) -> bytes:
        """The bytes of a stream to send now: whole events only."""
        rest, cut = self.rest, self._answer.cut
        if cut is None or (cut == len(chunk) and not rest):
            return chunk
        rest += chunk[:cut]
        ready = bytes(rest) if cut else b""
        if cut:
            rest.clear()
        rest += chunk[cut:]
        return ready
