"""The requirements of a request on a target, read from its operation and its parsed document. No I/O.

A requirement has the name that `[targets] can = [...]` uses for it, and a reason code for a target that lacks
it. A target without `can` is assumed to be able to do everything.

Token counts are estimates, since every model counts differently. There are two: the probable number, to
compare prices by, and a lower bound. Only the lower bound excludes a target: a wrong exclusion loses the
target, while a target without enough room rejects the request before it costs anything. (The upper bound, by
which budgets are reserved, is in `token_estimate`.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..dialects.base import RequestDocument
from ..dialects.json_values import is_list, is_object, within
from ..dialects.registry import operation_named
from ..dialects.signatures import message_signatures
from .message_contents import PER_MESSAGE, MessageContents

__all__ = ["CAPABILITIES", "Requirements", "needs_of"]

CAPABILITIES: Final = MappingProxyType(
    {
        "chat": "capability.endpoint",
        "responses": "capability.endpoint",
        "embeddings": "capability.endpoint",
        "messages": "capability.endpoint",
        "count_tokens": "capability.endpoint",
        "stream": "capability.streaming",
        "tools": "capability.tools",
        "parallel_tools": "capability.parallel_tools",
        "vision": "capability.vision",
        "audio": "capability.audio",
        "documents": "capability.documents",
        "json_schema": "capability.structured_output",
        "reasoning": "capability.reasoning",
    }
)
"""Capability names with the reason code of a target that lacks it. Of several, the first is reported."""

_GUIDED: Final = ("guided_json", "structured_outputs")  # vLLM's names


class Requirements(NamedTuple):
    """The requirements of one request.

    `wants` are names of CAPABILITIES, including the operation. `input_tokens` is the probable size of the
    prompt. `room` is a lower bound of the prompt plus the requested output. `output_tokens` is the limit of
    one answer, None if the request sets none. `signatures` are the keys (`state_key`) of what a provider has
    signed or encrypted in the prompt, in order, which no other one can read. `fixed` is whether any of that
    is no reasoning, so that it cannot be left out.
    """

    operation: str
    wants: frozenset[str]
    input_tokens: int = 0
    room: int = 0
    output_tokens: int | None = None
    signatures: tuple[str, ...] = ()
    fixed: bool = False

    def at(self, operation: str) -> Requirements:
        """Returns the requirements on a target that is asked for another operation than the caller's."""
        return self._replace(operation=operation, wants=(self.wants - {self.operation}) | {operation})

    def rejection(
        self,
        can: Collection[str] | None,
        *,
        context: int | None = None,
        max_output: int | None = None,
        domain: str | None = None,
        home: str | None = None,
        strips: bool = False,
    ) -> str | None:
        """Returns the reason code why a target cannot take the request, or None if it can.

        `can`, `context` and `max_output` are those of the target's table, None if not set. `domain` names the
        group of targets that understand this target's signatures, `home` the group in which the signature of
        this request was issued. `strips` is whether reasoning may be left out where it cannot be read.
        """
        if self.signatures and domain != home and (self.fixed or not strips):
            return "state.signed"
        if can is not None and not self.wants.issubset(can):
            return next(code for name, code in CAPABILITIES.items() if name in self.wants and name not in can)
        if context is not None and self.room > context:
            return "capability.context_window"
        if max_output is not None and self.output_tokens is not None and self.output_tokens > max_output:
            return "capability.output_length"
        return None


def needs_of(document: RequestDocument, operation: str, *, input_tokens: int | None = None) -> Requirements:
    """Returns the requirements of the request in `document`.

    `operation` is a name of `dialects.registry`; raises KeyError for another. `input_tokens` is the size of
    the prompt if it has been counted, and replaces both estimates.
    """
    value = document.value
    contents = MessageContents()
    wants = contents.wants
    wants.add(operation)
    _READERS[operation](value, contents)
    contents.rest()
    if value.get("stream") is True:
        wants.add("stream")
    if "parallel_tools" in wants and "tools" not in wants:
        wants.remove("parallel_tools")  # allowed, but there are no tools to call
    probably, least = contents.tokens() if input_tokens is None else (input_tokens, input_tokens)
    output = operation_named(operation).requested_output(value)
    return Requirements(
        operation,
        frozenset(wants),
        probably,
        least + (output or 0),
        output,
        tuple(contents.signatures),
        contents.fixed,
    )


