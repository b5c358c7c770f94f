"""Incremental classification of one answer while it arrives. No I/O.

Relay (or ForeignAnswer, around an app that has no Relay) feeds an `Answer` a copy of the bytes that a
provider sends. Its states and their transitions are a table in `answer_state`. At any moment its verdict is
HOLD (undecided, do not send yet), COMMIT (send it to the caller) or FAULT (the attempt failed). After COMMIT
it continues to read, for the usage, the terminal marker and late errors.

Longer than 400 lines because a stream and a whole body lead to one verdict, by rules that share their state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import orjson

from ..asgi import Headers, header
from ..dialects.base import AnswerReader, Operation, Signal
from ..dialects.json_values import lenient
from ..dialects.sse import Event, EventTooLarge, Splitter
from .answer_state import COMPLETE_STATES, TRANSITIONS, VERDICTS, AnswerState, Cue, Verdict
from .decompression import Decompressor, Undecodable
from .faults import Fault, FaultKind
from .json_tail import json_tail
from .provider_errors import NO_ENDS, in_band, is_refusal, refused

__all__ = ["MAX_HELD", "MAX_READ", "MAX_TAIL", "Answer", "Verdict"]

MAX_HELD: Final = 64 * 1024
"""Bytes of an answer that are buffered before the verdict. A longer answer is committed, or a fault if its
status is not 2xx. Linkerd's replay buffer has the same size."""

MAX_READ: Final = 1024 * 1024
"""Bytes of an unstreamed answer that are kept for parsing. A larger answer is relayed but not parsed."""

MAX_TAIL: Final = 4 * 1024
"""Bytes kept of the end of an answer larger than `MAX_READ`, for reading its usage and model."""


# Looking up an enum member on its class costs a descriptor call, and these are used for every token.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
_HOLD: Final = Verdict.HOLD
_COMMIT: Final = Verdict.COMMIT
_FAULT: Final = Verdict.FAULT


def _nothing(name: bytes, data: bytes) -> Signal:
    del name, data
    return _NOTHING


