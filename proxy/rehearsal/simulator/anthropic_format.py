"""Builds good answers in Anthropic's format: Messages and token counts."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from typing_extensions import override

from .answer import Document
from .answer_format import AnswerFormat, Stream

__all__ = ["AnthropicFormat"]


@dataclass(frozen=True)
class AnthropicFormat(AnswerFormat):
    """Builds good answers in Anthropic's format: Messages and token counts."""

    @override
    def unary(self) -> Document:
        return {"input_tokens": self.inputs} if self.api == "count_tokens" else self.message(over=True)

    @override
    def stream(self) -> Stream:
        return self.message_events()

    def message(self, *, over: bool) -> Document:
        # Anthropic sends `citations` only in a block that has some; the null is the SDK's.
        block: Document = {"type": "text", "text": self.text}
        if self.arguments is not None:
            block = self.tool_use() | {"input": orjson.loads("".join(self.arguments))}
        reason = "end_turn" if self.arguments is None else "tool_use"
        return {
            "id": f"msg_{self.canary}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [block] if over else [],
            "stop_reason": reason if over else None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": self.usage(len(self.deltas) if over else 1),
        }

    def usage(self, output: int) -> Document:
        """Returns the usage up to now, for `output` tokens. Both ends of a stream report all of it."""
        return {
            "input_tokens": self.inputs,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        }

    def tool_use(self) -> Document:
        return {"type": "tool_use", "id": f"toolu_{self.canary}", "name": self.tool, "input": {}}

    def message_events(self) -> Stream:
        if self.arguments is None:
            block: Document = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in self.words]
        else:
            block = self.tool_use()
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in self.arguments]
        reason = "end_turn" if self.arguments is None else "tool_use"
        before: list[Document] = [
            {"type": "message_start", "message": self.message(over=False)},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
        ]
        content: list[Document] = [
            {"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas
        ]
        after: list[Document] = [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None, "stop_details": None},
                "usage": self.usage(len(self.deltas)),
            },
            {"type": "message_stop"},
        ]
        return before, content, after
