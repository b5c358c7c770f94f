"""Providers in this process that speak both dialects over real sockets and misbehave on cue.

    async with Simulator("alpha") as alpha:
        alpha.fault = Cut(after=Content(2))
        client = openai.AsyncOpenAI(base_url=alpha.url, api_key="any")
        ...
        await alpha.wait_for(lambda: alpha.requests[-1].gone)

A good answer is an `Answer`: a head and a tuple of events, of which a unary answer has one. A `Fault` changes
the answer, or plays it differently, or both: `change` gives another answer, `play` yields the moves on the
socket. Two faults join with `&`: `Status(503) & Gzip()`.

It keeps a bill of its own: what it generated, by its own count, whether or not it told anybody (`bill`, or
`GET /_simulator/bill`). Whoever claims to know what was used can be held against it.

It writes HTTP/1.1 itself because a server library would refuse most of what is done here: half a header, half
a chunk, two lengths, bytes after the end. It reads only what well-behaved clients send.

Longer than 400 lines because it is one instrument, used alike by the demo, the tests and the drills, and run
on its own (`python -m standby.proxy.rehearsal.simulator`): what a vendor says, how that goes wrong and what
the socket then does make sense only beside each other. Read it from the top: places, answers, faults, socket.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import math
import socket
import struct
import sys
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias, cast, get_args

import orjson

from .bill import Billed, Said, spoken

__all__ = [
    "ALL_CONTENT",
    "DONE",
    "Answer",
    "Byte",
    "Chunks",
    "Content",
    "Cut",
    "Drip",
    "End",
    "Endless",
    "ErrorEvent",
    "Fault",
    "Framed",
    "Garbage",
    "Gzip",
    "Headers",
    "Html",
    "Insert",
    "Just",
    "Malformed",
    "Oversize",
    "Pings",
    "Received",
    "Redirect",
    "Simulator",
    "Slow",
    "Stall",
    "Status",
    "stale_keep_alive",
]

Api: TypeAlias = Literal["chat", "responses", "embeddings", "messages", "count_tokens"]
Framing: TypeAlias = Literal["chunked", "length", "eof", "both"]
Reports: TypeAlias = Literal["asked", "running", "end", "never"]
"""When it tells what was used: as the vendors do, which for a stream of Chat Completions is when asked to; in
every event, the last being right; at the end of a stream only, asked or not; or at no time."""
Document: TypeAlias = dict[str, Any]

APIS: Final[Mapping[str, Api]] = MappingProxyType(
    {
        "/v1/chat/completions": "chat",
        "/v1/responses": "responses",
        "/v1/embeddings": "embeddings",
        "/v1/messages": "messages",
        "/v1/messages/count_tokens": "count_tokens",
    }
)
DONE: Final = b"data: [DONE]\n\n"
CREATED: Final = 1_790_000_000  # every answer claims the same second, so that equal requests get equal bytes

# What the vendors put into the error body of a status: OpenAI's type and code, Anthropic's type.
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


# ---------------------------------------------------------------------------------------------------- places


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


# What is done on a socket: write bytes, wait for seconds (math.inf: until the caller leaves), or end.
Move: TypeAlias = bytes | float | Last


# --------------------------------------------------------------------------------------------------- answers


def encode(document: Document) -> bytes:
    return orjson.dumps(document)


def event(document: Document, *, named: bool) -> bytes:
    """One server-sent event; Anthropic and the Responses API name theirs after the document's type."""
    name = f"event: {document['type']}\n".encode() if named else b""
    return b"%bdata: %b\n\n" % (name, encode(document))


