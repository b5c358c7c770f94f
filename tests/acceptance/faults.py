"""How a provider fails before it has said anything, as llmock and the simulator are told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from standby.proxy.rehearsal.simulator import (
    Content,
    Cut,
    Drip,
    ErrorEvent,
    Fault,
    Html,
    Just,
    Pings,
    Stall,
    Status,
)

from tests.acceptance.clients import APIS

__all__ = [
    "BEFORE_CONTENT",
    "BEFORE_CONTENT_OF_ALL",
    "BEFORE_CONTENT_ONCE",
    "LLMOCK",
    "REFUSED",
    "SIMULATED",
    "VERDICTS",
    "LlmockFault",
    "before_content",
    "first_token_limit",
]

VERDICTS: Final = frozenset(
    {"no_backoff", "no_read_timeout", "retried_non_retryable", "retry_after_ignored", "retry_storm"}
)
"""What llmock must not hold against the gateway."""


class LlmockFault(NamedTuple):
    """What llmock is told to do to streams, to other answers, or (None) to both."""

    name: str
    behaviour: Mapping[str, object]
    streams: bool | None = None


LLMOCK: Final = (
    LlmockFault("429 with Retry-After", MappingProxyType({"type": "fail", "status": 429, "retry_after": 30})),
    LlmockFault("500", MappingProxyType({"type": "fail", "status": 500})),
    LlmockFault("503", MappingProxyType({"type": "fail", "status": 503})),
    LlmockFault("529", MappingProxyType({"type": "fail", "status": 529})),
    LlmockFault(
        "stall before content",
        MappingProxyType({"type": "stream_fault", "kind": "stall", "after_chunks": 0, "stall_seconds": 30}),
        streams=True,
    ),
    LlmockFault(
        "stall after the preamble",
        MappingProxyType({"type": "stream_fault", "kind": "stall", "after_chunks": 1, "stall_seconds": 30}),
        streams=True,
    ),
    # Longer than the limit, but not by much: llmock does not notice that its caller leaves.
    LlmockFault(
        "stall before the answer", MappingProxyType({"type": "delay", "seconds": 2.5}), streams=False
    ),
    LlmockFault(
        "empty stream",
        MappingProxyType({"type": "stream_fault", "kind": "truncate", "after_chunks": 0}),
        streams=True,
    ),
    LlmockFault(
        "disconnect before content",
        MappingProxyType({"type": "stream_fault", "kind": "disconnect", "after_chunks": 0}),
        streams=True,
    ),
    LlmockFault(
        "disconnect after the preamble",
        MappingProxyType({"type": "stream_fault", "kind": "disconnect", "after_chunks": 1}),
        streams=True,
    ),
)

REFUSED: Final = "connect refused"
"""The fault of a provider on whose port nobody listens."""

_ALWAYS: Final = MappingProxyType[str, Fault](
    {
        "429 with Retry-After": Status(429, retry_after=30),
        "500": Status(500),
        "503": Status(503),
        "529": Status(529),
        "stall before the headers": Stall(),
        "stall after the headers": Stall(0),
        "error inside a 200": ErrorEvent(),
        "empty body": Just(),
        "disconnect before the headers": Cut(),
        "disconnect after the headers": Cut(0),
        "headers dripped for ever": Drip(0.02),
        "a 200 with HTML": Html(),
    }
)
_IN_STREAMS: Final = MappingProxyType[str, Fault](
    {
        "stall after the preamble": Stall(Content(0)),
        "error event after the preamble": ErrorEvent(Content(0)),
        "disconnect after the preamble": Cut(Content(0)),
        "comments only": Pings(0.02),
        "pings only": Pings(0.02, "event"),
    }
)
BEFORE_CONTENT: Final = tuple(
    [(name, False) for name in (REFUSED, *_ALWAYS)]
    + [(name, True) for name in (REFUSED, *_ALWAYS, *_IN_STREAMS)]
)
"""Every fault before content, with whether the answer is streamed."""

BEFORE_CONTENT_ONCE: Final = tuple(
    (name, place % 2 == 0 or (name, False) not in BEFORE_CONTENT)
    for place, name in enumerate(dict.fromkeys(name for name, _ in BEFORE_CONTENT))
)
"""Every fault before content once: in turn streamed or not, where there is a choice."""

_WORDLESS: Final = frozenset(
    {
        REFUSED,
        "stall before the headers",
        "stall after the headers",
        "disconnect before the headers",
        "disconnect after the headers",
        "headers dripped for ever",
        "comments only",
    }
)
"""What says nothing in a dialect: there is no body, or no event in it."""

BEFORE_CONTENT_OF_ALL: Final = tuple(
    (api, name, stream)
    for place, (name, stream) in enumerate(BEFORE_CONTENT)
    for api in (APIS if name not in _WORDLESS else (APIS[place % len(APIS)],))
)
"""The same with every API; where nothing is said in a dialect the APIs take turns."""

SIMULATED: Final = tuple(
    (name, stream)
    for name, stream in BEFORE_CONTENT
    if name
    in {
        "comments only",
        "error event after the preamble",
        "error inside a 200",
        "headers dripped for ever",
        "a 200 with HTML",
    }
    or (
        name in {"empty body", "disconnect before the headers", "disconnect after the headers"} and not stream
    )
)
"""Those that llmock cannot be told."""


def before_content(name: str) -> Fault | None:
    """The fault of this name; None for a refused connection, which is no answer's fault."""
    return None if name == REFUSED else _ALWAYS.get(name) or _IN_STREAMS[name]


def first_token_limit(name: str) -> str:
    """The limit for the first token: short where the fault is silence, long where only the machine may be."""
    waits = name.startswith("stall") or name in {"comments only", "headers dripped for ever", "pings only"}
    return "1500ms" if waits else "20s"
