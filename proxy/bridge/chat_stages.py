"""What the translations of Chat Completions' answers have in common: reading a completion or its chunks."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from typing_extensions import override

from ..dialects.json_values import is_list, is_object, text, within
from ..dialects.usage import Usage
from .answer_translator import AnswerTranslator, Question, UnreadableAnswer, answer_id
from .chat_answer import CallPiece, CallPieces, first_choice, is_thinking, said, usage_of

__all__ = ["ChatStage"]


class ChatStage(AnswerTranslator):
    """Reads one completion. What its parts become is each format's own."""

    PREFIX: ClassVar[str]
    """That of the ids of answers in the format."""

    __slots__ = ("_begun", "_finish", "_id", "_model", "_over", "_pieces", "_refused", "_usage")

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self._id = answer_id(question.identifier, self.PREFIX)
        self._model = question.model
        self._pieces = CallPieces()
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._refused = False
        self._begun = False
        self._over = False

    @override
    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if (usage := usage_of(event)) is not None:
            self._usage = usage.larger(self._usage)
        choice, events = first_choice(event), list[dict[str, Any]]()
        if not self._begun:
            if not (self._identify(event) or choice):
                return []  # Azure's first chunk has neither an id nor a choice
            self._begun = True
            events = self._begin()
        delta = within(choice, "delta")
        if is_object(delta):
            if written := said(delta.get("content")):
                events += self._say(written, refuses=False)
            if refusal := said(delta.get("refusal")):
                self._refused = True
                events += self._say(refusal, refuses=True)
            calls = delta.get("tool_calls")
            for call in calls if is_list(calls) else ():
                if (piece := self._pieces.read(call)) is not None:
                    events += self._call(piece)
        self._finish = text(within(choice, "finish_reason")) or self._finish
        return events

    @override
    def is_thinking(self, event: dict[str, Any]) -> bool:
        return is_thinking(event)

    @override
    def end(self) -> list[dict[str, Any]]:
        if self._over or not self._begun:
            return []
        self._over = True
        return self._end()

    @abstractmethod
    def _begin(self) -> list[dict[str, Any]]:
        """Returns the events that begin the stream."""

    @abstractmethod
    def _say(self, written: str, *, refuses: bool) -> list[dict[str, Any]]:
        """Returns the events for some text, of the answer or of a refusal."""

    @abstractmethod
    def _call(self, piece: CallPiece) -> list[dict[str, Any]]:
        """Returns the events for a piece of a tool call."""

    @abstractmethod
    def _end(self) -> list[dict[str, Any]]:
        """Returns the events that end the stream."""

    def _message(self, value: dict[str, Any]) -> dict[str, Any]:
        """Returns the message of a whole completion, and takes what stands beside it. Raises
        UnreadableAnswer."""
        choice = first_choice(value)
        message = within(choice, "message")
        if not is_object(message):
            raise UnreadableAnswer("no message")
        self._identify(value)
        self._usage = usage_of(value)
        self._finish = text(within(choice, "finish_reason"))
        self._refused = bool(said(message.get("refusal")))
        return message

    def _identify(self, value: dict[str, Any]) -> bool:
        """Take the model and the id, and return whether there is an id."""
        self._model = text(value.get("model")) or self._model
        if (identifier := text(value.get("id"))) is None:
            return False
        self._id = answer_id(identifier, self.PREFIX)
        return True