def torn(pieces: Sequence[bytes], index: int, offset: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """`pieces` before and after byte `offset` of piece `index`."""
    if not offset:
        return tuple(pieces[:index]), tuple(pieces[index:])
    piece = pieces[index]
    # What began to be sent had been generated; only whoever got all of it has been told what it says.
    begun = Said.like(piece, piece[:offset], reports=False)
    return (*pieces[:index], begun), (piece[offset:], *pieces[index + 1 :])


@dataclass(frozen=True)
class Answer:
    """What one request is answered with, before it is played on the socket."""

    api: Api
    canary: str
    events: tuple[bytes, ...]
    streamed: bool = False
    preamble: int = 0  # events before the first content
    ending: int = 1  # events before the first that says the answer is over
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "length"
    pace: float = 0.0  # seconds between events

    @property
    def anthropic(self) -> bool:
        return self.api in ("messages", "count_tokens")

    def whole(self, body: bytes, content_type: str = "application/json") -> Answer:
        """The same answer with `body` instead, in one piece."""
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
        """The vendor's own error document for `status`; `kind` and `code` replace its type and code."""
        openai_type, openai_code, anthropic_type = ERRORS.get(status, ANY_OTHER_ERROR)
        text = f"{message or 'This provider was told to fail.'} ({self.canary})"
        if not self.anthropic:
            inner = {"message": text, "type": kind or openai_type, "param": None, "code": code or openai_code}
            return {"error": inner}
        details: Document = {"details": {"error_code": code}} if code else {}
        failure = {"type": kind or anthropic_type, "message": text, **details}
        return {"type": "error", "error": failure, "request_id": f"req_{self.canary}"}

    def locate(self, place: Place) -> tuple[int, int]:
        """The event `place` falls in (its index) and how many bytes of that event come before it."""
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
        """The moves that send the body up to `place`, and those that send the rest and the end."""
        index, offset = self.locate(place)
        chunked = self.framing in ("chunked", "both")
        framed: Sequence[bytes] = self.events
        if chunked:
            framed = [
                Said.like(piece, b"%x\r\n%b\r\n" % (len(piece), piece)) if piece else b""
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
        """No pause after the last event: an SDK may hang up once it has read that, and has missed nothing."""
        yield from self._paced(pieces[:-1])
        last = b"".join(pieces[-1:])
        yield Said.like(pieces[-1] if pieces else b"", last + end)
        if self.framing == "eof":
            yield Last.CLOSE


@dataclass(frozen=True)
class Voice:
    """Good answers to one request, in the words of one provider."""

    api: Api
    canary: str
    number: int
    asked: Document
    words: tuple[str, ...]
    arguments: tuple[str, ...] | None  # fragments of a tool call's arguments; None: no tool is called
    pace: float
    seed: int
    reports: Reports = "asked"
    known_as: str | None = None

    @property
    def model(self) -> str:
        return self.known_as or str(self.asked.get("model", "unnamed"))

    @property
    def inputs(self) -> int:
        """Tokens in: four characters each, four for each message, and three to begin an answer."""
        return spoken(self.asked)

    @property
    def deltas(self) -> tuple[str, ...]:
        return self.words if self.arguments is None else self.arguments

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tool(self) -> str:
        """The name of the first tool on offer, which is the one called."""
        offered = self.asked["tools"][0]
        return str(offered.get("function", offered).get("name", "tool"))

    def answer(self) -> Answer:
        streamed = self.asked.get("stream") is True and self.api in ("chat", "responses", "messages")
        kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
        request_id = "request-id" if self.api in ("messages", "count_tokens") else "x-request-id"
        good = Answer(
            api=self.api,
            canary=self.canary,
            events=(),
            headers=(
                ("content-type", kind),
                (request_id, f"req_{self.canary}_{self.number}"),
                ("server", self.canary),
            ),
            pace=self.pace,
        )
        if not streamed:
            unary: Mapping[Api, Callable[[], Document]] = {
                "chat": self.chat,
                "responses": lambda: self.response("completed"),
                "embeddings": self.embeddings,
                "messages": lambda: self.message(over=True),
                "count_tokens": lambda: {"input_tokens": self.inputs},
            }
            body = encode({**self.told(unary[self.api](), over=True), "canary": self.canary})
            if self.api == "count_tokens":
                return replace(good, events=(body,))  # that is free
            tokens = 0 if self.api == "embeddings" else len(self.deltas)
            return replace(good, events=(Said(body, tokens, reports=self.reports != "never"),))
        streams: Mapping[str, Callable[[], tuple[list[Document], list[Document], list[Document]]]] = {
            "chat": self.chat_events,
            "responses": self.response_events,
            "messages": self.message_events,
        }
        before, content, after = streams[self.api]()
        documents = [*before, *content, *after]
        if self.api == "responses":
            documents = [{**document, "sequence_number": number} for number, document in enumerate(documents)]
        documents = [
            self.told(document, over=number > len(before) + len(content))
            for number, document in enumerate(documents, 1)
        ]
        final = max((at for at, document in enumerate(documents) if self.tells(document)), default=-1)
        events = [
            Said(
                event({**document, "canary": self.canary}, named=self.api != "chat"),
                tokens=1 if len(before) <= at < len(before) + len(self.deltas) else 0,
                reports=at == final >= len(before) + len(content),
            )
            for at, document in enumerate(documents)
        ]
        return replace(
            good,
            streamed=True,
            framing="chunked",
            events=(*events, DONE) if self.api == "chat" else tuple(events),
            preamble=len(before),
            ending=len(before) + len(content),
        )

    # What was used

    def told(self, document: Document, *, over: bool) -> Document:
        """A document with no more about what was used than this provider says; `over`: at the end."""
        if self.reports == "never" or (self.reports == "end" and not over):
            kept = {key: value for key, value in document.items() if key != "usage"}
            for inner in ("response", "message"):
                if inner in kept:
                    kept[inner] = {key: value for key, value in kept[inner].items() if key != "usage"}
            return kept
        return document

    @staticmethod
    def tells(document: Document) -> bool:
        """Whether a document says what was used."""
        inner: Document = document.get("response") or document
        return inner.get("usage") is not None

    # Chat Completions

    def chat_usage(self, so_far: int | None = None) -> Document:
        out = len(self.deltas) if so_far is None else so_far
        return {"prompt_tokens": self.inputs, "completion_tokens": out, "total_tokens": self.inputs + out}

    def chat_call(self, arguments: str) -> Document:
        function = {"name": self.tool, "arguments": arguments}
        return {"id": f"call_{self.canary}", "type": "function", "function": function}

    def chat(self) -> Document:
        message: Document = {"role": "assistant", "content": self.text, "refusal": None}
        if self.arguments is not None:
            message |= {"content": None, "tool_calls": [self.chat_call("".join(self.arguments))]}
        finish = "stop" if self.arguments is None else "tool_calls"
        return {
            "id": f"chatcmpl-{self.canary}",
            "object": "chat.completion",
            "created": CREATED,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": self.chat_usage(),
        }

    def chat_events(self) -> tuple[list[Document], list[Document], list[Document]]:
        options: Document = self.asked.get("stream_options") or {}
        asked_usage = options.get("include_usage") is True and self.reports != "never"
        base: Document = {
            "id": f"chatcmpl-{self.canary}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.model,
            "system_fingerprint": f"fp_{self.canary}",
        } | ({"usage": None} if asked_usage else {})

        def chunk(delta: Document, finish: str | None = None) -> Document:
            return base | {
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
            }

        if self.arguments is None:
            before = chunk({"role": "assistant", "content": "", "refusal": None})
            content = [chunk({"content": word}) for word in self.words]
        else:
            before = chunk({"role": "assistant", "content": None})
            calls = [{"index": 0, "function": {"arguments": part}} for part in self.arguments]
            content = [chunk({"tool_calls": [call]}) for call in ({"index": 0} | self.chat_call(""), *calls)]
        after = [chunk({}, "stop" if self.arguments is None else "tool_calls")]
        if self.reports == "running":
            before = before | {"usage": self.chat_usage(0)}
            content = [said | {"usage": self.chat_usage(at)} for at, said in enumerate(content, 1)]
        if self.reports in ("running", "end"):
            after[0] |= {"usage": self.chat_usage()}
        if asked_usage:
            after.append(base | {"choices": [], "usage": self.chat_usage()})
        return [before], content, after

    # Responses

    def response_item(self, status: str) -> Document:
        over = status == "completed"
        if self.arguments is None:
            content = [self.response_part(self.text)] if over else []
            kind: Document = {"type": "message", "role": "assistant", "content": content}
        else:
            arguments = "".join(self.arguments) if over else ""
            kind = {
                "type": "function_call",
                "call_id": f"call_{self.canary}",
                "name": self.tool,
                "arguments": arguments,
            }
        return {"id": f"item_{self.canary}", "status": status} | kind

    def response_part(self, text: str) -> Document:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def response(self, status: str) -> Document:
        over, out = status == "completed", len(self.deltas)
        usage = {
            "input_tokens": self.inputs,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.inputs + out,
        }
        return {
            "id": f"resp_{self.canary}",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": self.asked.get("instructions"),
            "metadata": {},
            "model": self.model,
            "output": [self.response_item("completed")] if over else [],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": self.asked.get("tools", []),
            "top_p": 1.0,
            "usage": usage if over else None,
        }

    def response_events(self) -> tuple[list[Document], list[Document], list[Document]]:
        at: Document = {"item_id": f"item_{self.canary}", "output_index": 0}
        before: list[Document] = [
            {"type": "response.created", "response": self.response("in_progress")},
            {"type": "response.in_progress", "response": self.response("in_progress")},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": self.response_item("in_progress"),
            },
        ]
        after: list[Document] = []
        if self.arguments is None:
            at |= {"content_index": 0}
            kind, extra = "response.output_text", Document(logprobs=[])
            said: Document = {"text": self.text, **extra}
            before.append({"type": "response.content_part.added", **at, "part": self.response_part("")})
            after = [{"type": "response.content_part.done", **at, "part": self.response_part(self.text)}]
        else:
            kind, extra = "response.function_call_arguments", Document()
            said = {"arguments": "".join(self.arguments), "name": self.tool}
        content = [{"type": f"{kind}.delta", **at, "delta": delta, **extra} for delta in self.deltas]
        after = [
            {"type": f"{kind}.done", **at, **said},
            *after,
            {"type": "response.output_item.done", "output_index": 0, "item": self.response_item("completed")},
            {"type": "response.completed", "response": self.response("completed")},
        ]
        return before, content, after

    # Embeddings

    def embeddings(self) -> Document:
        given: Any = self.asked.get("input", "")
        inputs: list[str] = [given] if isinstance(given, str) else given
        data: list[Document] = []
        for index, text in enumerate(inputs):
            digest = hashlib.shake_128(f"{self.seed} {text}".encode())
            vector: Any = [byte / 128 - 1 for byte in digest.digest(self.asked.get("dimensions") or 8)]
            if self.asked.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": self.inputs, "total_tokens": self.inputs}
        return {"object": "list", "data": data, "model": self.model, "usage": usage}

    # Messages

    def message(self, *, over: bool) -> Document:
        block: Document = {"type": "text", "text": self.text, "citations": None}
        if self.arguments is not None:
            block = self.tool_use() | {"input": orjson.loads("".join(self.arguments))}
        reason = "end_turn" if self.arguments is None else "tool_use"
        usage = {"input_tokens": self.inputs, "output_tokens": len(self.deltas) if over else 1}
        return {
            "id": f"msg_{self.canary}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [block] if over else [],
            "stop_reason": reason if over else None,
            "stop_sequence": None,
            "usage": usage | {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        }

    def tool_use(self) -> Document:
        return {"type": "tool_use", "id": f"toolu_{self.canary}", "name": self.tool, "input": {}}

    def message_events(self) -> tuple[list[Document], list[Document], list[Document]]:
        if self.arguments is None:
            block: Document = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in self.words]
        else:
            block = self.tool_use()
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in self.arguments]
        reason = "end_turn" if self.arguments is None else "tool_use"
        before: list[Document] = [
            {"type": "message_start", "message": self.message(over=False)},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
        ]
        content: list[Document] = [
            {"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas
        ]
        after: list[Document] = [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": ({"input_tokens": self.inputs} if self.reports == "end" else {})
                | {"output_tokens": len(self.deltas)},
            },
            {"type": "message_stop"},
        ]
        return before, content, after


