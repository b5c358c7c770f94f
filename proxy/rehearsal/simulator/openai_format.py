"""Builds good answers in OpenAI's format: Chat Completions, Responses and Embeddings."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from .answer import Document
from .answer_format import CREATED, AnswerFormat, Stream
from .response_settings import response_settings

__all__ = ["OpenAIFormat"]


@dataclass(frozen=True)
class OpenAIFormat(AnswerFormat):
    """Builds good answers in OpenAI's format: Chat Completions, Responses and Embeddings."""

    @override
    def unary(self) -> Document:
        if self.api == "chat":
            return self.chat()
        return self.response("completed") if self.api == "responses" else self.embeddings()

    @override
    def stream(self) -> Stream:
        return self.chat_events() if self.api == "chat" else self.response_events()

    def chat_usage(self, so_far: int | None = None) -> Document:
        out = self.outputs if so_far is None else so_far
        return {"prompt_tokens": self.inputs, "completion_tokens": out, "total_tokens": self.inputs + out}

    def chat_call(self, arguments: str, index: int) -> Document:
        """Returns the tool call of one choice. Each has its own id."""
        function = {"name": self.tool, "arguments": arguments}
        name = f"call_{self.canary}_{index}" if index else f"call_{self.canary}"
        return {"id": name, "type": "function", "function": function}

    def chat_choice(self, index: int) -> Document:
        message: Document = {"role": "assistant", "content": self.text, "refusal": None}
        if self.arguments is not None:
            call = self.chat_call("".join(self.arguments), index)
            message |= {"content": None, "tool_calls": [call]}
        finish = "stop" if self.arguments is None else "tool_calls"
        return {"index": index, "message": message, "finish_reason": finish, "logprobs": None}

    def chat(self) -> Document:
        return {
            "id": f"chatcmpl-{self.canary}",
            "object": "chat.completion",
            "created": CREATED,
            "model": self.model,
            "choices": [self.chat_choice(index) for index in range(self.choices)],
            "usage": self.chat_usage(),
        }

    def chat_events(self) -> Stream:
        options: Document = self.request.get("stream_options") or {}
        wants_usage = options.get("include_usage") is True and self.reports != "never"
        base: Document = {
            "id": f"chatcmpl-{self.canary}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.model,
            "system_fingerprint": f"fp_{self.canary}",
        } | ({"usage": None} if wants_usage else {})

        def chunk(index: int, delta: Document, finish: str | None = None) -> Document:
            return base | {
                "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}]
            }

        indexes = range(self.choices)
        if self.arguments is None:
            role: Document = {"role": "assistant", "content": "", "refusal": None}
            columns = [[{"content": word} for word in self.words] for _ in indexes]
            finish = "stop"
        else:
            role = {"role": "assistant", "content": None}
            columns = [self.chat_call_deltas(index) for index in indexes]
            finish = "tool_calls"
        before = [chunk(index, role) for index in indexes]
        # The choices take turns, as the model generates them at the same time.
        content = [
            chunk(index, delta) for turn in zip(*columns, strict=True) for index, delta in enumerate(turn)
        ]
        after = [chunk(index, {}, finish) for index in indexes]
        if self.reports == "running":
            before = [part | {"usage": self.chat_usage(0)} for part in before]
            content = [
                part | {"usage": self.chat_usage(min(count, self.outputs))}
                for count, part in enumerate(content, 1)
            ]
        if self.reports in ("running", "end"):
            after[-1] |= {"usage": self.chat_usage()}
        if wants_usage:
            after.append(base | {"choices": [], "usage": self.chat_usage()})
        return before, content, after

    def chat_call_deltas(self, index: int) -> list[Document]:
        """Returns the deltas of one choice's tool call: its name, then the fragments of its arguments."""
        first = {"index": 0} | self.chat_call("", index)
        parts = [{"index": 0, "function": {"arguments": part}} for part in self.arguments or ()]
        return [{"tool_calls": [call]} for call in (first, *parts)]

    def response_item(self, status: str) -> Document:
        over = status == "completed"
        if self.arguments is None:
            content = [self.response_part(self.text)] if over else []
            kind: Document = {"type": "message", "role": "assistant", "content": content}
        else:
            arguments = "".join(self.arguments) if over else ""
            kind = {
                "type": "function_call",
                "call_id": f"call_{self.canary}",
                "name": self.tool,
                "arguments": arguments,
            }
        return {"id": f"item_{self.canary}", "status": status} | kind

    def response_part(self, text: str) -> Document:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def response(self, status: str) -> Document:
        over, out = status == "completed", len(self.deltas)
        usage = {
            "input_tokens": self.inputs,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.inputs + out,
        }
        return {
            "id": f"resp_{self.canary}",
            "object": "response",
            "created_at": CREATED,
            "completed_at": CREATED if over else None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": [self.response_item("completed")] if over else [],
            "usage": usage if over else None,
        } | response_settings(self.request)

    def response_events(self) -> Stream:
        at: Document = {"item_id": f"item_{self.canary}", "output_index": 0}
        before: list[Document] = [
            {"type": "response.created", "response": self.response("in_progress")},
            {"type": "response.in_progress", "response": self.response("in_progress")},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": self.response_item("in_progress"),
            },
        ]
        after: list[Document] = []
        if self.arguments is None:
            at |= {"content_index": 0}
            kind, extra = "response.output_text", Document(logprobs=[])
            final: Document = {"text": self.text, **extra}
            before.append({"type": "response.content_part.added", **at, "part": self.response_part("")})
            after = [{"type": "response.content_part.done", **at, "part": self.response_part(self.text)}]
        else:
            kind, extra = "response.function_call_arguments", Document()
            final = {"arguments": "".join(self.arguments), "name": self.tool}
        content = [{"type": f"{kind}.delta", **at, "delta": delta, **extra} for delta in self.deltas]
        after = [
            {"type": f"{kind}.done", **at, **final},
            *after,
            {"type": "response.output_item.done", "output_index": 0, "item": self.response_item("completed")},
            {"type": "response.completed", "response": self.response("completed")},
        ]
        return before, content, after

    def embeddings(self) -> Document:
        value: Any = self.request.get("input", "")
        inputs: list[str] = [value] if isinstance(value, str) else value
        data: list[Document] = []
        for index, text in enumerate(inputs):
            digest = hashlib.shake_128(f"{self.seed} {text}".encode())
            vector: Any = [byte / 128 - 1 for byte in digest.digest(self.request.get("dimensions") or 8)]
            if self.request.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": self.inputs, "total_tokens": self.inputs}
        return {"object": "list", "data": data, "model": self.model, "usage": usage}
