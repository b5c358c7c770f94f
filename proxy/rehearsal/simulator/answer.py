"""Good answers as bytes to send: a head, a tuple of events, and places within them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import orjson

from .bill import GeneratedText

__all__ = [
    "ALL_CONTENT",
    "ANY_OTHER_ERROR",
    "DONE",
    "ERRORS",
    "Answer",
    "Api",
    "Byte",
    "Content",
    "Document",
    "Framing",
    "Last",
    "Move",
    "Place",
    "encode",
    "event",
    "torn",
]


Api: TypeAlias = Literal["chat", "responses", "embeddings", "messages", "count_tokens"]
Framing: TypeAlias = Literal["chunked", "length", "eof", "both"]

Document: TypeAlias = dict[str, Any]

DONE: Final = b"data: [DONE]\n\n"

# The contents of the vendors' error bodies by status: OpenAI's type and code, Anthropic's type.
ERRORS: Final[Mapping[int, tuple[str, str | None, str]]] = MappingProxyType(
    {
        401: ("invalid_request_error", "invalid_api_key", "authentication_error"),
        402: ("insufficient_quota", "insufficient_quota", "billing_error"),
        403: ("request_forbidden", "unsupported_country_region_territory", "permission_error"),
        404: ("invalid_request_error", "model_not_found", "not_found_error"),
        408: ("server_error", "timeout", "timeout_error"),
        413: ("invalid_request_error", "request_too_large", "request_too_large"),
        429: ("requests", "rate_limit_exceeded", "rate_limit_error"),
        500: ("server_error", None, "api_error"),
        502: ("server_error", None, "api_error"),
        503: ("server_error", "server_is_overloaded", "api_error"),
        504: ("server_error", "timeout", "timeout_error"),
        529: ("server_error", "overloaded", "overloaded_error"),
    }
)
ANY_OTHER_ERROR: Final = ("invalid_request_error", None, "invalid_request_error")


@dataclass(frozen=True, slots=True)
class Content:
    """The place after the preamble and `count` events of content (text or tool arguments), in any dialect.

    A unary answer has no events: there it is the middle of the body, or for a count of 0 its beginning.
    """

    count: int = 0


@dataclass(frozen=True, slots=True)
class Byte:
    """The place after `offset` bytes of the body, transfer framing not counted."""

    offset: int


ALL_CONTENT: Final = Content(sys.maxsize)

# An int counts events as a slice does: -1 is just before the last one. None is before the first header byte.
Place: TypeAlias = int | Content | Byte | None


class Last(Enum):
    """How a connection ends when it does not stay open for the next request."""

    CLOSE = "FIN"
    RESET = "RST"


# An action on a socket: write bytes, wait for seconds (math.inf: until the caller leaves), or end.
Move: TypeAlias = bytes | float | Last


def encode(document: Document) -> bytes:
    """Returns the document as JSON."""
    return orjson.dumps(document)


def event(document: Document, *, named: bool) -> bytes:
    """Returns one server-sent event.

    If `named`, as for Anthropic and the Responses API, the event is named after the document's type.
    """
    name = f"event: {document['type']}\n".encode() if named else b""
    return b"%bdata: %b\n\n" % (name, encode(document))


def torn(pieces: Sequence[bytes], index: int, offset: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Returns `pieces` split at byte `offset` of piece `index`."""
    if not offset:
        return tuple(pieces[:index]), tuple(pieces[index:])
    piece = pieces[index]
    # A piece that is sent in part has been generated in full, but its usage report counts only if it is
    # complete.
    started = GeneratedText.like(piece, piece[:offset], reports=False)
    return (*pieces[:index], started), (piece[offset:], *pieces[index + 1 :])


@dataclass(frozen=True)
class Answer:
    """The answer to one request, before it is sent on the socket."""

    api: Api
    canary: str
    events: tuple[bytes, ...]
    streamed: bool = False
    preamble: int = 0  # events before the first content
    ending: int = 1  # events before the first one that ends the answer
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "length"
    pace: float = 0.0  # seconds between events

    @property
    def anthropic(self) -> bool:
        return self.api in ("messages", "count_tokens")

    def whole(self, body: bytes, content_type: str = "application/json") -> Answer:
        """Returns the answer with `body` instead, in one piece."""
        kept = tuple(pair for pair in self.headers if pair[0] != "content-type")
        return replace(
            self,
            events=(body,),
            streamed=False,
            preamble=0,
            ending=1,
            headers=(("content-type", content_type), *kept),
            framing="length",
        )

    def error(self, status: int, kind: str | None, code: str | None, message: str | None) -> Document:
        """Returns the vendor's error document for `status`. `kind` and `code` replace its type and code."""
        openai_type, openai_code, anthropic_type = ERRORS.get(status, ANY_OTHER_ERROR)
        text = f"{message or 'This provider was told to fail.'} ({self.canary})"
        if not self.anthropic:
            inner = {"message": text, "type": kind or openai_type, "param": None, "code": code or openai_code}
            return {"error": inner}
        details: Document = {"details": {"error_code": code}} if code else {}
        failure = {"type": kind or anthropic_type, "message": text, **details}
        # Without the request's number, which the header has, so that equal requests get equal bodies.
        return {"type": "error", "error": failure, "request_id": f"req_{self.canary}"}

    def locate(self, place: Place) -> tuple[int, int]:
        """Returns the index of the event that contains `place`, and its byte offset in that event."""
        if isinstance(place, Content):
            if not self.streamed and self.events:
                return 0, len(self.events[0]) // 2 if place.count else 0
            return min(self.preamble + place.count, self.ending), 0
        if isinstance(place, Byte):
            left = place.offset
            for index, piece in enumerate(self.events):
                if left < len(piece):
                    return index, left
                left -= len(piece)
            return len(self.events), 0
        place = place or 0
        return min(place, len(self.events)) if place >= 0 else max(0, len(self.events) + place), 0

    def head(self) -> bytes:
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unheard Of"
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.framing == "length":
            lines.append(f"content-length: {sum(map(len, self.events))}")
        if self.framing == "both":
            lines.append("content-length: 5")
        if self.framing in ("chunked", "both"):
            lines.append("transfer-encoding: chunked")
        if self.framing == "eof":
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def body(self, place: Place) -> tuple[Iterator[Move], Iterator[Move]]:
        """Returns the moves that send the body up to `place`, and those that send the rest and the end."""
        index, offset = self.locate(place)
        chunked = self.framing in ("chunked", "both")
        framed: Sequence[bytes] = self.events
        if chunked:
            framed = [
                GeneratedText.like(piece, b"%x\r\n%b\r\n" % (len(piece), piece)) if piece else b""
                for piece in self.events
            ]
            offset += len(b"%x\r\n" % len(self.events[index])) if offset else 0
        before, after = torn(framed, index, offset)
        return self._paced(before), self._rest(after, b"0\r\n\r\n" if chunked else b"")

    def _paced(self, pieces: Sequence[bytes]) -> Iterator[Move]:
        for piece in pieces:
            yield piece
            yield self.pace

    def _rest(self, pieces: Sequence[bytes], end: bytes) -> Iterator[Move]:
        """Yields the moves for the rest.

        There is no pause after the last event, since an SDK may hang up after it.
        """
        yield from self._paced(pieces[:-1])
        last = b"".join(pieces[-1:])
        yield GeneratedText.like(pieces[-1] if pieces else b"", last + end)
        if self.framing == "eof":
            yield Last.CLOSE