def _chat(value: dict[str, Any], contents: MessageContents) -> None:
    messages = value.get("messages")
    if is_list(messages):
        contents.extra += PER_MESSAGE * len(messages)
        for message in messages:
            if message.__class__ is dict:
                contents.content(message.get("content"))
                if len(message) > 2 or "content" not in message:  # more than a role and content
                    _earlier_answer(message, contents)
    contents.tools(value.get("tools"))
    contents.tools(value.get("functions"))
    if value.get("parallel_tool_calls") is True:
        contents.wants.add("parallel_tools")
    modalities = value.get("modalities")
    if is_list(modalities) and "audio" in modalities:
        contents.wants.add("audio")
    if within(value.get("response_format"), "type") == "json_schema" or any(map(value.get, _GUIDED)):
        contents.wants.add("json_schema")
    if _wants_effort(value.get("reasoning_effort")) or _wants_reasoning(value.get("reasoning")):
        contents.wants.add("reasoning")


def _earlier_answer(message: dict[str, Any], contents: MessageContents) -> None:
    """Read an earlier answer with its tool calls, audio and reasoning, or the result of a tool."""
    if (
        "tool_call_id" in message
        or message.get("role") == "function"
        or is_object(message.get("function_call"))
    ):
        contents.wants.add("tools")
    calls = message.get("tool_calls")
    if is_list(calls) and calls:
        contents.wants.add("tools")
        if len(calls) > 1:
            contents.wants.add("parallel_tools")
        for call in calls:
            contents.text(within(within(call, "function"), "arguments"))
    if message.get("audio") is not None:
        contents.wants.add("audio")
    for _, signature in message_signatures(message):
        contents.sign(signature)


def _responses(value: dict[str, Any], contents: MessageContents) -> None:
    contents.text(value.get("instructions"))
    items = value.get("input")
    if is_list(items):
        contents.extra += PER_MESSAGE * len(items)
        previous_called = 0
        for item in items:
            called = 0
            if item.__class__ is dict:
                kind = item.get("type")
                if kind.__class__ is str and kind != "message":
                    called = contents.part(kind, item)
                    if called and previous_called:  # two calls in a row were made in parallel
                        contents.wants.add("parallel_tools")
                else:
                    contents.content(item.get("content"))
            previous_called = called
    else:
        contents.text(items)
    contents.tools(value.get("tools"))
    if value.get("parallel_tool_calls") is True:
        contents.wants.add("parallel_tools")
    if within(within(value.get("text"), "format"), "type") == "json_schema":
        contents.wants.add("json_schema")
    if _wants_reasoning(value.get("reasoning")):
        contents.wants.add("reasoning")


def _messages(value: dict[str, Any], contents: MessageContents) -> None:
    contents.content(value.get("system"))
    messages = value.get("messages")
    if is_list(messages):
        contents.extra += PER_MESSAGE * len(messages)
        for message in messages:
            if message.__class__ is dict and contents.content(message.get("content")) > 1:
                contents.wants.add("parallel_tools")
    contents.tools(value.get("tools"))
    if within(value.get("tool_choice"), "disable_parallel_tool_use") is False:
        contents.wants.add("parallel_tools")
    config = value.get("output_config")
    for output_format in (value.get("output_format"), within(config, "format")):
        if within(output_format, "type") == "json_schema":
            contents.wants.add("json_schema")
    # A tuple, since the value may be of an unhashable type.
    if within(value.get("thinking"), "type") in ("adaptive", "enabled") or _wants_effort(
        within(config, "effort")
    ):
        contents.wants.add("reasoning")


def _embeddings(value: dict[str, Any], contents: MessageContents) -> None:
    inputs = value.get("input")
    if is_list(inputs):
        contents.batch(inputs)
    else:
        contents.text(inputs)
    messages = value.get("messages")
    if is_list(messages):  # vLLM embeds conversations too
        for message in messages:
            contents.content(within(message, "content"))


def _wants_effort(effort: object) -> bool:
    return isinstance(effort, str) and effort != "none"


def _wants_reasoning(reasoning: object) -> bool:
    """Whether reasoning is requested. `{"effort": "none"}` and `{"enabled": false}` do not request it."""
    if not is_object(reasoning) or reasoning.get("enabled") is False:
        return False
    return any(option is not None and option != "none" for option in reasoning.values())


_READERS: Final[Mapping[str, Callable[[dict[str, Any], MessageContents], None]]] = MappingProxyType(
    {
        "chat": _chat,
        "responses": _responses,
        "embeddings": _embeddings,
        "messages": _messages,
        "count_tokens": _messages,
    }
)
