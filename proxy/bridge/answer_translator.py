"""What every translation of answers has in common: a stage that turns one document or event into others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["AnswerTranslator", "Question", "UnreadableAnswer", "answer_id"]

_PREFIXES: Final = ("chatcmpl-", "msg_", "resp_", "req_")


class UnreadableAnswer(ValueError):
    """A provider's answer is not what its format says, so that it cannot be translated."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a translation of an answer needs to know of the request.

    `value` is the request as the caller sent it, `model` the model of the target, and `created` the time in
    seconds since 1970. `wants_usage` is whether a chat stream is to end with its usage. `identifier` is the
    id of an answer that has none.
    """

    value: dict[str, Any]
    model: str
    created: int
    wants_usage: bool = True
    identifier: str = "0"


class AnswerTranslator(ABC):
    """Translates one answer: a whole document, or the events of a stream, one after the other.

    An event is a parsed JSON object. `ended` is set by the event that ends the provider's stream. Nothing
    raises for an event that makes no sense: it translates to nothing.
    """

    __slots__ = ("ended", "question")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.ended = False

    @abstractmethod
    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        """Returns a whole answer in the other format. Raises UnreadableAnswer."""

    @abstractmethod
    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the events of the other format that follow from one event of the provider's."""

    @abstractmethod
    def is_thinking(self, event: dict[str, Any]) -> bool:
        """Whether an event of the provider's, which translates to nothing, shows that the model thinks."""

    @abstractmethod
    def end(self) -> list[dict[str, Any]]:
        """Returns the events that end the stream. The second call returns nothing."""


def answer_id(given: str, prefix: str) -> str:
    """Returns the id of an answer with the prefix of another format, by which clients may know it."""
    identifier = given
    for known in _PREFIXES:
        identifier = identifier.removeprefix(known)
    return prefix + (identifier or "0")
