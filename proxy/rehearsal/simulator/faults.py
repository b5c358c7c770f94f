"""Faults of the content: each turns a good answer into another one, which is sent like any other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import orjson

from .answer import ALL_CONTENT, DONE, Answer, Content, Document, Framing, Move, Place, encode, event, torn
from .bill import GeneratedText

__all__ = [
    "Both",
    "Chunks",
    "End",
    "ErrorEvent",
    "Fault",
    "Framed",
    "Gzip",
    "Headers",
    "Html",
    "Insert",
    "Just",
    "Malformed",
    "Oversize",
    "Redirect",
    "Status",
]


@dataclass(frozen=True)
class Fault:
    """Base class of faults. This one changes nothing."""

    def change(self, answer: Answer) -> Answer:
        """Returns the answer with the fault."""
        return answer

    def play(self, answer: Answer) -> Iterator[Move]:
        """Yields the moves that send the answer."""
        yield answer.head()
        yield from answer.body(0)[1]

    def plays(self) -> bool:
        """Whether the fault sends the answer in its own way, besides changing it."""
        return type(self).play is not Fault.play

    def __and__(self, other: Fault) -> Fault:
        """Combine two faults: both change the answer in turn. The last one with its own `play` sends it."""
        return Both(self, other)


@dataclass(frozen=True)
class Both(Fault):
    """Two faults at once, written `first & second`."""

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
    """Redirects the caller, by default to the address where cloud machines keep their credentials."""

    location: str = "http://169.254.169.254/latest/meta-data/"
    code: int = 307

    def change(self, answer: Answer) -> Answer:
        return Status(self.code, body=b"", headers=(("location", self.location),)).change(answer)


@dataclass(frozen=True)
class Html(Fault):
    """An HTML page instead of an answer, as from a captive portal or a load balancer."""

    code: int = 200

    def change(self, answer: Answer) -> Answer:
        page = f"<!doctype html><title>Sorry</title><p>Something else answered ({answer.canary}).</p>"
        return replace(answer.whole(page.encode(), "text/html"), status=self.code)


@dataclass(frozen=True)
class Just(Fault):
    """A 200 whose body is exactly these pieces. `Just()` is empty, `Just(DONE)` only ends a stream."""

    pieces: tuple[bytes, ...]

    def __init__(self, *pieces: bytes) -> None:
        object.__setattr__(self, "pieces", pieces)

    def change(self, answer: Answer) -> Answer:
        return replace(answer, events=self.pieces, preamble=0, ending=len(self.pieces))


@dataclass(frozen=True)
class End(Fault):
    """Ends cleanly at `after`, by default after all content and before the events that end the answer."""

    after: Place = ALL_CONTENT

    def change(self, answer: Answer) -> Answer:
        kept, _ = torn(answer.events, *answer.locate(self.after))
        return replace(answer, events=kept, ending=min(answer.ending, len(kept)))


@dataclass(frozen=True)
class ErrorEvent(Fault):
    """An error inside a 200: at `after`, the stream has an error event in the format of its API, and ends."""

    after: Place = 0
    status: int = 503  # selects the usual type and code
    type: str | None = None
    code: str | None = None
    message: str | None = None
    failed: bool = False  # Responses only: `response.failed` rather than `error`
    done: bool = False  # Chat only: send [DONE] after it, as some compatible servers do

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
        error_event = event(document, named=answer.api != "chat")
        return replace(answer, events=(*kept, error_event, *((DONE,) if self.done else ())))


@dataclass(frozen=True)
class Insert(Fault):
    """Inserts `data` into the body at `after`, as a separate piece. Between contents it counts as content."""

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


_FIRST: Final = Content(1)


@dataclass(frozen=True)
class Malformed(Fault):
    """One event in a stream with truncated JSON, the rest intact. A unary answer is truncated itself."""

    after: Place = _FIRST

    def change(self, answer: Answer) -> Answer:
        if not answer.streamed:
            return replace(answer, events=(GeneratedText.like(answer.events[0], answer.events[0][:-1]),))
        return Insert(answer.events[answer.preamble].rstrip()[:-1] + b"\n\n", self.after).change(answer)


@dataclass(frozen=True)
class Oversize(Fault):
    """One event of more than `size` bytes."""

    size: int = 9 * 1024 * 1024
    after: Place = _FIRST

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
    """Declares the body's length differently: "eof" is until the close, "both" is two conflicting lengths."""

    how: Framing

    def change(self, answer: Answer) -> Answer:
        return replace(answer, framing=self.how)


@dataclass(frozen=True)
class Chunks(Fault):
    """Splits the body differently: at `offsets`, or every `size` bytes. Must be last in a combination."""

    offsets: tuple[int, ...] = ()
    size: int | None = None

    def change(self, answer: Answer) -> Answer:
        body = b"".join(answer.events)
        marks = range(0, len(body), self.size) if self.size else sorted({0, *self.offsets})
        pieces = [body[start:end] for start, end in zip(marks, [*marks[1:], len(body)], strict=True)]
        pieces[:1] = [GeneratedText.all(answer.events, piece) for piece in pieces[:1]]
        return replace(answer, events=tuple(piece for piece in pieces if piece))


@dataclass(frozen=True)
class Gzip(Fault):
    """Compresses the body although it was not requested. A stream is flushed after each event."""

    def change(self, answer: Answer) -> Answer:
        packer = zlib.compressobj(wbits=31)
        pieces = [
            GeneratedText.like(piece, packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH))
            for piece in answer.events
        ]
        last = b"".join(pieces[-1:]) + packer.flush()
        events = (*pieces[:-1], GeneratedText.like(pieces[-1] if pieces else b"", last))
        return replace(answer, events=events, headers=(*answer.headers, ("content-encoding", "gzip")))
