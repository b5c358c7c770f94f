"""`POST /v1/chat/completions`, as implemented by OpenAI and by compatible servers.

A stream consists of `data:` lines with chunks and ends with `data: [DONE]`. Servers differ in their
additions: Azure begins with a chunk of filter results, OpenRouter reports a failure as `finish_reason:
"error"`, vLLM puts an error object into a 200. So a chunk is classified by its content, never by its
position.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import (
    COMPLETION_NAMES,
    error_of,
    is_list,
    is_object,
    lenient,
    openai_usage,
    served_tier,
    size,
    text,
    within,
)
from .json_values import name as named
from .provider_state import names_state
from .request_shapes import check_chat
from .signatures import SIGNED_MEMBERS, message_signatures
from .state_key import content_key, id_key
from .usage import Usage
from .usage_event_filter import UsageEventFilter

__all__ = ["OPERATION", "ChatReader"]

_loads: Final = orjson.loads
# Looking up an enum member on its class costs a descriptor call.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
_OUTPUT_MEMBERS: Final = ("tool_calls", "reasoning_content", "reasoning", "refusal", "function_call")
_FURTHER_MEMBERS: Final = frozenset({*_OUTPUT_MEMBERS, "audio"})
_ISSUING_MEMBERS: Final = frozenset({*SIGNED_MEMBERS, "audio"})
_AUDIO_BYTES_PER_TOKEN: Final = 100  # bytes of audio per token, as in `token_estimate`


class ChatReader(AnswerReader):
    """Reads one chat completion."""

    __slots__ = ()

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            chunk = _loads(data)
        except orjson.JSONDecodeError:
            if data.strip() == b"[DONE]":
                return Signal.END
            chunk = lenient(data)
        if chunk.__class__ is not dict:  # orjson returns no subclasses; a hot path, run for every token
            return self._not_an_object(name)
        if (usage := chunk.get("usage")) is not None:
            self._count(usage)
            self.tier = served_tier(chunk.get("service_tier")) or self.tier
        if (error := chunk.get("error")) or name == b"error":
            return self._failed(error or chunk)
        if self.model is None or self.answer_id is None:
            self._identify(chunk)
        signal = self._read_choices(chunk)
        if usage is not None:
            self.counted_at = self.written
        return signal

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        self._count(value.get("usage"))
        if error := value.get("error"):
            return self._failed(error)
        self._identify(value)
        choices = value.get("choices")
        if not is_list(choices) or not choices:
            return Signal.NOTHING
        for choice in choices:
            if is_object(message := within(choice, "message")):
                self.written += size(message.get("content")) + _other_output(message)
                self._issue_of(message)
        failed = self._read_choices(value) is Signal.ERROR
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
        # The leading blank line ends an incomplete event of the provider's, which would absorb this one.
        return b"\n\ndata: " + orjson.dumps({"error": error}) + b"\n\n"

    def restarted(self, reason: str, attempt: int) -> bytes:
        event: dict[str, object] = {
            # A chunk without choices, so that a typed client without support for restarts ignores it.
            "id": self.answer_id or "",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.model or "",
            "choices": [],
            "standby": {"restart": {"reason": reason, "attempt": attempt}},
        }
        return b"\n\ndata: " + orjson.dumps(event) + b"\n\n"

    def _read_choices(self, chunk: dict[str, Any]) -> Signal:
        signal = _NOTHING
        choices = chunk.get("choices", ())
        if choices.__class__ is not list:
            return signal
        for choice in choices:
            if choice.__class__ is not dict:
                continue
            if (delta := choice.get("delta")).__class__ is dict:
                content = delta.get("content")
                # A hot path, run for every token: most chunks hold only a short text.
                output = len(content) if content.__class__ is str and content.isascii() else size(content)
                if len(delta) > 1 or not output:
                    output += _other_output(delta)
                    self._issue_of(delta)
                if output:
                    self.written += output
                    if signal is _NOTHING:
                        signal = _CONTENT
            if choice.get("finish_reason"):
                signal = max(signal, self._finished(chunk, choice))
        return signal

    def _issue_of(self, message: dict[str, Any]) -> None:
        """Tell the signatures of reasoning in a message or a delta, and the id of its audio."""
        if _ISSUING_MEMBERS.isdisjoint(message):
            return
        for _, signature in message_signatures(message):
            self._issue(content_key(signature))
        if (audio := message.get("audio")) is not None:
            self._issue_id(within(audio, "id"))

    def _identify(self, chunk: dict[str, Any]) -> None:
        # Azure's first chunk has both as empty strings.
        self.model = self.model or named(chunk.get("model"))
        self.answer_id = self.answer_id or named(chunk.get("id"))
        self.tier = self.tier or served_tier(chunk.get("service_tier"))

    def _count(self, usage: object) -> None:
        if (counted := _usage(usage)) is not None:
            self.usage = counted.larger(self.usage)

    def _finished(self, chunk: dict[str, Any], choice: dict[str, Any]) -> Signal:
        reason = text(choice["finish_reason"])
        if self.usage is None:
            # Moonshot puts the usage into the choice, Groq into `x_groq`.
            self.usage = _usage(choice.get("usage")) or _usage(within(chunk.get("x_groq"), "usage"))
        if reason == "error":
            return self._failed(choice.get("error") or {})
        self.finish = reason or self.finish
        self.tier = served_tier(chunk.get("service_tier")) or self.tier
        return Signal.FINISH

    def _not_an_object(self, name: bytes) -> Signal:
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        return Signal.ERROR


def _other_output(message: dict[str, Any]) -> int:
    """Bytes of model output in a message or a delta, without its `content`."""
    if _FURTHER_MEMBERS.isdisjoint(message):
        return 0
    total = 0
    for name in _OUTPUT_MEMBERS:
        if value := message.get(name):
            total += size(value)
    if audio := message.get("audio"):
        total += 1 + size(within(audio, "transcript")) + size(audio) // _AUDIO_BYTES_PER_TOKEN
    return total


def _usage(value: object) -> Usage | None:
    return openai_usage(value, COMPLETION_NAMES)


def _audios(document: RequestDocument) -> tuple[tuple[str, str], ...]:
    """Returns the ids of earlier audio that the messages refer to, each with its place."""
    messages = document.value.get("messages")
    ids = [
        (within(within(message, "audio"), "id"), f"messages[{at}].audio.id")
        for at, message in enumerate(messages if is_list(messages) else ())
    ]
    return tuple([(id_key(key), place) for key, place in ids if isinstance(key, str)])


def _bound(document: RequestDocument) -> bool:
    """Whether the request refers to a file or to audio stored at a provider.

    A request with `store` is not bound: nothing in it depends on what is stored before.
    """
    value = document.value
    messages = value.get("messages")
    if is_list(messages):
        for message in messages:
            if is_object(message) and "audio" in message and within(message["audio"], "id") is not None:
                return True
    return names_state(document, "messages")


def _usage_request(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the members that make a stream report its usage; empty if the caller asks for it.

    A caller who wants none does not get it, but without it hidden reasoning would cost nothing.
    """
    options: dict[str, Any] = value.get("stream_options") or {}
    if options.get("include_usage") is True:
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
    references=_audios,
    limits=("max_completion_tokens", "max_tokens"),
    usage_request=_usage_request,
    usage_filter=UsageEventFilter,
)
