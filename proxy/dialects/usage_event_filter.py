"""A filter that removes the usage event which the caller of a stream did not ask for. No I/O.

To know the cost of a chat stream, the gateway requests its usage (`stream_options.include_usage`) even if the
caller does not. The provider then adds one event with usage and an empty list of choices, and clients that
did not ask for it may fail on the empty list. All other bytes pass unchanged.
"""

from __future__ import annotations

from typing import Any, Final, cast

import orjson

from .sse import BLANK_LINE, Splitter

__all__ = ["UsageEventFilter"]

_MARKER: Final = b"prompt_tokens"
"""Occurs in every usage object and in hardly any other event."""


class UsageEventFilter:
    """Removes the events with usage only from one stream."""

    __slots__ = ("_ended_with_cr", "_removed")

    def __init__(self) -> None:
        self._ended_with_cr = False  # the last event ended with a CR, whose LF may be in the next chunk
        self._removed = False  # that event was removed

    def out_of(self, events: bytes) -> bytes:
        """Returns `events` without usage-only events.

        `events` must be whole events; only the last one of a stream may lack its blank line.
        """
        if not self._ended_with_cr and _MARKER not in events:
            if events:
                self._ended_with_cr, self._removed = events.endswith(b"\r"), False
            return events
        return self._filter(events)

    def _filter(self, events: bytes) -> bytes:
        kept: list[bytes] = []
        begin = 0
        if self._ended_with_cr and events.startswith(b"\n"):
            begin = 1
            if not self._removed:
                kept.append(b"\n")
        ends = [match.end() for match in BLANK_LINE.finditer(events, begin)]
        for end in (*ends, len(events)):
            if event := events[begin:end]:
                self._removed = _MARKER in event and _is_usage_only(event)
                if not self._removed:
                    kept.append(event)
            begin = end
        if events:
            self._ended_with_cr = events.endswith(b"\r")
        return b"".join(kept)


def _is_usage_only(event: bytes) -> bool:
    splitter = Splitter()
    data = [data for _, data, _ in (*splitter.feed(event), *splitter.finish())]
    if len(data) != 1:
        return False
    try:
        value: Any = orjson.loads(data[0])
    except orjson.JSONDecodeError:
        return False
    if not isinstance(value, dict):
        return False
    chunk = cast("dict[str, Any]", value)
    return isinstance(chunk.get("usage"), dict) and not chunk.get("choices") and not chunk.get("error")
