"""The interface of a wire format: the paths of its operations, and a reader for their answers.

The gateway relays a provider's bytes and does not translate them. A dialect reads a copy of an answer and
classifies each event. It generates only three things itself: an error body, the error event that ends a
broken stream, and the event that asks a client to discard what it has received of a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

from .signatures import issued_keys
from .similar_events import SimilarEvents
from .state_key import id_key
from .usage import Usage
from .usage_event_filter import UsageEventFilter

__all__ = ["AnswerReader", "Operation", "RequestDocument", "Signal"]


_MAX_TEMPLATES: Final = 16
"""The most event templates learnt from one answer. It bounds the cost for answers whose events all differ."""
_MAX_ISSUED: Final = 1_000
"""The most ids and signatures of one answer that are remembered."""


class Signal(IntEnum):
    """The meaning of one event of an answer.

    Any event that matches no other member is NOTHING. It is relayed, but neither commits an attempt nor
    counts as progress of a stalled one.
    """

    NOTHING = 0
    CONTENT = 1  # text, a tool call or a refusal
    FINISH = 2  # the reason why the model stopped
    END = 3  # the terminal marker: the answer is complete
    ERROR = 4  # an error of the provider
    WORK = 5  # something the provider does by itself, such as a web search: a sign of life, but no content


class RequestDocument(Protocol):
    """A parsed request body, as returned by `json_document.read`; see `json_document.Document`."""

    @property
    def value(self) -> dict[str, Any]: ...

    @property
    def notable(self) -> frozenset[str]: ...


class AnswerReader(ABC):
    """Reads one answer of one operation, event by event or as one document.

    `usage`, `model` (the one that actually served), `answer_id` and `finish` (the stop reason) are None until
    the answer contains them, and `tier` until it names one that the usual price is not for. `on_issue` is
    called with each key (`state_key`) of the state in the answer that only its provider can read or continue,
    as soon as it is read. `error` is the provider's error object once a Signal.ERROR was returned. `written`
    is the number of bytes of generated output so far; it is at least the number of visible tokens.
    `counted_at` is what that was at the last usage.
    """

    __slots__ = (
        "_template",
        "_templates_left",
        "answer_id",
        "counted_at",
        "error",
        "finish",
        "issued",
        "model",
        "on_issue",
        "tier",
        "usage",
        "written",
    )

    def __init__(self) -> None:
        self._template: SimilarEvents | None = None
        self._templates_left = _MAX_TEMPLATES
        self.usage: Usage | None = None
        self.tier: str | None = None
        self.model: str | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.issued = 0
        self.on_issue: Callable[[str], None] | None = None
        self.error: Mapping[str, Any] | None = None
        self.written: int = 0
        self.counted_at: int = 0

    def event(self, name: bytes, data: bytes) -> Signal:
        """Returns the meaning of one stream event; NOTHING for an operation without streams.

        Data that is not JSON is NOTHING too, unless the event's name is that of an error or the data is a
        terminal marker.
        """
        del name, data
        return Signal.NOTHING

    def learn(self, piece: bytes, data: bytes) -> None:
        """Learn a template for `skim` from `piece`, the bytes of one whole CONTENT event with this `data`."""
        template = self._template
        if not self._templates_left or b"\\" in piece or (template is not None and template.begins(piece)):
            return
        self._templates_left -= 1
        try:
            text = self._text(data)
        except ValueError:  # JSON that only lenient parsers read
            return
        if text is not None:
            self._template = SimilarEvents.of(piece, *text) or template

    def skim(self, piece: bytes) -> bool:
        """Whether `piece` is one whole CONTENT event that matches a learnt template. If so, it is processed.

        This is the fast path for every token: the same result as `event` at a third of its cost.
        """
        template = self._template
        if template is None or not (text_size := template.text_size(piece)):
            return False
        self.written += text_size
        return True

    def _issue(self, key: str) -> None:
        """Tell a key of the answer's state, unless it has too many."""
        if self.on_issue is not None and self.issued < _MAX_ISSUED:
            self.issued += 1
            self.on_issue(key)

    def _issue_id(self, text: object) -> None:
        """Tell an id, if it is one."""
        if isinstance(text, str) and text:
            self._issue(id_key(text))

    def _issue_content(self, block: object) -> None:
        """Tell the signatures and ids in a block or an item, at any depth."""
        for key in issued_keys(block):
            self._issue(key)

    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        """Returns the JSON member with a CONTENT event's text, that text, and the event's sequence number.

        The number is None if the dialect does not use it. Returns None for an event with any other content,
        which therefore cannot serve as a template.
        """
        del data
        return None

    @abstractmethod
    def document(self, value: object) -> Signal:
        """Returns the meaning of a whole JSON body: CONTENT, ERROR, or NOTHING if it is not an answer."""

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        """Returns the error event that ends a broken stream; empty for an operation without streams."""
        del code, message, request_id
        return b""

    def restarted(self, reason: str, attempt: int) -> bytes:
        """Returns the event that asks a client to discard this stream, since a new one follows.

        Empty for an operation without streams.
        """
        del reason, attempt
        return b""


def _no_usage_request(value: dict[str, Any]) -> dict[str, Any]:
    del value
    return {}


def _no_references(document: RequestDocument) -> tuple[tuple[str, str], ...]:
    del document
    return ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One API operation of a provider.

    * `path` is the path that callers use; `upstream_path` is appended to the provider's base URL.
    * `reader` makes the reader of one answer.
    * `check` raises Refusal for a request of the wrong shape.
    * `bound` returns whether the request refers to state stored at one provider, so that it must not move to
      another one.
    * `own_rates` is whether its rate limits are apart from those of the other operations.
    * `references` returns the ids by which a bound request names that state, each with the member that holds
      it. It may be empty: a file was not made by an answer.
    * `limits` are the request members that limit the output, the dialect's own name first. An operation
      without any generates no output.
    * `usage_request` returns the members to add to a streamed request so that the provider reports its usage;
      empty if the caller has decided this already. `usage_filter` makes the filter that removes the resulting
      event from the answer.
    """

    name: str
    dialect: str
    path: str
    upstream_path: str
    reader: Callable[[], AnswerReader]
    check: Callable[[dict[str, Any]], None]
    bound: Callable[[RequestDocument], bool]
    references: Callable[[RequestDocument], tuple[tuple[str, str], ...]] = _no_references
    own_rates: bool = False
    limits: tuple[str, ...] = ()
    usage_request: Callable[[dict[str, Any]], dict[str, Any]] = _no_usage_request
    usage_filter: Callable[[], UsageEventFilter] | None = None

    @property
    def limit_field(self) -> str | None:
        """The request member that limits the output; None for an operation that generates no output."""
        return self.limits[0] if self.limits else None

    def requested_output(self, value: dict[str, Any]) -> int | None:
        """The most output tokens that the request allows per choice; None if it sets no limit."""
        most = None
        for name in self.limits:
            if name in value and type(given := value[name]) is int and (most is None or given > most):
                most = given
        return most
