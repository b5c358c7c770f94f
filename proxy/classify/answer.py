"""Reading one answer as it arrives, to tell when it has proved itself. No I/O.

An `Answer` is fed a copy of what a provider sends, by whoever stands nearest the wire (Relay, or Gate around
an app that has no Relay), and says at any moment whether to HOLD it, COMMIT to it, or call it a FAULT. After
commit it goes on reading, for usage, the terminal marker and an error that comes late.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import orjson

from ..asgi import Headers, header
from ..dialects.base import AnswerReader, Operation, Signal
from ..dialects.sse import EventTooLarge, Splitter
from .decompression import Decompressor, Undecodable
from .faults import Fault, FaultKind
from .json_tail import json_tail
from .provider_errors import in_band, refused

__all__ = ["MAX_HELD", "MAX_READ", "MAX_TAIL", "Answer", "Verdict"]

MAX_HELD: Final = 64 * 1024
"""Bytes held back before an answer has proved itself (Linkerd's replay buffer has the same size)."""

MAX_READ: Final = 1024 * 1024
"""Bytes of an unstreamed answer kept for reading it. A larger one is relayed all the same."""

MAX_TAIL: Final = 4 * 1024
"""Bytes kept of the end of a larger one, for reading its usage there."""


class Verdict(Enum):
    """What to do with an attempt's answer."""

    HOLD = "hold"
    COMMIT = "commit"
    FAULT = "fault"


# Reading an enum's member from its class costs a descriptor call; these are read for every token.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
_HOLD: Final = Verdict.HOLD
_COMMIT: Final = Verdict.COMMIT
_FAULT: Final = Verdict.FAULT


def _nothing(name: bytes, data: bytes) -> Signal:
    del name, data
    return _NOTHING


class Answer:
    """One reading of one answer.

    `verdict` starts as HOLD and changes once. `fault` says what went wrong, before commit (the verdict is
    FAULT) or after it (the answer is truncated). `progress` tells whether the last chunk brought something a
    caller waits for. `cut` is how many bytes of it are ripe to be relayed, or None where all are: only whole
    events, since a client cannot use half of one, and the event that tells of a break must not end up inside
    it. `skim`, where it is not None, is to be tried on the next chunk before `feed`: it tells whether that is
    one whole event of content like one before; if so, it has been read, and is ripe. Once `ended` is set
    nothing after them belongs to the answer. `complete` is set by the terminal marker, or by the end of an
    unstreamed body.

    `streamed` is what the request asked for, or None where nobody knows. `plain` says that nothing but a
    stream which can be added to will do. Set `withholds` to have an error event that comes late kept back: it
    is not ripe then, but stands in `withheld`.
    """

    __slots__ = (
        "_body",
        "_decoder",
        "_fed",
        "_headers",
        "_plain",
        "_read",
        "_reader",
        "_splitter",
        "_streamed",
        "_tail",
        "complete",
        "cut",
        "ended",
        "fault",
        "progress",
        "skim",
        "status",
        "too_large",
        "verdict",
        "withheld",
        "withholds",
    )

    def __init__(self, operation: Operation | None, *, streamed: bool | None, plain: bool = False) -> None:
        self._reader: AnswerReader | None = None if operation is None else operation.reader()
        self._read = _nothing if self._reader is None else self._reader.event
        self._streamed = streamed
        self._plain = plain
        self.withholds = False
        self.withheld = b""
        self._splitter: Splitter | None = None
        self._decoder: Decompressor | None = None
        self._body: bytearray | None = None
        self._tail: bytes | None = None
        self._headers: Headers = ()
        self._fed = 0
        self.status = 0
        self.verdict = _HOLD
        self.fault: Fault | None = None
        self.progress = False
        self.complete = False
        self.ended = False
        self.too_large = False  # an event that did not end
        self.cut: int | None = None
        self.skim: Callable[[bytes], bool] | None = None

    @property
    def reader(self) -> AnswerReader | None:
        """What the answer said about itself: usage, model, id. None for an operation we do not know."""
        return self._reader

    @property
    def is_stream(self) -> bool:
        """Whether the answer arrives as server-sent events."""
        return self._splitter is not None

    @property
    def outgrown(self) -> bool:
        """Whether it is too long for us to tell, from what it says, if it is whole."""
        return self._splitter is None and self._body is None

    @property
    def written(self) -> int:
        """Bytes of what was generated, as far as it was seen, or more of a body that was not read whole."""
        reader = self._reader
        if reader is None or not 200 <= self.status <= 299:
            return 0
        return reader.written if self.is_stream or reader.written else self._fed

    @property
    def accepts_events(self) -> bool:
        """Whether an event of ours can be added to it: to a stream, unless it is compressed."""
        return self._splitter is not None and self._decoder is None

    def start(self, status: int, headers: Headers) -> Verdict:
        """The head has arrived. Header names are lower case."""
        self.status = status
        self._headers = headers
        kind = (header(headers, b"content-type") or b"").lower()
        if self._streamed is None:
            self._streamed = b"text/event-stream" in kind
        try:
            encoding = (header(headers, b"content-encoding") or b"").strip().lower()
            if encoding not in {b"", b"identity"}:
                self._decoder = Decompressor(encoding)
        except Undecodable:
            return self._refuse("bad_response")
        if not 200 <= status <= 299:
            self._body = bytearray()
        elif self._reader is None:
            return self._commit()
        elif b"text/event-stream" in kind or (self._streamed and b"json" not in kind and b"html" not in kind):
            # Some servers stream without saying so; one that says JSON or HTML means it.
            self._splitter = Splitter()
        elif b"html" in kind:
            return self._refuse("bad_response")
        else:
            self._body = bytearray()
        if self._splitter is not None and not self._streamed:
            return self._refuse("bad_response")
        if self._plain and 200 <= status <= 299 and not self.accepts_events:
            return self._refuse("bad_response")
        return self.verdict

    def feed(self, chunk: bytes) -> Verdict:
        """The next bytes of the body have arrived."""
        self.progress = False
        decoder, splitter = self._decoder, self._splitter
        try:
            plain = chunk if decoder is None else decoder.feed(chunk)
            if self.ended:
                # Nothing belongs to the answer any more, but for what ends its compression.
                self.cut = 0 if decoder is None or plain else None
                return self.verdict
            if splitter is not None:
                self._feed_stream(splitter, plain)
                if decoder is not None:
                    self.cut = None  # offsets into a decoded copy say nothing about the bytes relayed
                return self.verdict
        except (EventTooLarge, Undecodable) as error:
            self.too_large = isinstance(error, EventTooLarge)
            return self._fail("bad_response")
        self._fed += len(plain)
        if self._body is not None:
            self._collect(self._body, plain)
        elif self._tail is not None:
            self._tail = (self._tail + plain[-MAX_TAIL:])[-MAX_TAIL:]
        self.progress = True
        return self.verdict

    def end(self) -> Verdict:
        """The body has ended as its framing promised."""
        if self._splitter is not None:
            if not self.ended:
                self._end_of_stream(self._splitter)
        elif self.verdict is not _FAULT:
            self._end_of_body()
        self.ended = True
        return self.verdict

    def broke(self, kind: FaultKind) -> Verdict:
        """The connection failed, or a clock ran out, before the body had ended."""
        if self.verdict is _HOLD:
            return self._refuse(kind)
        if not self.complete and self.fault is None:
            self.fault = Fault("stream_truncated", self.status)
        return self.verdict

    def refuse(self, fault: Fault) -> None:
        """There will be no answer, for `fault`."""
        self._conclude(fault)

    # -- streams ----------------------------------------------------------------------------

    def _feed_stream(self, splitter: Splitter, plain: bytes) -> None:
        between = self.skim is not None
        self.skim = None
        sign = _NOTHING
        events = splitter.feed(plain)
        self.cut = splitter.boundary
        for name, data, end in events:
            sign = self._read(name, data)
            if sign is _CONTENT and self.verdict is _COMMIT:
                self.progress = True
            elif sign is not _NOTHING:
                self._take(sign)
                if self.ended:
                    self.cut = end
                    if self.withholds and self.fault is not None:
                        self.withheld = _event(name, data)
                        self.cut = max((other for _, _, other in events if other < end), default=0)
                    return
        if self.verdict is _HOLD:
            self._fed += len(plain)
            if self._fed > MAX_HELD:
                self._commit()
        elif plain and self.cut == len(plain) and self._reader is not None and self._decoder is None:
            if between and sign is _CONTENT and len(events) == 1:
                self._reader.learn(plain, events[0][1])
            self.skim = self._reader.skim

    def _take(self, sign: Signal) -> None:
        reader = self._reader
        if sign is _CONTENT or sign is Signal.FINISH:
            self.progress = True
            if self.verdict is _HOLD:
                self._commit()
        elif sign is Signal.END:
            self.ended = True
            if self.verdict is _HOLD and (reader is None or reader.finish is None):
                self._refuse("bad_response")  # a stream with an end and nothing before it
            else:
                self._commit()
                self.complete = True
        else:
            self.ended = True
            fault = in_band(reader.error if reader is not None else None, self.status)
            if self.verdict is _HOLD:
                self.fault = fault
                self.verdict = _FAULT
            else:
                self.fault = Fault("stream_truncated", fault.status, fault.code)

    def _end_of_stream(self, splitter: Splitter) -> None:
        tail = splitter.tail
        for name, data, _ in splitter.finish():
            if (sign := self._read(name, data)) is not _NOTHING:
                self._take(sign)
        if self.complete or self.fault is not None:
            return
        if self.verdict is _HOLD:
            if tail.lstrip()[:1] in {b"{", b"["}:
                # Some providers shed load with a bare JSON document where a stream should be.
                self._judge_document(tail)
            else:
                self._refuse("stream_failed")
        else:
            self.fault = Fault("stream_truncated", self.status)

    # -- bodies -----------------------------------------------------------------------------

    def _collect(self, body: bytearray, plain: bytes) -> None:
        if len(body) + len(plain) <= MAX_READ:
            body += plain
        else:
            self._tail = bytes((body + plain)[-MAX_TAIL:])
            self._body = None
        if self.verdict is _HOLD and (self._body is None or len(body) > MAX_HELD):
            if 200 <= self.status <= 299:
                self._commit()
            else:
                self._conclude(refused(self.status, self._headers, bytes(body[:MAX_HELD])))

    def _end_of_body(self) -> None:
        if not 200 <= self.status <= 299:
            if self.verdict is _HOLD:
                self._conclude(refused(self.status, self._headers, bytes(self._body or b"")))
        elif self._body is not None:
            self._judge_document(self._body)
        elif self._tail is not None and self._reader is not None:
            self._reader.document(json_tail(self._tail))
        self.complete = self.verdict is _COMMIT and self.fault is None

    def _judge_document(self, body: bytes | bytearray) -> None:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = None
        reader = self._reader
        sign = _NOTHING if reader is None else reader.document(value)
        if self.verdict is not _HOLD:
            if value is None:  # it was too long to hold, and its framing could not tell that it broke off
                self.fault = Fault("stream_truncated", self.status)
            return
        if sign is _CONTENT and not self._streamed:
            self._commit()
        elif sign is Signal.ERROR:
            self._conclude(in_band(reader.error if reader is not None else None, self.status))
        else:
            self._refuse("bad_response")

    # -- verdicts ---------------------------------------------------------------------------

    def _commit(self) -> Verdict:
        self.verdict = _COMMIT
        return self.verdict

    def _conclude(self, fault: Fault) -> None:
        self.fault = fault
        self.verdict = _FAULT
        self.ended = True

    def _refuse(self, kind: FaultKind) -> Verdict:
        self._conclude(Fault(kind, self.status or None))
        return self.verdict

    def _fail(self, kind: FaultKind) -> Verdict:
        self.ended = True
        self.cut = 0
        if self.verdict is _HOLD:
            return self._refuse(kind)
        self.fault = Fault("stream_truncated", self.status)
        return self.verdict


def _event(name: bytes, data: bytes) -> bytes:
    """An event as it may be sent, after whatever came before it."""
    lines = [b"event: " + name] if name else []
    lines += [b"data: " + line for line in data.split(b"\n")]
    return b"\n\n" + b"\n".join(lines) + b"\n\n"