# ---------------------------------------------------------------------------------------------------- faults


@dataclass(frozen=True)
class Fault:
    """One way to misbehave. This one does nothing wrong."""

    def change(self, answer: Answer) -> Answer:
        return answer

    def play(self, answer: Answer) -> Iterator[Move]:
        yield answer.head()
        yield from answer.body(0)[1]

    def plays(self) -> bool:
        """Whether it does more than change the answer."""
        return type(self).play is not Fault.play

    def __and__(self, other: Fault) -> Fault:
        """Both: each changes the answer in turn, and the later one that plays it its own way plays it."""
        return Both(self, other)


@dataclass(frozen=True)
class Both(Fault):
    """Two faults at once; written `first & second`."""

    first: Fault
    second: Fault

    def change(self, answer: Answer) -> Answer:
        return self.second.change(self.first.change(answer))

    def play(self, answer: Answer) -> Iterator[Move]:
        return (self.second if self.second.plays() else self.first).play(answer)

    def plays(self) -> bool:
        return self.first.plays() or self.second.plays()


@dataclass(frozen=True)
class Status(Fault):
    """An error status with the vendor's own body. `Status(200)` is an error document under a 200."""

    code: int
    body: bytes | None = None
    retry_after: float | str | None = None  # seconds, or any text to send as it is
    headers: tuple[tuple[str, str], ...] = ()
    type: str | None = None
    error_code: str | None = None
    message: str | None = None

    def change(self, answer: Answer) -> Answer:
        body = self.body
        if body is None:
            body = encode(answer.error(self.code, self.type, self.error_code, self.message))
        hint = () if self.retry_after is None else (("retry-after", str(self.retry_after)),)
        failed = answer.whole(body)
        return replace(failed, status=self.code, headers=(*failed.headers, *hint, *self.headers))


