"""What a wire format is to the gateway: which paths it serves, what in an answer counts, how it says no.

Standby relays bytes it does not own. A dialect therefore describes rather than translates: it reads a copy
of an answer and says what each event means, and it can write exactly three things of its own: an error body,
the one event that ends a stream that broke, and the one that tells a client to forget such a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

from .similar_events import SimilarEvents
from .usage import Usage
from .usage_event_filter import UsageEventFilter

__all__ = ["AnswerReader", "Operation", "RequestDocument", "Signal"]


_LIKENESSES: Final = 16
"""Kinds of events that are learnt of one answer, so that one in which no two are alike costs little more."""


class Signal(IntEnum):
    """What one event of an answer means. Everything that is not listed here is NOTHING: it is relayed and
    proves nothing, so it neither commits an attempt nor keeps a stalled one alive."""

    NOTHING = 0
    CONTENT = 1  # text, a tool call, a refusal: what the caller asked for
    FINISH = 2  # the model says why it stopped
    END = 3  # the terminal marker: the answer is complete
    ERROR = 4  # the provider says that it failed


class RequestDocument(Protocol):
    """A parsed request body, as `json_document.read` returns it."""

    @property
    def value(self) -> dict[str, Any]: ...

    @property
    def notable(self) -> frozenset[str]: ...


class AnswerReader(ABC):
    """Reads one answer of one operation, event by event or as one document.

    `usage`, `model` (the one that really served), `answer_id` and `finish` are None until the answer says
    them; `error` is the provider's error object once a Signal.ERROR was returned. `written` is how many bytes
    of what was generated it has shown: no fewer than the tokens of it that a caller can see.
    """

    __slots__ = ("_left", "_like", "answer_id", "error", "finish", "model", "usage", "written")

    def __init__(self) -> None:
        self._like: SimilarEvents | None = None
        self._left = _LIKENESSES
        self.usage: Usage | None = None
        self.model: str | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.error: Mapping[str, Any] | None = None
        self.written = 0

    def event(self, name: bytes, data: bytes) -> Signal:
        """What this event of a stream means; nothing, for an operation that has no streams.

        Data that is no JSON means nothing either, and is no error, unless the event's name is.
        """
        del name, data
        return Signal.NOTHING

    def learn(self, piece: bytes, data: bytes) -> None:
        """Remember what `piece` looks like: it was one whole event, `data`, and no more than CONTENT."""
        like = self._like
        if not self._left or b"\\" in piece or (like is not None and like.begins(piece)):
            return
        self._left -= 1
        if (text := self._text(data)) is not None:
            self._like = SimilarEvents.of(piece, *text) or like

    def skim(self, piece: bytes) -> bool:
        """Whether `piece` is one whole event of CONTENT, like one that was learnt. If so, it has been read.

        This is for every token: it gives what `event` would, for a third of what that costs.
        """
        like = self._like
        if like is None or not (text_size := like.text_size(piece)):
            return False
        self.written += text_size
        return True

    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        """Of an event of CONTENT: the name of the member that holds all that it says, that text, and the
        event's number where that is read.

        None for an event that says more than that.
        """
        del data
        return None

    @abstractmethod
    def document(self, value: object) -> Signal:
        """What this whole body means: CONTENT, ERROR, or NOTHING if it is no answer at all."""

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        """The one event that ends a stream that broke; empty where the operation has no streams."""
        del code, message, request_id
        return b""

    def restarted(self, reason: str, attempt: int) -> bytes:
        """The event that tells a client to forget this stream, since another follows from its start."""
        del reason, attempt
        return b""


def _asks_nothing(value: dict[str, Any]) -> dict[str, Any]:
    del value
    return {}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked of a provider.

    `path` is where callers send it; `upstream_path` is appended to the provider's base URL. `reader` makes
    the reader of one answer. `check` raises Refusal for a request of the wrong shape. `bound` tells whether
    the request names state that lives at one provider, so that it must not move to another;
    `answers_have_ids`, that a later request may name the answer to this one. `limits` are the members that
    limit the output, the dialect's own name first; an operation without any generates nothing.

    `usage_request` gives the members that ask a stream for its usage where the caller does not ask, and
    `usage_filter` makes the filter that removes the answer to them again.
    """

    name: str
    dialect: str
    path: str
    upstream_path: str
    reader: Callable[[], AnswerReader]
    check: Callable[[dict[str, Any]], None]
    bound: Callable[[RequestDocument], bool]
    answers_have_ids: bool = False
    limits: tuple[str, ...] = ()
    usage_request: Callable[[dict[str, Any]], dict[str, Any]] = _asks_nothing
    usage_filter: Callable[[], UsageEventFilter] | None = None

    @property
    def limit_field(self) -> str | None:
        """The member that limits the output of a request; None for an operation that writes nothing."""
        return self.limits[0] if self.limits else None

    def requested_output(self, value: dict[str, Any]) -> int | None:
        """The most tokens of output that the request allows for one choice; None where it sets no limit."""
        limits_given = [given for name in self.limits if type(given := value.get(name)) is int]
        return max(limits_given, default=None)
