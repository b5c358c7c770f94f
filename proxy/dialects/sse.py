"""Incremental parser for server-sent events. No I/O.

The splitter parses a *copy* of the relayed bytes. It never changes, joins or delays the bytes that the client
receives. It reports where in a chunk each event ended, so that the relay can stop there.

Line ends may be LF, CRLF or CR (https://html.spec.whatwg.org/multipage/server-sent-events.html),
and any of them may be split between two chunks.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from ..errors import StandbyError

__all__ = ["BLANK_LINE", "MAX_EVENT", "Event", "EventTooLarge", "Splitter"]

MAX_EVENT: Final = 8 * 1024 * 1024
"""The most bytes of one event. The largest real ones hold an image of several megabytes."""

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_BLANK_LINE: Final = 4  # CRLF CRLF
# Atomic groups: a CRLF is one line end, never two with an empty line between them.
BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_ENDS: Final = re.compile(rb"\n++")


Event: TypeAlias = tuple[bytes, bytes, int]
"""One event: its name, its data, and the offset in the latest chunk where it ended, blank line included. A
plain tuple for speed, since one is made for every token."""


class EventTooLarge(StandbyError):
    """An event exceeds `MAX_EVENT` bytes."""


class Splitter:
    """Splits one stream into events.

    `boundary` is the number of bytes of the latest chunk that belong to whole events, comments included.
    """

    __slots__ = ("_pending", "_started", "boundary")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False
        self.boundary = 0

    @property
    def tail(self) -> bytes:
        """The bytes received after the last whole event."""
        return bytes(self._pending)

    def feed(self, chunk: bytes) -> list[Event]:
        """Returns the events that `chunk` completes. Raises EventTooLarge."""
        pending = self._pending
        length = len(chunk)
        if (
            not pending
            and chunk.find(b"\n") == length - 2
            and chunk.endswith(b"\n")
            and chunk.startswith(b"data: ")
            and b"\r" not in chunk
        ):
            # Fast path for one data line and a blank line, which is nearly every chunk.
            self._started = True
            self.boundary = length
            return [(b"", chunk[6:-2], length)]
        if pending:
            searched = len(pending)
            pending += chunk
            # Most chunks of a long event do not end it, so copy the buffer only if there is a blank line.
            if BLANK_LINE.search(pending, max(0, searched - _LONGEST_BLANK_LINE)) is None:
                self.boundary = 0
                if len(pending) > MAX_EVENT:
                    raise EventTooLarge
                return []
            return self._split(bytes(pending), searched, max(0, searched - _LONGEST_BLANK_LINE))
        return self._split(chunk, 0, 0)

    def finish(self) -> list[Event]:
        """Returns the last event if the stream ended without its blank line, which some senders omit."""
        return self.feed(b"\n\n") if self._pending else []

    def _split(self, buffer: bytes, searched: int, search: int) -> list[Event]:
        events: list[Event] = []
        begin = 0
        if b"\r" not in buffer:
            while (end := buffer.find(b"\n\n", search)) >= 0:
                if end > begin:
                    self._dispatch(events, buffer[begin:end], end + 2 - searched)
                    begin = search = end + 2
                else:  # more blank lines: all of them at once, since there may be half a million
                    blank = _LINE_ENDS.match(buffer, end)
                    begin = search = end + 2 if blank is None else blank.end()
        else:
            for match in BLANK_LINE.finditer(buffer, search):
                if match.start() > begin:
                    self._dispatch(events, buffer[begin : match.start()], match.end() - searched)
                begin = match.end()
        self.boundary = max(0, begin - searched)
        if begin == len(buffer):
            if self._pending:
                self._pending = bytearray()
        elif begin or not self._pending:
            self._pending = bytearray(buffer[begin:])
        if len(self._pending) > MAX_EVENT:
            raise EventTooLarge
        return events

    def _dispatch(self, events: list[Event], block: bytes, end: int) -> None:
        if not self._started:
            self._started = True
            block = block.removeprefix(_BOM)
        if b"\r" not in block:
            # Fast paths: one data line (OpenAI), or an event line and a data line (Anthropic).
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append((b"", block[6:], end))
                return
            if (
                block.startswith(b"event: ")
                and block.count(b"\n") == 1
                and (at := block.find(b"\ndata: ")) > 0
            ):
                events.append((block[7:at], block[at + 7 :], end))
                return
        name = b""
        data: list[bytes] = []
        for line in block.splitlines():
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value[1:] if value.startswith(b" ") else value)
            elif field == b"event":
                name = value[1:] if value.startswith(b" ") else value
        if data:
            events.append((name, b"\n".join(data), end))