@dataclass(frozen=True)
class Redirect(Fault):
    """Sends the caller elsewhere, by default to where cloud machines keep their credentials."""

    location: str = "http://169.254.169.254/latest/meta-data/"
    code: int = 307

    def change(self, answer: Answer) -> Answer:
        return Status(self.code, body=b"", headers=(("location", self.location),)).change(answer)


@dataclass(frozen=True)
class Html(Fault):
    """A page where an answer was due, as a captive portal or a load balancer sends it."""

    code: int = 200

    def change(self, answer: Answer) -> Answer:
        page = f"<!doctype html><title>Sorry</title><p>Something else answered ({answer.canary}).</p>"
        return replace(answer.whole(page.encode(), "text/html"), status=self.code)


@dataclass(frozen=True)
class Just(Fault):
    """A 200 whose body is exactly these pieces: `Just()` says nothing, `Just(DONE)` only that it is over."""

    pieces: tuple[bytes, ...]

    def __init__(self, *pieces: bytes) -> None:
        object.__setattr__(self, "pieces", pieces)

    def change(self, answer: Answer) -> Answer:
        return replace(answer, events=self.pieces, preamble=0, ending=len(self.pieces))


@dataclass(frozen=True)
class End(Fault):
    """Ends cleanly at `after`, which by default is after all content and before any word that it is over."""

    after: Place = ALL_CONTENT

    def change(self, answer: Answer) -> Answer:
        kept, _ = torn(answer.events, *answer.locate(self.after))
        return replace(answer, events=kept, ending=min(answer.ending, len(kept)))


@dataclass(frozen=True)
class ErrorEvent(Fault):
    """A 200 that turns out to be an error: the stream says so at `after`, in the way of its API, and ends."""

    after: Place = 0
    status: int = 503  # chooses the usual type and code
    type: str | None = None
    code: str | None = None
    message: str | None = None
    failed: bool = False  # Responses only: `response.failed` rather than `error`
    done: bool = False  # Chat only: say [DONE] after it, as some compatible servers do

    def change(self, answer: Answer) -> Answer:
        document = answer.error(self.status, self.type, self.code, self.message)
        if not answer.streamed:
            return answer.whole(encode(document))
        kept, _ = torn(answer.events, *answer.locate(self.after))
        answer = replace(answer, ending=min(answer.ending, len(kept)))
        if answer.api == "responses":
            inner = {key: document["error"][key] for key in ("code", "message", "param")}
            document = {"type": "error", **inner, "sequence_number": len(kept)}
            if self.failed:
                created: Document = orjson.loads(answer.events[0].partition(b"data: ")[2])
                error = {"code": inner["code"] or "server_error", "message": inner["message"]}
                response = created["response"] | {"status": "failed", "error": error}
                document = {"type": "response.failed", "response": response, "sequence_number": len(kept)}
        said = event(document, named=answer.api != "chat")
        return replace(answer, events=(*kept, said, *((DONE,) if self.done else ())))


