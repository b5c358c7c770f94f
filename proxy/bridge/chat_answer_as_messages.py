"""Translates an answer of OpenAI's Chat Completions into one of Anthropic's Messages."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from typing_extensions import override

from ..dialects.json_values import is_list, text, within
from .answer_translator import Question, UnreadableAnswer
from .chat_answer import CallPiece, said
from .chat_stages import ChatStage
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


class ChatAnswerAsMessages(ChatStage):
    """Translates one completion into one message. Reasoning is left out, since nobody has signed it."""

    PREFIX = "msg_"

    __slots__ = ("_blocks", "_call_at", "_open")

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self._blocks = 0
        self._open: list[int] = []  # the blocks that have begun, and not ended
        self._call_at: dict[int, int] = {}  # the block of each tool call

    @override
    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        message = self._message(value)
        texts = (said(message.get("content")), said(message.get("refusal")))
        blocks: list[dict[str, Any]] = [{"type": "text", "text": each} for each in texts if each]
        calls = message.get("tool_calls")
        cut = self._finish == "length"
        blocks += [_use(at, call, cut=cut) for at, call in enumerate(calls if is_list(calls) else ())]
        return {**self._head(), "content": blocks, **self._ending(calls=bool(calls))}

    @override
    def _begin(self) -> list[dict[str, Any]]:
        # What the prompt took is told at the end, when OpenAI tells it.
        head: dict[str, Any] = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        return [{"type": "message_start", "message": {**head, "usage": message_usage(None)}}]

    @override
    def _say(self, written: str, *, refuses: bool) -> list[dict[str, Any]]:
        del refuses  # the stop reason tells it
        events: list[dict[str, Any]] = []
        if not self._open or self._open[-1] in self._call_at.values():
            events.append(self._start({"type": "text", "text": ""}))
        delta = {"type": "text_delta", "text": written}
        return [*events, {"type": "content_block_delta", "index": self._open[-1], "delta": delta}]

    @override
    def _call(self, piece: CallPiece) -> list[dict[str, Any]]:
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

    @override
    def _end(self) -> list[dict[str, Any]]:
        ending = self._ending(calls=bool(self._call_at))
        usage = ending.pop("usage")
        return [
            *self._close(),
            {"type": "message_delta", "delta": ending, "usage": usage},
            {"type": "message_stop"},
        ]

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
