"""Taking out of a stream the one event that its caller did not ask for. No I/O.

To know what a chat stream cost, the gateway asks for its usage (`stream_options.include_usage`) also where
the caller did not. The answer to that is one event more, of usage and no choices, and clients that never
asked for it stumble over its empty list. All other bytes pass as they came.
"""

from __future__ import annotations

from typing import Any, Final, cast

import orjson

from .sse import BLANK_LINE, Splitter

__all__ = ["UsageEventFilter"]

_TRACE: Final = b"prompt_tokens"
"""What no usage lacks, and nearly no other event has."""


class UsageEventFilter:
    """Takes usage-only events out of one stream."""

    __slots__ = ("_split", "_taken")

    def __init__(self) -> None:
        self._split = False  # the last event ended with a CR, of which the LF may be still to come
        self._taken = False  # that event was taken out

    def out_of(self, events: bytes) -> bytes:
        """What is left of these whole events; the last of a stream may lack its blank line."""
        if not self._split and _TRACE not in events:
            if events:
                self._split, self._taken = events.endswith(b"\r"), False
            return events
        return self._sift(events)

    def _sift(self, events: bytes) -> bytes:
        kept: list[bytes] = []
        begin = 0
        if self._split and events.startswith(b"\n"):
            begin = 1
            if not self._taken:
                kept.append(b"\n")
        ends = [match.end() for match in BLANK_LINE.finditer(events, begin)]
        for end in (*ends, len(events)):
            if event := events[begin:end]:
                self._taken = _TRACE in event and _is_usage_only(event)
                if not self._taken:
                    kept.append(event)
            begin = end
        if events:
            self._split = events.endswith(b"\r")
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