@dataclass(frozen=True)
class Insert(Fault):
    """Puts `data` into the body at `after`, as a piece of its own; between contents it counts as one."""

    data: bytes
    after: Place = 0

    def change(self, answer: Answer) -> Answer:
        index, offset = answer.locate(self.after)
        before, after = torn(answer.events, index, offset)
        events = (*before, self.data, *after)
        more = len(events) - len(answer.events)
        return replace(
            answer,
            events=events,
            preamble=answer.preamble + (more if index < answer.preamble else 0),
            ending=answer.ending + (more if index <= answer.ending else 0),
        )


@dataclass(frozen=True)
class Malformed(Fault):
    """One event in a stream whose JSON breaks off, the rest whole; a unary answer breaks off itself."""

    after: Place = Content(1)

    def change(self, answer: Answer) -> Answer:
        if not answer.streamed:
            return replace(answer, events=(Said.like(answer.events[0], answer.events[0][:-1]),))
        return Insert(answer.events[answer.preamble].rstrip()[:-1] + b"\n\n", self.after).change(answer)


@dataclass(frozen=True)
class Oversize(Fault):
    """One event of `size` bytes and more."""

    size: int = 2**21
    after: Place = Content(1)

    def change(self, answer: Answer) -> Answer:
        padding = event({"type": "padding", "canary": answer.canary, "padding": "x" * self.size}, named=False)
        return Insert(padding, self.after).change(answer)


@dataclass(frozen=True)
class Headers(Fault):
    """Adds headers, such as ("set-cookie", "session=1")."""

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, *pairs: tuple[str, str]) -> None:
        object.__setattr__(self, "pairs", pairs)

    def change(self, answer: Answer) -> Answer:
        return replace(answer, headers=(*answer.headers, *self.pairs))


@dataclass(frozen=True)
class Framed(Fault):
    """States the body's length another way: "eof" is until the close, "both" two lengths that conflict."""

    how: Framing

    def change(self, answer: Answer) -> Answer:
        return replace(answer, framing=self.how)


@dataclass(frozen=True)
class Chunks(Fault):
    """The body's bytes, cut into other pieces: at `offsets`, or every `size` bytes. Put it last in a join."""

    offsets: tuple[int, ...] = ()
    size: int | None = None

    def change(self, answer: Answer) -> Answer:
        body = b"".join(answer.events)
        marks = range(0, len(body), self.size) if self.size else sorted({0, *self.offsets})
        pieces = [body[start:end] for start, end in zip(marks, [*marks[1:], len(body)], strict=True)]
        pieces[:1] = [Said.all(answer.events, piece) for piece in pieces[:1]]
        return replace(answer, events=tuple(piece for piece in pieces if piece))


@dataclass(frozen=True)
class Gzip(Fault):
    """Compresses the body although nobody asked; a stream is flushed after each event."""

    def change(self, answer: Answer) -> Answer:
        packer = zlib.compressobj(wbits=31)
        pieces = [
            Said.like(piece, packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH))
            for piece in answer.events
        ]
        last = b"".join(pieces[-1:]) + packer.flush()
        events = (*pieces[:-1], Said.like(pieces[-1] if pieces else b"", last))
        return replace(answer, events=events, headers=(*answer.headers, ("content-encoding", "gzip")))


@dataclass(frozen=True)
class Stall(Fault):
    """Goes silent at `after` and leaves the connection open."""

    after: Place = None

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is not None:
            yield answer.head()
            yield from answer.body(self.after)[0]
        yield math.inf


@dataclass(frozen=True)
class Cut(Fault):
    """Drops the connection at `after`: a reset, or an orderly close that is only too early."""

    after: Place = None
    reset: bool = True

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is not None:
            yield answer.head()
            yield from answer.body(self.after)[0]
        yield Last.RESET if self.reset else Last.CLOSE


@dataclass(frozen=True)
class Slow(Fault):
    """Waits `seconds` at `after`, then goes on as if nothing had been."""

    seconds: float
    after: Place = 0

    def play(self, answer: Answer) -> Iterator[Move]:
        before, after = answer.body(self.after)
        if self.after is None:
            yield self.seconds
        yield answer.head()
        yield from before
        if self.after is not None:
            yield self.seconds
        yield from after


@dataclass(frozen=True)
class Drip(Fault):
    """One byte every `seconds`: of a header without end (`after` None), else of the body from `after` on."""

    seconds: float
    after: Place = None

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is None:
            yield answer.head()[:-2]
            yield from self.dripped(b"x-drip: ")
            while True:
                yield from self.dripped(answer.canary.encode())
        yield answer.head()
        before, after = answer.body(self.after)
        yield from before
        for move in after:
            if isinstance(move, bytes):
                yield from self.dripped(move)
            elif isinstance(move, Last):
                yield move

    def dripped(self, data: bytes) -> Iterator[Move]:
        first, *rest = (bytes((byte,)) for byte in data)
        for byte in (Said.like(data, first), *rest):
            yield byte
            yield self.seconds


