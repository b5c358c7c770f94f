"""Translates an answer of OpenAI's Chat Completions into one of Anthropic's Messages."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from typing_extensions import override

from ..dialects.json_values import is_list, is_object, text, within
from ..dialects.usage import Usage
from .answer_translator import AnswerTranslator, Question, UnreadableAnswer, answer_id
from .chat_answer import CallPieces, first_choice, is_thinking, said, usage_of
from .tool_arguments import arguments_of
from .usage_members import message_usage

__all__ = ["ChatAnswerAsMessages"]

_STOPS: Final = MappingProxyType(
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "function_call": "tool_use",
        "content_filter": "refusal",
    }
)
_ID: Final = "msg_"


class ChatAnswerAsMessages(AnswerTranslator):
    """Translates one completion into one message. Reasoning is left out, since nobody has signed it."""

    __slots__ = (
        "_begun",
        "_blocks",
        "_call_at",
        "_finish",
        "_id",
        "_model",
        "_open",
        "_over",
        "_pieces",
        "_refused",
        "_usage",
    )

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self._id = answer_id(question.identifier, _ID)
        self._begun = False
        self._model = question.model
        self._blocks = 0
        self._open: list[int] = []  # the blocks that have begun, and not ended
        self._pieces = CallPieces()
        self._call_at: dict[int, int] = {}  # the block of each tool call
        self._finish: str | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._over = False

    @override
    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        choice = first_choice(value)
        message = within(choice, "message")
        if not is_object(message):
            raise UnreadableAnswer("no message")
        self._identify(value)
        self._usage = usage_of(value)
        written, refusal = said(message.get("content")), said(message.get("refusal"))
        blocks: list[dict[str, Any]] = [{"type": "text", "text": each} for each in (written, refusal) if each]
        calls = message.get("tool_calls")
        self._finish, self._refused = text(within(choice, "finish_reason")), bool(refusal)
        cut = self._finish == "length"
        blocks += [_use(at, call, cut=cut) for at, call in enumerate(calls if is_list(calls) else ())]
        return {**self._head(), "content": blocks, **self._ending(calls=bool(calls))}

    @override
    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if (usage := usage_of(event)) is not None:
            self._usage = usage.larger(self._usage)
        events: list[dict[str, Any]] = []
        if not self._begun:
            if not (self._identify(event) or first_choice(event)):
                return []  # Azure's first chunk has neither an id nor a choice
            self._begun = True
            # What the prompt took is told at the end, when OpenAI tells it.
            head: dict[str, Any] = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
            events.append({"type": "message_start", "message": {**head, "usage": message_usage(None)}})
        choice = first_choice(event)
        delta = within(choice, "delta")
        if is_object(delta):
            if written := said(delta.get("content")):
                events += self._text(written)
            if refusal := said(delta.get("refusal")):
                self._refused = True
                events += self._text(refusal)
            calls = delta.get("tool_calls")
            for call in calls if is_list(calls) else ():
                events += self._call(call)
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
        ending = self._ending(calls=bool(self._call_at))
        usage = ending.pop("usage")
        return [
            *self._close(),
            {"type": "message_delta", "delta": ending, "usage": usage},
            {"type": "message_stop"},
        ]

    def _identify(self, value: dict[str, Any]) -> bool:
        """Take the model and the id, and return whether there is an id."""
        self._model = text(value.get("model")) or self._model
        if (identifier := text(value.get("id"))) is None:
            return False
        self._id = answer_id(identifier, _ID)
        return True

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
        }

    def _ending(self, *, calls: bool) -> dict[str, Any]:
        reason = "refusal" if self._refused else _STOPS.get(self._finish or "", "end_turn")
        if calls and reason == "end_turn":
            reason = "tool_use"  # some servers say "stop" after a call as well
        return {"stop_reason": reason, "stop_sequence": None, "usage": message_usage(self._usage)}

    def _text(self, written: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if not self._open or self._open[-1] in self._call_at.values():
            events.append(self._start({"type": "text", "text": ""}))
        delta = {"type": "text_delta", "text": written}
        return [*events, {"type": "content_block_delta", "index": self._open[-1], "delta": delta}]

    def _call(self, call: object) -> list[dict[str, Any]]:
        if (piece := self._pieces.read(call)) is None:
            return []
        events: list[dict[str, Any]] = []
        if piece.name is not None:
            if not self._call_at:
                events += self._close()  # the text before the calls
            identifier = piece.identifier or f"toolu_{piece.at}"
            block: dict[str, Any] = {"type": "tool_use", "id": identifier, "name": piece.name, "input": {}}
            events.append(self._start(block))
            self._call_at[piece.at] = self._open[-1]
        if piece.arguments is not None:
            delta = {"type": "input_json_delta", "partial_json": piece.arguments}
            events.append({"type": "content_block_delta", "index": self._call_at[piece.at], "delta": delta})
        return events

    def _start(self, block: dict[str, Any]) -> dict[str, Any]:
        index = self._blocks
        self._blocks += 1
        self._open.append(index)
        return {"type": "content_block_start", "index": index, "content_block": block}

    def _close(self) -> list[dict[str, Any]]:
        """Returns the ends of all blocks. Those of calls stay open until then, as fragments may alternate."""
        closed, self._open = self._open, []
        return [{"type": "content_block_stop", "index": index} for index in closed]


def _use(at: int, call: object, *, cut: bool) -> dict[str, Any]:
    """Returns a tool call as a block. Arguments that a limit has `cut` off are no JSON, and left out."""
    function = within(call, "function")
    name, given = text(within(function, "name")), arguments_of(within(function, "arguments") or "")
    if given is None and cut:
        given = {}
    if name is None or given is None:
        raise UnreadableAnswer("a tool call without a name, or whose arguments are no object")
    return {"type": "tool_use", "id": text(within(call, "id")) or f"toolu_{at}", "name": name, "input": given}
