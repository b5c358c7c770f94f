"""Server-sent events: bytes in, events out, bytes preserved. No I/O.

The splitter reads a *copy* of what is relayed. It never changes, joins or delays the bytes that the
client receives; it tells where in a chunk each event ended, so that a relay can stop there.

Line ends may be LF, CRLF or CR (https://html.spec.whatwg.org/multipage/server-sent-events.html),
and any of them may be split between two chunks.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from ..errors import StandbyError

__all__ = ["BLANK_LINE", "MAX_EVENT", "Event", "EventTooLarge", "Splitter"]

MAX_EVENT: Final = 1024 * 1024
"""Bytes one event may have. The largest real ones (a Responses API echo of all its input) are far below."""

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_BLANK_LINE: Final = 4  # CRLF CRLF
# Atomic groups: a CRLF is one line end, never a CR and an LF with an empty line between them.
BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


Event: TypeAlias = tuple[bytes, bytes, int]
"""One event: its name, its data, and where in the chunk just fed it ended, its blank line included. A plain
tuple, since one is made for every token."""


class EventTooLarge(StandbyError):
    """An event grew past `MAX_EVENT` without ending."""


class Splitter:
    """Incremental splitter for one stream.

    `boundary` is how many bytes of the chunk just fed belong to whole events, comments included.
    """

    __slots__ = ("_begun", "_pending", "boundary")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._begun = False
        self.boundary = 0

    @property
    def tail(self) -> bytes:
        """What came after the last whole event."""
        return bytes(self._pending)

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes. Raises EventTooLarge."""
        pending = self._pending
        length = len(chunk)
        if (
            not pending
            and chunk.find(b"\n") == length - 2
            and chunk.endswith(b"\n")
            and chunk.startswith(b"data: ")
            and b"\r" not in chunk
        ):
            # One data line and a blank one: nearly every chunk there is.
            self._begun = True
            self.boundary = length
            return [(b"", chunk[6:-2], length)]
        if pending:
            searched = len(pending)
            pending += chunk
            # Most pieces of a long event end nothing: copy it only when something is to be cut out of it.
            if BLANK_LINE.search(pending, max(0, searched - _LONGEST_BLANK_LINE)) is None:
                self.boundary = 0
                if len(pending) > MAX_EVENT:
                    raise EventTooLarge
                return []
            return self._split(bytes(pending), searched, max(0, searched - _LONGEST_BLANK_LINE))
        return self._split(chunk, 0, 0)

    def finish(self) -> list[Event]:
        """The event that the end of the stream completes, for senders that omit the last blank line."""
        return self.feed(b"\n\n") if self._pending else []

    def _split(self, buffer: bytes, searched: int, search: int) -> list[Event]:
        events: list[Event] = []
        begin = 0
        if b"\r" not in buffer:
            while (end := buffer.find(b"\n\n", search)) >= 0:
                self._dispatch(events, buffer[begin:end], end + 2 - searched)
                begin = search = end + 2
        else:
            for match in BLANK_LINE.finditer(buffer, search):
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
        if not self._begun:
            self._begun = True
            block = block.removeprefix(_BOM)
        if b"\r" not in block:
            # Nearly every event of OpenAI is one data line, of Anthropic an event line and a data line.
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