@dataclass(frozen=True)
class Pings(Fault):
    """From `after` on only comments, or only `ping` events, every `seconds` and for ever."""

    seconds: float
    kind: Literal["comment", "event"] = "comment"
    after: Place = 0

    def play(self, answer: Answer) -> Iterator[Move]:
        yield answer.head()
        yield from answer.body(self.after)[0]
        ping = f": ping {answer.canary}\n\n".encode()
        if self.kind == "event":
            ping = event({"type": "ping", "canary": answer.canary}, named=True)
        while True:
            yield b"%x\r\n%b\r\n" % (len(ping), ping) if answer.framing == "chunked" else ping
            yield self.seconds


@dataclass(frozen=True)
class Endless(Fault):
    """Repeats its content for ever, as fast as it is read."""

    def play(self, answer: Answer) -> Iterator[Move]:
        yield answer.head()
        yield from answer.body(answer.preamble)[0]
        content = replace(answer, events=answer.events[answer.preamble : answer.ending])
        while True:
            yield from content.body(len(content.events))[0]


@dataclass(frozen=True)
class Garbage(Fault):
    """Bytes that belong to nothing after a whole answer; by default they look like another's answer."""

    data: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ngarbage"

    def play(self, answer: Answer) -> Iterator[Move]:
        *moves, last = (move for move in super().play(answer) if isinstance(move, bytes))
        yield from moves
        # In one write, so that whoever reads the end has the garbage at hand.
        yield Said.like(last, last + self.data)


def stale_keep_alive(received: Received) -> Fault | None:
    """Every connection serves one request: a second one on it is met by a close. Set it as `fault`."""
    return Cut(reset=False) if received.reused else None


Words: TypeAlias = Sequence[str] | Callable[["Received"], Sequence[str]]
Cue: TypeAlias = Fault | Callable[["Received"], Fault | None] | None

# What `POST /_simulator/fault {"fault": name, ...}` may ask for; the other keys are the fault's fields.
CUES: Final[Mapping[str, Callable[..., Fault | None]]] = MappingProxyType(
    {
        "ok": lambda: None,
        "outage": partial(Status, code=503),
        "rate_limited": partial(Status, code=429, retry_after=10),
        "error": partial(Status, code=500),
        "slow": partial(Slow, seconds=5.0),
        "stall": partial(Stall, after=0),
        "cut": partial(Cut, after=Content(2)),
        "empty": Just,
        "error_event": ErrorEvent,
        "drip": partial(Drip, seconds=1.0),
        "html": Html,
    }
)


# ---------------------------------------------------------------------------------------------------- socket


@dataclass(eq=False)
class Received:
    """One request as it came in, and what became of it."""

    number: int  # from 1, in order of arrival
    connection: int  # from 1; two requests with the same number shared a connection
    reused: bool  # the connection had served a request before
    method: str
    path: str
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(repr=False)
    json: Any = field(repr=False)
    at: float  # by the simulator's clock
    fault: Fault | None = None
    sent: int = 0  # bytes handed to the socket in answer
    done: bool = False  # everything that was to be sent has been
    gone_at: float | None = None
    input: int = 0  # tokens in, of a request that is generated for
    output: int = 0  # tokens of what was sent so far
    reported: bool = False  # the answer has said what was used, and to its end
    generates: bool = False  # it is on the bill

    @property
    def is_object(self) -> bool:
        """Whether the body is a JSON object."""
        return isinstance(self.json, dict)

    @property
    def gone(self) -> bool:
        """Whether the caller hung up before the answer was complete."""
        return self.gone_at is not None

    @property
    def billed(self) -> Billed | None:
        """Its line on the bill; None where there is nothing to pay."""
        if not self.generates:
            return None
        asked: Document = self.json if self.is_object else {}
        metadata: Any = asked.get("metadata")
        named: Document = cast("Document", metadata) if isinstance(metadata, dict) else {}
        user: object = asked.get("user") or named.get("user_id")
        return Billed(
            number=self.number,
            model=str(asked.get("model", "unnamed")),
            user=None if user is None else str(user),
            input=self.input,
            output=self.output,
            reported=self.reported,
            aborted=self.gone,
        )

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)


