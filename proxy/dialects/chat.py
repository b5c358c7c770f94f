"""`POST /v1/chat/completions`, as OpenAI and the many servers that follow it speak it.

A stream is `data:` lines of chunks and ends with `data: [DONE]`. Servers differ in what they add (Azure
begins with a chunk of filter results, OpenRouter reports a failure as `finish_reason: "error"`, vLLM puts
an error object into a 200), so what counts is what a chunk holds, never which one it is.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import COMPLETION_NAMES, error_of, is_list, is_object, openai_usage, size, text, within
from .provider_state import names_state
from .request_shapes import check_chat
from .usage import Usage
from .usage_event_filter import UsageEventFilter

__all__ = ["OPERATION", "ChatReader"]

_loads: Final = orjson.loads
# An enum's member costs a descriptor call each time it is read from its class.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
_WORDS: Final = ("tool_calls", "reasoning_content", "reasoning", "refusal", "function_call")
_BYTES_PER_SOUND: Final = 100  # of audio for one token, as `token_estimate` has it


class ChatReader(AnswerReader):
    """Reads one chat completion."""

    __slots__ = ()

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            chunk = _loads(data)
        except orjson.JSONDecodeError:
            return Signal.END if data.strip() == b"[DONE]" else self._no_object(name)
        if chunk.__class__ is not dict:  # orjson makes no subclasses, and this is read for every token
            return self._no_object(name)
        if (error := chunk.get("error")) or name == b"error":
            return self._failed(error or chunk)
        if (usage := chunk.get("usage")) is not None:
            self.usage = _usage(usage) or self.usage
        if self.model is None or self.answer_id is None:
            self._identify(chunk)
        return self._judge(chunk)

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        if error := value.get("error"):
            return self._failed(error)
        self._identify(value)
        self.usage = _usage(value.get("usage"))
        choices = value.get("choices")
        if not is_list(choices) or not choices:
            return Signal.NOTHING
        for choice in choices:
            if is_object(message := within(choice, "message")):
                self.written += size(message.get("content")) + _other_output(message)
        failed = self._judge(value) is Signal.ERROR
        return Signal.ERROR if failed else Signal.CONTENT

    @override
    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        chunk = _loads(data)
        choices = chunk["choices"]
        delta = within(choices[0], "delta") if len(choices) == 1 else None
        if not is_object(delta) or _other_output(delta) or chunk.get("usage") is not None:
            return None
        return b"content", delta.get("content"), None

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        error = {
            "message": message,
            "type": "server_error",
            "param": None,
            "code": code,
            "request_id": request_id,
        }
        # The blank line ends whatever event the provider left half-sent, which would swallow this one.
        return b"\n\ndata: " + orjson.dumps({"error": error}) + b"\n\n"

    def restarted(self, reason: str, attempt: int) -> bytes:
        event: dict[str, object] = {
            # A chunk without choices, so that typed clients which do not know of this find nothing in it.
            "id": self.answer_id or "",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.model or "",
            "choices": [],
            "standby": {"restart": {"reason": reason, "attempt": attempt}},
        }
        return b"\n\ndata: " + orjson.dumps(event) + b"\n\n"

    def _judge(self, chunk: dict[str, Any]) -> Signal:
        sign = _NOTHING
        choices = chunk.get("choices", ())
        if choices.__class__ is not list:
            return sign
        for choice in choices:
            if choice.__class__ is not dict:
                continue
            if (delta := choice.get("delta")).__class__ is dict:
                content = delta.get("content")
                # This runs for every token; most chunks say nothing but a little text.
                said = len(content) if content.__class__ is str and content.isascii() else size(content)
                if len(delta) > 1 or not said:
                    said += _other_output(delta)
                if said:
                    self.written += said
                    if sign is _NOTHING:
                        sign = _CONTENT
            if choice.get("finish_reason"):
                sign = max(sign, self._finished(chunk, choice))
        return sign

    def _identify(self, chunk: dict[str, Any]) -> None:
        # Azure's first chunk has both, empty.
        self.model = self.model or text(chunk.get("model"))
        self.answer_id = self.answer_id or text(chunk.get("id"))

    def _finished(self, chunk: dict[str, Any], choice: dict[str, Any]) -> Signal:
        reason = text(choice["finish_reason"])
        if reason == "error":
            return self._failed(choice.get("error") or {})
        self.finish = reason or self.finish
        if self.usage is None:
            # Moonshot puts usage in the choice, Groq under its own name.
            self.usage = _usage(choice.get("usage")) or _usage(within(chunk.get("x_groq"), "usage"))
        return Signal.FINISH

    def _no_object(self, name: bytes) -> Signal:
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        return Signal.ERROR


def _other_output(said: dict[str, Any]) -> int:
    """Bytes of what a message, or a piece of one, says besides its `content`."""
    total = 0
    for name in _WORDS:
        if value := said.get(name):
            total += size(value)
    if audio := said.get("audio"):
        total += 1 + size(within(audio, "transcript")) + size(audio) // _BYTES_PER_SOUND
    return total


def _usage(value: object) -> Usage | None:
    return openai_usage(value, COMPLETION_NAMES)


def _bound(document: RequestDocument) -> bool:
    """Whether the request stores its answer, or refers to a file or to audio that a provider keeps.

    A request that says nothing about `store` is free to move: whatever a provider stores by default, nothing
    in this request depends on it, and the caller cannot know the id before it has the answer.
    """
    value = document.value
    if value.get("store") is True:
        return True
    messages = value.get("messages")
    if is_list(messages):
        for said in messages:
            if is_object(said) and "audio" in said and within(said["audio"], "id") is not None:
                return True
    return names_state(document, "messages")


def _asks_usage(value: dict[str, Any]) -> dict[str, Any]:
    """What a stream has to be asked besides for its usage; nothing where the caller has said either way."""
    options: dict[str, Any] = value.get("stream_options") or {}
    if options.get("include_usage") is not None:
        return {}
    return {"stream_options": {**options, "include_usage": True}}


OPERATION: Final = Operation(
    name="chat",
    dialect="openai",
    path="/v1/chat/completions",
    upstream_path="/chat/completions",
    reader=ChatReader,
    check=check_chat,
    bound=_bound,
    limits=("max_completion_tokens", "max_tokens"),
    usage_request=_asks_usage,
    usage_filter=UsageEventFilter,
)
