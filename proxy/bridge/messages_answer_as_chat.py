"""Translates an answer of Anthropic's Messages into one of OpenAI's Chat Completions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from typing_extensions import override

from ..dialects.json_values import is_list, is_object, number, text, within
from ..dialects.message_usage import MessageUsage
from .answer_translator import AnswerTranslator, Question, UnreadableAnswer, answer_id
from .tool_arguments import written
from .usage_members import chat_usage

__all__ = ["MessagesAnswerAsChat"]

_FINISHES: Final = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)
_ID: Final = "chatcmpl-"


class MessagesAnswerAsChat(AnswerTranslator):
    """Translates one message into one completion. Thinking is left out: a chat answer has no place for it."""

    __slots__ = ("_call_at", "_calls", "_counted", "_finish", "_id", "_model", "_over", "_written")

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self._id = answer_id(question.identifier, _ID)
        self._model = question.model
        self._counted = MessageUsage()
        self._calls = 0
        self._call_at: dict[int, int] = {}  # the place of a block among the tool calls
        self._written: set[int] = set()  # the calls with arguments
        self._finish: str | None = None
        self._over = False

    @override
    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        blocks = value.get("content")
        if value.get("type") != "message" or not is_list(blocks):
            raise UnreadableAnswer("no message")
        self._identify(value)
        texts = [block["text"] for block in blocks if isinstance(within(block, "text"), str)]
        calls = [_call(block) for block in blocks if within(block, "type") == "tool_use"]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(texts) if texts or not calls else None,
            "refusal": None,
        }
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _FINISHES.get(text(value.get("stop_reason")) or "", "stop"),
        }
        answer: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self.question.created,
            "model": self._model,
            "choices": [choice],
        }
        if (usage := self._counted.usage) is not None:
            answer["usage"] = chat_usage(usage)
        return answer

    @override
    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event.get("index"), event.get("delta"))
        if kind == "content_block_start":
            return self._begin(event.get("index"), event.get("content_block"))
        if kind == "content_block_stop":
            return self._close(event.get("index"))
        if kind == "message_start":
            self._identify(event.get("message"))
            return [self._chunk({"role": "assistant", "content": None, "refusal": None})]
        if kind == "message_delta":
            return self._finished(event)
        if kind == "message_stop":
            self.ended = True
            return self.end()
        return []

    @override
    def is_thinking(self, event: dict[str, Any]) -> bool:
        return event.get("type") == "content_block_delta"

    @override
    def end(self) -> list[dict[str, Any]]:
        usage = self._counted.usage
        if self._over or not self.question.wants_usage or usage is None:
            return []
        self._over = True
        return [{**self._base(), "choices": [], "usage": chat_usage(usage)}]

    def _identify(self, message: object) -> None:
        if not is_object(message):
            return
        self._id = answer_id(text(message.get("id")) or self.question.identifier, _ID)
        self._model = text(message.get("model")) or self._model
        self._count(message.get("usage"))

    def _count(self, usage: object) -> None:
        if is_object(usage):
            self._counted.add(usage)

    def _base(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self.question.created,
            "model": self._model,
        }

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._base(), "choices": [choice]}
        if self.question.wants_usage:
            chunk["usage"] = None
        return chunk

    def _begin(self, index: object, block: object) -> list[dict[str, Any]]:
        if within(block, "type") == "tool_use" and isinstance(index, int):
            at = self._call_at[index] = self._calls
            self._calls += 1
            function = {"name": within(block, "name"), "arguments": ""}
            call = {"index": at, "id": within(block, "id"), "type": "function", "function": function}
            chunks = [self._chunk({"tool_calls": [call]})]
            if (given := within(block, "input")) and (whole := written(given)) is not None:
                chunks += self._arguments(at, whole)  # some servers send them at once
            return chunks
        begun = text(within(block, "text"))
        return [] if begun is None else [self._chunk({"content": begun})]

    def _delta(self, index: object, delta: object) -> list[dict[str, Any]]:
        if (more := text(within(delta, "text"))) is not None:
            return [self._chunk({"content": more})]
        part, at = text(within(delta, "partial_json")), self._call(index)
        return [] if part is None or at is None else self._arguments(at, part)

    def _call(self, index: object) -> int | None:
        """Returns the place of a block among the tool calls, None if it is none."""
        return self._call_at.get(index) if isinstance(index, int) else None

    def _close(self, index: object) -> list[dict[str, Any]]:
        at = self._call(index)
        # A call without arguments: clients parse what they were sent as JSON.
        return [] if at is None or at in self._written else self._arguments(at, "{}")

    def _arguments(self, at: int, part: str) -> list[dict[str, Any]]:
        self._written.add(at)
        return [self._chunk({"tool_calls": [{"index": at, "function": {"arguments": part}}]})]

    def _finished(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        usage = event.get("usage")
        if number(within(usage, "output_tokens")) is None:
            self._counted.forget_output()  # the count of message_start is not the final one
        self._count(usage)
        reason = text(within(event.get("delta"), "stop_reason"))
        if reason is None or self._finish is not None:
            return []
        self._finish = _FINISHES.get(reason, "stop")
        return [self._chunk({}, self._finish)]


def _call(block: dict[str, Any]) -> dict[str, Any]:
    given = block.get("input")
    arguments = written(given) if is_object(given) else None
    if arguments is None:
        raise UnreadableAnswer("a tool call without input")
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}