class Connection(asyncio.Protocol):
    """One caller's connection. End of input counts as a hang-up, as it does for real servers."""

    def __init__(self, owner: Simulator) -> None:
        self.owner = owner
        owner.accepted += 1
        self.number = owner.accepted
        self.served = 0
        self.reader = asyncio.StreamReader(limit=2**26)
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.answering: Received | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of another class
        self.task = asyncio.get_running_loop().create_task(self.converse())
        self.owner.connections.add(self)
        self.owner.notice()
        if not self.owner.listening:  # it was accepted just before
            self.drop()

    def data_received(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def eof_received(self) -> None:
        self.reader.feed_eof()
        self.hung_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.reader.feed_eof()
        self.hung_up()
        self.owner.connections.discard(self)
        self.owner.notice()

    def pause_writing(self) -> None:
        self.flowing.clear()

    def resume_writing(self) -> None:
        self.flowing.set()

    def hung_up(self) -> None:
        """The caller has left: whatever was being done for it ends at once."""
        if self.answering is not None and self.answering.gone_at is None:
            self.answering.gone_at = self.owner.clock()
            self.task.cancel()
            self.owner.notice()

    def end(self, how: Last) -> None:
        """Ends the connection from this side. A reset throws away what the socket has not taken yet."""
        self.answering = None
        if how is Last.CLOSE:
            self.transport.close()
            return
        with contextlib.suppress(OSError):  # it may be closed already
            raw = socket.dup(self.transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=raw) as held:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def drop(self) -> None:
        """Ends the connection and whatever is done on it."""
        self.end(Last.RESET)
        self.task.cancel()

    async def converse(self) -> None:
        """Answers one request after the other, until either side has had enough."""
        try:
            while await self.answer_next():
                self.served += 1
        finally:
            self.transport.close()

    async def answer_next(self) -> bool:
        """Whether the connection stays open after it."""
        try:
            method, path, headers, body = await self.read()
        except (asyncio.IncompleteReadError, ValueError):
            return False  # the caller left between requests, or does not speak HTTP
        moves, received = self.owner.hear(self, method, path, headers, body)
        self.answering = received
        for move in moves:
            if isinstance(move, Last):
                await asyncio.sleep(0)  # uvloop writes at the end of a turn
                self.over(received)
                self.end(move)
                return False
            await self.make(move, received)
        self.over(received)
        return not any(name.lower() == b"connection" and value.lower() == b"close" for name, value in headers)

    async def make(self, move: bytes | float, received: Received | None) -> None:
        """Makes one move that does not end the connection."""
        if isinstance(move, bytes):
            if received is not None:
                received.sent += len(move)
                if isinstance(move, Said):
                    received.output += move.tokens
                    received.reported = received.reported or move.reports
            self.transport.write(move)
            self.owner.notice()
            await self.flowing.wait()
        elif move == math.inf:
            await asyncio.Event().wait()
        elif move:
            await self.owner.sleep(move)
        else:
            await asyncio.sleep(0)

    def over(self, received: Received | None) -> None:
        """Nothing more will be sent for `received`, so that hanging up is no fault from here on."""
        self.answering = None
        if received is not None:
            received.done = True
            self.owner.notice()

    async def read(self) -> tuple[str, str, list[tuple[bytes, bytes]], bytes]:
        """Method, path, headers and body of the next request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, path, _ = first.decode("latin-1").split(" ")
        pairs = [line.split(b":", 1) for line in lines]
        headers = [(name, value.strip()) for name, value in pairs]
        framing = {name.lower(): value for name, value in headers}
        if framing.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = bytearray()
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            while await self.reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return method, path, headers, bytes(body)
        return method, path, headers, await self.reader.readexactly(int(framing.get(b"content-length", b"0")))


@dataclass(eq=False)
class Simulator:
    """One provider on a loopback port, between `async with` and its end.

    What it says and how it misbehaves may be changed at any time; a request keeps what held when it came.
    `faults` are used first, one a request (None: a good answer); when they are used up, `fault` holds.
    Where the request matters, words and faults may be functions of it.
    """

    name: str = "alpha"
    seed: int = 0
    port: int = 0  # 0: any free one
    words: Words = ()  # the text of an answer, one delta each
    arguments: Sequence[str] = ('{"ci', 'ty": ', '"Paris"}')  # of a tool call, one fragment each
    calls_tools: bool = False  # call the first tool offered instead of answering with words
    pace: float = 0.0  # seconds between the events of a stream
    reports: Reports = "asked"
    known_as: str | None = None  # what it calls the model that answers, if not as it was asked for
    fault: Cue = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    faults: deque[Cue] = field(default_factory=deque["Cue"])
    requests: list[Received] = field(default_factory=list["Received"])
    connections: set[Connection] = field(default_factory=set["Connection"], repr=False)

    def __post_init__(self) -> None:
        self.canary = (
            f"canary-{self.name}-{hashlib.sha256(f'{self.name} {self.seed}'.encode()).hexdigest()[:12]}"
        )
        self.words = self.words or (f"{self.name} ", "says: ", "all ", "is ", "well.")
        self.accepted = 0
        self.count = 0
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None  # takes the port while nobody listens
        self._filler: socket.socket | None = None  # fills the queue of a silent listener
        self._news = asyncio.Event()

    @property
    def origin(self) -> str:
        """The base URL for the anthropic SDK."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL for the openai SDK."""
        return f"{self.origin}/v1"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self.connections)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.down()
        finally:
            self._release()

    async def up(self) -> None:
        """Listens, on the port it had before if it was down."""
        if self._server is None:
            self._release()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self), sock=self._hold(), backlog=1024)

    async def down(self, *, silent: bool = False) -> None:
        """Drops its connections and refuses new ones, or if `silent` leaves them without any answer (Linux).

        The port stays taken, so that nobody else can answer there meanwhile.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        self._release()
        self._held = self._hold()
        if silent:  # a queue of one, and that one in it: the kernel drops further attempts
            self._held.listen(0)
            self._filler = socket.create_connection(("127.0.0.1", self.port))
        tasks = [connection.task for connection in self.connections]
        for connection in tuple(self.connections):
            connection.drop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.wait_for(lambda: not self.connections)

    @property
    def bill(self) -> list[Billed]:
        """What there is to pay for, request by request: everything that was generated for, whoever left."""
        return [line for received in self.requests if (line := received.billed) is not None]

    def next(self, fault: Cue, times: int = 1) -> None:
        """Queues `fault` for the next `times` requests."""
        self.faults.extend([fault] * times)

    async def wait_for(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Returns once `condition` holds; it is asked whenever anything happens here. Else TimeoutError."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = f"{self.open} connections open, last requests {self.requests[-3:]}"
            raise TimeoutError(f"{self.name}: not so within {within:g} s; {seen}") from None

    def notice(self) -> None:
        """Something happened: whoever waits for a condition asks again."""
        self._news.set()

    def _hold(self) -> socket.socket:
        # Named in full: asyncio turns Nagle's algorithm off only for what says it is TCP.
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", self.port))
        self.port = held.getsockname()[1]
        return held

    def _release(self) -> None:
        for taken in (self._filler, self._held):
            if taken is not None:
                taken.close()
        self._filler = self._held = None

    def hear(
        self, connection: Connection, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Iterator[Move], Received | None]:
        """The moves that answer one request, and its entry in the ledger (the control pages have none)."""
        try:
            document: Any = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            document = None
        path = path.partition("?")[0]
        if path.startswith("/_simulator"):
            return Fault().play(self._control(method, path, document)), None
        self.count += 1
        received = Received(
            number=self.count,
            connection=connection.number,
            reused=connection.served > 0,
            method=method,
            path=path,
            headers=headers,
            body=body,
            json=document,
            at=self.clock(),
        )
        self.requests.append(received)
        self.notice()
        cue = self.faults.popleft() if self.faults else self.fault
        fault = cue(received) if callable(cue) else cue
        received.fault = fault
        player = fault or Fault()
        answer = player.change(self._good(received))
        if any(isinstance(piece, Said) for piece in answer.events):
            received.generates = True
            received.input = spoken(document)
        return player.play(answer), received

    def _good(self, received: Received) -> Answer:
        api = APIS.get(received.path)
        asked: Document = received.json if received.is_object else {}
        tools = bool(self.calls_tools and asked.get("tools"))
        voice = Voice(
            api=api or "chat",
            canary=self.canary,
            number=received.number,
            asked=asked,
            words=tuple(self.words(received) if callable(self.words) else self.words),
            arguments=tuple(self.arguments) if tools else None,
            pace=self.pace,
            seed=self.seed,
            reports=self.reports,
            known_as=self.known_as,
        )
        if api is None or received.method != "POST":
            return Status(404, message="There is nothing here.").change(voice.answer())
        if not asked:
            return Status(400, message="The body is not a JSON object.").change(voice.answer())
        return voice.answer()

    def _control(self, method: str, path: str, document: object) -> Answer:
        answer = Answer("chat", self.canary, ())
        if path == "/_simulator/bill":
            return answer.whole(encode({"name": self.name, "lines": [line._asdict() for line in self.bill]}))
        if method == "POST" and path == "/_simulator/fault":
            given = dict(cast("Document", document)) if isinstance(document, dict) else {}
            try:
                self.fault = CUES[given.pop("fault")](**given)
            except (KeyError, TypeError):
                known = {"error": "There is no such cue, or it takes no such field.", "cues": sorted(CUES)}
                return replace(answer.whole(encode(known) + b"\n"), status=400)
        fault = None if self.fault is None else repr(self.fault)
        state: Document = {"name": self.name, "fault": fault, "requests": self.count, "open": self.open}
        return answer.whole(encode(state) + b"\n")


async def run(name: str, port: int, pace: float, words: int, reports: Reports) -> None:
    """One provider until it is interrupted."""
    text = tuple(f"{name}-{number} " for number in range(words))
    async with Simulator(name, port=port, pace=pace, words=text, reports=reports) as provider:
        curl = f"""curl {provider.origin}/_simulator/fault -d '{{"fault": "outage"}}'"""
        sys.stdout.write(f"{name} answers at {provider.url}\n  {curl}   # or: {', '.join(CUES)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Runs one provider on its own."""
    parser = argparse.ArgumentParser(description="A provider that misbehaves on cue.")
    parser.add_argument("--name", default="alpha")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between the events of a stream")
    parser.add_argument("--words", type=int, default=0, help="deltas in an answer")
    parser.add_argument(
        "--reports", choices=get_args(Reports), default="asked", help="when it tells what was used"
    )
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(given.name, given.port, given.pace, given.words, given.reports))


if __name__ == "__main__":
    main()
