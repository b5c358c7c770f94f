"""What the filters of all streams have in common: events in, events out. No I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from typing import Any, Final

import orjson

from ..dialects.json_values import is_object, lenient, within
from ..dialects.sse import BLANK_LINE, MAX_EVENT, EventTooLarge, Splitter
from .answer_guard import AnswerGuard, AnswerText
from .duplicates import has_duplicates
from .rewriter import Blocked

__all__ = ["StreamFilter"]


_MOST_FRAMES: Final = 16
_LONGEST_BLANK_LINE: Final = 4  # bytes


class _Ended(Exception):
    """A rule has blocked the answer. `event` is the last event with text that may be sent, if there is
    one."""

    def __init__(self, event: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.event = event


class StreamFilter(ABC):
    """Filters one stream, event by event. An event that needs no change passes as it came.

    A subclass knows where the texts of a dialect's events stand, how a text that was held is sent on, and how
    an answer ends that a content filter has stopped. `ended` is set once a rule has ended the answer, and
    `sent_texts` are the texts that went out, by their keys.
    """

    def __init__(self, guard: AnswerGuard) -> None:
        self.guard = guard
        self.ended = False
        self.sent_texts: dict[Hashable, list[str]] = {}
        self._texts: dict[Hashable, AnswerText] = {}
        self._changed = False
        self._handled: set[tuple[int, object]] = set()  # the places of an event's texts
        self._pieces: list[str] = []  # an event's texts, as they came
        self._clean_frames: set[bytes] = set()  # events without their text in which nothing occurs
        self._attempt = guard.exchange.served
        self._pending = bytearray()
        self._splitter = Splitter()

    # -- what a dialect knows ---------------------------------------------------------------

    @abstractmethod
    def filter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Redact `event` in place. Returns the events to send before it."""

    @abstractmethod
    def sent(self, event: dict[str, Any]) -> None:
        """Note that an event goes out."""

    @abstractmethod
    def text_event(self, key: Hashable, text: str) -> dict[str, Any]:
        """Returns an event that adds `text` to the text of this key."""

    @abstractmethod
    def stopped(self, *, fresh: bool = False) -> bytes:
        """Returns what ends an answer that the provider's own content filter has stopped.

        If it is `fresh`, nothing of the answer was sent before.
        """

    @abstractmethod
    def answers(self) -> list[list[str]]:
        """Returns the parts of the text of each choice that went out, as `final_texts` does of a whole
        answer."""

    @abstractmethod
    def restart(self) -> None:
        """Forget what is known of the answer: the client was told to discard it, and another one follows."""

    def event_name(self, event: dict[str, Any]) -> str | None:
        """Returns the name under which an event is sent, or None without one."""
        kind = event.get("type")
        return kind if isinstance(kind, str) else None

    # -- bytes ------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """The number of bytes of an event whose end has not come yet."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> bytes:
        """Returns what may be sent after this chunk. Raises AnswerRefused and EventTooLarge."""
        out: list[bytes] = []
        try:
            out.extend(map(self._filtered, self._whole_events(chunk)))
        except _Ended as ended:
            out.append(self._closing(ended))
        return b"".join(out)

    def end(self) -> bytes:
        """Returns what is left at the end of the stream. Raises AnswerRefused."""
        if self.ended:
            return b""
        rest, self._pending = bytes(self._pending), bytearray()
        try:
            out = self._filtered(rest) if rest.strip() else rest
            return out + self.written(self.flush())
        except _Ended as ended:
            return self._closing(ended)

    def written(self, events: list[dict[str, Any]]) -> bytes:
        """Returns events as bytes to send."""
        return b"".join(map(self._written, events))

    def _whole_events(self, chunk: bytes) -> Iterator[bytes]:
        pending = self._pending
        if not pending and chunk.endswith(b"\n\n") and chunk.count(b"\n\n") == 1 and b"\r" not in chunk:
            yield chunk  # nearly every chunk is one event
            return
        searched = max(0, len(pending) - _LONGEST_BLANK_LINE)
        pending += chunk
        if BLANK_LINE.search(pending, searched) is None:
            if len(pending) > MAX_EVENT:
                raise EventTooLarge
            return
        whole, begin = bytes(pending), 0
        for match in BLANK_LINE.finditer(whole, searched):
            yield whole[begin : match.end()]
            begin = match.end()
        self._pending = bytearray(whole[begin:])

    def _filtered(self, raw: bytes) -> bytes:
        events = self._splitter.feed(raw) or self._splitter.finish()
        if not events:
            return b"" if self.guard.occurs(raw) else raw  # a comment
        data = events[0][1]
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            if data.strip() == b"[DONE]":
                return self.written(self.flush()) + (b"data: [DONE]\n\n" if self.guard.occurs(raw) else raw)
            event = lenient(data)
        if not is_object(event):
            return self._other(raw, data)
        if self._is_restart(event):
            self._texts.clear()
            self.sent_texts.clear()
            self.restart()
            self.guard.bind()
            return raw
        self._changed = False
        self._handled.clear()
        self._pieces.clear()
        before = self.filter(event)
        if self._is_suspect(raw):
            try:
                self._changed |= self.guard.document(event, again=True, without=self._handled)
            except Blocked:
                raise _Ended from None
            # What no parser reads of an event, or one parser and not another, is not in `event`.
            self._changed |= has_duplicates(data) or self.guard.occurs(raw.replace(data, b""))
        self.sent(event)
        if not (before or self._changed):
            return raw
        return self.written([*before, event])

    def _is_suspect(self, raw: bytes) -> bool:
        """Whether what a rule looks for may stand in an event where no text of this dialect does.

        The events of a stream differ in their text, and have the rest in common.
        """
        if len(self._pieces) == 1 and self._pieces[0].isascii():
            before, found, after = raw.partition(orjson.dumps(self._pieces[0]))
            if found:
                frame = before + after
                if frame in self._clean_frames:
                    return False
                if self.guard.occurs(frame):
                    return True
                if len(self._clean_frames) < _MOST_FRAMES:
                    self._clean_frames.add(frame)
                return False
        return self.guard.occurs(raw)

    def _other(self, raw: bytes, data: bytes) -> bytes:
        """Returns what may be sent of an event whose data is no object, which no client can read as one."""
        self.guard.not_scanned(("event",))
        if not self.guard.occurs(raw):
            return raw
        try:
            text = self.guard.text().whole(data.decode("utf-8", "replace"))
        except Blocked:
            raise _Ended from None
        return b"".join(b"data: %b\n" % line for line in text.encode().split(b"\n")) + b"\n"

    def _is_restart(self, event: dict[str, Any]) -> bool:
        """Whether the gateway says that another answer follows; a provider may write the same."""
        if within(event.get("standby"), "restart") is None:
            return False
        before, self._attempt = self._attempt, self.guard.exchange.served
        return self._attempt is not before

    def _written(self, event: dict[str, Any]) -> bytes:
        try:
            data = orjson.dumps(event)
        except TypeError:  # half a character, which only lenient parsers read
            data = json.dumps(event).encode()
        name = self.event_name(event)
        return b"data: %b\n\n" % data if name is None else b"event: %b\ndata: %b\n\n" % (name.encode(), data)

    def _closing(self, ended: _Ended) -> bytes:
        self.ended = True
        before = b"" if ended.event is None else self._written(ended.event)
        return before + self.stopped()

    @staticmethod
    def place(value: object) -> Hashable:
        """Returns an index or id as it stands in an event; None for what is none."""
        return value if isinstance(value, int | str) else None

    # -- texts ------------------------------------------------------------------------------

    def change(
        self, holder: Any, member: Any, key: Hashable, *, json: bool = False, last: bool = False
    ) -> None:
        """Replace `holder[member]`, the next piece of the text of `key`, by what may be sent of it.

        `last` says that it is the last piece of this text.
        """
        piece = holder[member]
        self._pieces.append(piece)
        self._handled.add((id(holder), member))
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self.guard.text(json=json)
        allowed = self._allowed(text, key, piece, last=last)
        if last:
            del self._texts[key]
        if allowed != piece:
            holder[member] = allowed
            self._changed = True

    def remove(self, holder: dict[str, Any], member: str, value: object) -> None:
        """Replace a member that cannot be redacted, such as the probabilities of single tokens, by
        `value`."""
        if holder.get(member):
            holder[member] = value
            self._changed = True

    def touched(self) -> None:
        """Say that the event was changed."""
        self._changed = True

    def flush(self, *keys: Hashable) -> list[dict[str, Any]]:
        """End the texts of these keys, or all of them. Returns the events with what was held of them."""
        events: list[dict[str, Any]] = []
        for key in keys or tuple(self._texts):
            text = self._texts.pop(key, None)
            if text is not None and (rest := self._allowed(text, key, "", last=True)):
                events.append(self.text_event(key, rest))
        return events

    def open_texts(self) -> tuple[Hashable, ...]:
        """Returns the keys of the texts that have not ended."""
        return tuple(self._texts)

    def _allowed(self, text: AnswerText, key: Hashable, piece: str, *, last: bool) -> str:
        try:
            allowed = text.feed(piece, last=last)
        except Blocked as blocked:
            raise _Ended(self.text_event(key, blocked.before) if blocked.before else None) from None
        if allowed and self.guard.collects:
            self.sent_texts.setdefault(key, []).append(allowed)
        return allowed