class Answer:
    """The classifier of one answer.

    * `state` is what is known of it, and `verdict` what follows; `verdict` starts as HOLD and changes once.
    * `fault` is the reason of a FAULT verdict; after COMMIT it means that the answer is truncated.
    * `progress` is whether the last chunk contained something that the caller waits for.
    * `working` is whether it only showed that the provider works on an answer that is not decided yet.
    * `cut` is the number of bytes of the last chunk that may be relayed, or None for all of them. Only whole
      events are: a client cannot use half an event, and an error event of ours must not end up inside one.
    * `skim` is None or a fast path to try on the next chunk before `feed`. It returns whether the chunk is
      one whole content event similar to an earlier one. If so, the chunk is processed and may be relayed.
    * `ended` is set once the answer is over: bytes after `cut` do not belong to it.
    * `complete` is set by the terminal marker, or by the end of an unstreamed body.
    * `reader` has the answer's usage, model and id; it is None for an unknown operation.

    `streamed` is whether the request asks for a stream, or None if that is unknown. With `plain`, an answer
    of status 2xx to which no event can be added is a fault. With `withholds` set, a late error event is not
    relayed; it is stored in `withheld`, as bytes ready to send. If the request was `translated`, one that is
    wrong to the provider may still be right to others.
    """

    __slots__ = (
        "_body",
        "_decoder",
        "_headers",
        "_own_rates",
        "_plain",
        "_read",
        "_received",
        "_splitter",
        "_streamed",
        "_tail",
        "_translated",
        "complete",
        "cut",
        "ended",
        "fault",
        "progress",
        "reader",
        "skim",
        "state",
        "status",
        "too_large",
        "verdict",
        "withheld",
        "withholds",
        "working",
    )

    def __init__(
        self,
        operation: Operation | None,
        *,
        streamed: bool | None,
        plain: bool = False,
        translated: bool = False,
    ) -> None:
        self.reader: AnswerReader | None = None if operation is None else operation.reader()
        self._read = _nothing if self.reader is None else self.reader.event
        self._streamed = streamed
        self._plain = plain
        self._translated = translated
        self._own_rates = operation is not None and operation.own_rates
        self.withholds = False
        self.withheld = b""
        self._splitter: Splitter | None = None
        self._decoder: Decompressor | None = None
        self._body: bytearray | None = None
        self._tail: bytes | None = None
        self._headers: Headers = ()
        self._received = 0
        self.status = 0
        self.state = AnswerState.UNDECIDED
        self.verdict = _HOLD
        self.fault: Fault | None = None
        self.progress = False
        self.working = False
        self.complete = False
        self.ended = False
        self.too_large = False  # an event exceeded the size limit
        self.cut: int | None = None
        self.skim: Callable[[bytes], bool] | None = None

    @property
    def request_id(self) -> str | None:
        """The provider's own id of the request, from its headers."""
        identifier = header(self._headers, b"x-request-id") or header(self._headers, b"request-id")
        return None if identifier is None else identifier.decode("latin-1")

    @property
    def is_stream(self) -> bool:
        """Whether the answer arrives as server-sent events."""
        return self._splitter is not None

    @property
    def outgrown(self) -> bool:
        """Whether the answer is an unstreamed body too large to be parsed, so it is not checked."""
        return self._splitter is None and self._body is None

    @property
    def written(self) -> int:
        """Bytes of generated output received so far; for a body that was not parsed, bytes of the body."""
        reader = self.reader
        if reader is None or not 200 <= self.status <= 299:
            return 0
        return reader.written if self.is_stream or reader.written else self._received

    @property
    def accepts_events(self) -> bool:
        """Whether the gateway can append an event of its own: the answer is an uncompressed stream."""
        return self._splitter is not None and self._decoder is None

    def start(self, status: int, headers: Headers) -> Verdict:
        """Process the status and headers, and return the verdict. Header names must be lower case."""
        self.status = status
        self._headers = headers
        media_type = (header(headers, b"content-type") or b"").lower()
        if self._streamed is None:
            self._streamed = b"text/event-stream" in media_type
        try:
            encoding = (header(headers, b"content-encoding") or b"").strip().lower()
            if encoding not in {b"", b"identity"}:
                self._decoder = Decompressor(encoding)
        except Undecodable:
            return self._set_fault_kind("bad_response")
        if not 200 <= status <= 299:
            self._body = bytearray()
        elif self.reader is None:
            return self._commit()
        elif b"text/event-stream" in media_type or (
            self._streamed and b"json" not in media_type and b"html" not in media_type
        ):
            # Some servers send a stream with another content type; JSON and HTML types are taken literally.
            self._splitter = Splitter()
        elif b"html" in media_type:
            return self._set_fault_kind("bad_response")
        else:
            self._body = bytearray()
        if self._splitter is not None and not self._streamed:
            return self._set_fault_kind("bad_response")
        if self._plain and 200 <= status <= 299 and not self.accepts_events:
            return self._set_fault_kind("bad_response")
        return self.verdict

    def feed(self, chunk: bytes) -> Verdict:
        """Process the next bytes of the body, and return the verdict."""
        self.progress = self.working = False
        decoder, splitter = self._decoder, self._splitter
        try:
            plain = chunk if decoder is None else decoder.feed(chunk)
            if self.ended:
                if self.fault is not None and splitter is not None:
                    self._read_rest(splitter.feed(plain))
                # Bytes after the end are not relayed, except the trailer of the compression.
                self.cut = 0 if decoder is None or plain else None
                return self.verdict
            if splitter is not None:
                self._feed_stream(splitter, plain)
                if decoder is not None:
                    self.cut = None  # offsets in the decoded copy do not apply to the relayed bytes
                return self.verdict
        except (EventTooLarge, Undecodable) as error:
            self.too_large = isinstance(error, EventTooLarge)
            self.cut = 0
            return self._fail(Fault("bad_response", self.status))
        self._received += len(plain)
        if self._body is not None:
            self._collect(self._body, plain)
        elif self._tail is not None:
            self._tail = (self._tail + plain[-MAX_TAIL:])[-MAX_TAIL:]
        self.progress = True
        return self.verdict

    def end(self, *, framed: bool = True) -> Verdict:
        """Process the end of a body, and return the verdict.

        `framed` is whether the HTTP framing says that the body is complete; otherwise the connection was only
        closed, as it is by a break.
        """
        if self._splitter is not None:
            if not self.ended:
                self._end_of_stream(self._splitter, framed=framed)
        elif self.verdict is not _FAULT:
            self._end_of_body()
        self.ended = True
        return self.verdict

    def broke(self, kind: FaultKind) -> Verdict:
        """Process a failed connection or a timeout before the end of the body, and return the verdict.

        Before the verdict this is a fault of this `kind`; after COMMIT the answer is truncated.
        """
        return self._fail(Fault(kind, self.status or None))

    def refuse(self, fault: Fault) -> None:
        """Record that the attempt failed with `fault` before any answer."""
        self._fail(fault)

    # -- streams ----------------------------------------------------------------------------

    def _feed_stream(self, splitter: Splitter, plain: bytes) -> None:
        between_events = self.skim is not None
        self.skim = None
        signal = _NOTHING
        events = splitter.feed(plain)
        self.cut = splitter.boundary
        for name, data, end in events:
            signal = self._read(name, data)
            if signal is _CONTENT and self.verdict is _COMMIT:
                self.progress = True
            elif signal is not _NOTHING:
                self._apply(signal)
                if self.ended:
                    self.cut = end
                    if self.fault is not None:
                        self._failed_within(events, (name, data, end))
                    return
        if self.verdict is _HOLD:
            self._received += len(plain)
            if self._received > MAX_HELD:
                self._commit()
        elif plain and self.cut == len(plain) and self.reader is not None and self._decoder is None:
            if between_events and signal is _CONTENT and len(events) == 1:
                self.reader.learn(plain, events[0][1])
            self.skim = self.reader.skim

    def _failed_within(self, events: list[Event], last: Event) -> None:
        """An error is the last of these events that counts."""
        name, data, end = last
        self._read_rest([event for event in events if event[2] > end])
        if self.withholds:
            self.withheld = _event(name, data)
            self.cut = max((other for _, _, other in events if other < end), default=0)

    def _read_rest(self, events: list[Event]) -> None:
        """Read what comes after an error, which may be the usage."""
        reader = self.reader
        for name, data, _ in events:
            error = None if reader is None else reader.error
            self._read(name, data)
            if reader is not None:
                reader.error = error

    def _apply(self, signal: Signal) -> None:
        """Update the verdict and the result for a signal other than NOTHING."""
        reader = self.reader
        if signal is Signal.WORK:
            self.progress = self.verdict is _COMMIT
            self.working = not self.progress
        elif signal is Signal.FINISH and reader is not None and reader.finish in NO_ENDS:
            self._out_of_resources(reader.finish)
        elif signal is _CONTENT or signal is Signal.FINISH:
            self.progress = True
            if self.verdict is _HOLD and not self._declines():
                self._commit()
        elif signal is Signal.END:
            if self.verdict is _HOLD and (reader is None or reader.finish is None):
                self._set_fault_kind("bad_response")  # an end marker without any content before it
            elif self._declines():
                self._decline()
            else:
                self._enter(Cue.END)
        else:
            self._fail(in_band(reader.error if reader is not None else None, self.status))

    def _declines(self) -> bool:
        """Whether the answer is that the content was refused, before there was any.

        A stream with content would have been committed by now.
        """
        reader = self.reader
        if reader is None or not is_refusal(None, reader.finish):
            return False
        return self._splitter is not None or not reader.written

    def _decline(self) -> None:
        """End an answer that declines: a fault, though one that may be passed on as it came."""
        finish = None if self.reader is None else self.reader.finish
        self._enter(Cue.DECLINE, Fault("content_refused", self.status, finish, is_answer=True))

    def _out_of_resources(self, finish: str) -> None:
        """End an answer that the provider gave up: no end, whatever its framing says."""
        self._fail(Fault("overloaded", self.status, finish))

    def _end_of_stream(self, splitter: Splitter, *, framed: bool) -> None:
        tail = splitter.tail
        for name, data, _ in splitter.finish():
            if (signal := self._read(name, data)) is not _NOTHING:
                self._apply(signal)
        if self.ended:
            return
        if framed and self.reader is not None and self.reader.finish is not None:
            self._decline()  # it lacks only the terminal marker, which some servers never send
        elif self.verdict is _HOLD and tail.lstrip()[:1] in {b"{", b"["}:
            # Some overloaded providers send a JSON document instead of a stream.
            self._read_document(tail)
        else:
            self._set_fault_kind("stream_failed")

    # -- bodies -----------------------------------------------------------------------------

    def _collect(self, body: bytearray, plain: bytes) -> None:
        """Append to the body, or keep only its end once it exceeds MAX_READ. May set the verdict."""
        if len(body) + len(plain) <= MAX_READ:
            body += plain
        else:
            self._tail = bytes((body + plain)[-MAX_TAIL:])
            self._body = None
        if self.verdict is _HOLD and (self._body is None or len(body) > MAX_HELD):
            if 200 <= self.status <= 299:
                self._commit()
            else:
                self._fail(refused(self.status, self._headers, bytes(body[:MAX_HELD])))

    def _end_of_body(self) -> None:
        if not 200 <= self.status <= 299:
            if self.verdict is _HOLD:
                self._fail(refused(self.status, self._headers, bytes(self._body or b"")))
        elif self._body is not None:
            self._read_document(self._body)
        elif self._tail is not None and self.reader is not None:
            self.reader.document(json_tail(self._tail))
        if self.verdict is _COMMIT:
            self._enter(Cue.END)

    def _read_document(self, body: bytes | bytearray) -> None:
        """Parse a complete JSON body and set the verdict, or the fault if the answer is committed already."""
        too_deep = False
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            value = lenient(body)
            too_deep = "depth" in str(error)  # orjson has no other way to tell
        reader = self.reader
        signal = _NOTHING if reader is None else reader.document(value)
        if self.verdict is not _HOLD:
            if value is None:  # committed by size, then cut off in a way that the framing did not show
                self._fail(Fault("bad_response", self.status))
            return
        if signal is _CONTENT and not self._streamed:
            if reader is not None and reader.finish in NO_ENDS and not reader.written:
                self._out_of_resources(reader.finish)
            elif self._declines():
                self._decline()
            else:
                self._commit()
        elif signal is Signal.ERROR:
            self._fail(in_band(reader.error if reader is not None else None, self.status))
        else:
            # A caller may have asked for so deep an answer, and must not take the target from others.
            self._fail(Fault("bad_response", self.status, rests="nothing" if too_deep else None))

    # -- transitions ------------------------------------------------------------------------

    def _enter(self, cue: Cue, fault: Fault | None = None) -> Verdict:
        """Enter the state that follows. `fault` is the reason of a failed, truncated or declined one."""
        state = TRANSITIONS.get((self.state, cue))
        if state is None:
            return self.verdict
        self.state = state
        self.verdict = VERDICTS[state]
        self.complete = state in COMPLETE_STATES
        self.ended = state is not AnswerState.GOOD
        if state is not AnswerState.COMPLETE:
            self.fault = fault
        return self.verdict

    def _commit(self) -> Verdict:
        return self._enter(Cue.PROOF)

    def _set_fault_kind(self, kind: FaultKind) -> Verdict:
        return self._fail(Fault(kind, self.status or None))

    def _fail(self, fault: Fault) -> Verdict:
        """End the answer: with this `fault` if it is undecided, else as truncated."""
        if self.verdict is not _HOLD:
            return self._enter(Cue.FAULT, Fault("stream_truncated", fault.status, fault.code))
        if self._own_rates and fault.kind in {"rate_limited", "ramp_limited"} and fault.rests is None:
            fault = replace(fault, rests="operation")
        if self._translated and fault.kind == "bad_request":
            fault = replace(fault, kind="incompatible")
        return self._enter(Cue.FAULT, fault)


def _event(name: bytes, data: bytes) -> bytes:
    """Returns an event as bytes to send. A leading blank line ends any incomplete event before it."""
    lines = [b"event: " + name] if name else []
    lines += [b"data: " + line for line in data.split(b"\n")]
    return b"\n\n" + b"\n".join(lines) + b"\n\n"
