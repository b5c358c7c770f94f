"""Translates a stateless request of OpenAI's Responses into one of Chat Completions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import is_list, is_object, text, within
from .chat_content import chat_content
from .tool_arguments import arguments_of
from .translation import Dropped, Members, TargetLimits, Translation, Untranslatable

__all__ = ["REQUEST", "item_of", "responses_request_as_chat"]

REQUEST: Final = Members(
    carried="model input instructions stream stream_options max_output_tokens temperature top_p tools"
    " tool_choice parallel_tool_calls text reasoning user safety_identifier include",
    dropped="metadata prompt_cache_key prompt_cache_options prompt_cache_retention service_tier truncation"
    " max_tool_calls prompt_cache_diagnostics",
    neutral=MappingProxyType(
        {
            "store": (False,),
            "background": (False,),
            "top_logprobs": (0,),
            "truncation": ("disabled",),
            "service_tier": ("auto", "default"),
            "metadata": ({},),
            "context_management": ([],),
        }
    ),
)
"""What becomes of each member of a Responses request at a target that speaks Chat Completions or Messages."""

_MESSAGE: Final = Members("type role content", dropped="id status phase", label="input[].")
_TEXT: Final = Members(
    "type text",
    dropped="annotations",
    neutral=MappingProxyType({"annotations": ([],), "logprobs": ([],)}),
    label="input[].content[].",
)
_REFUSAL: Final = Members("type refusal", label="input[].content[].")
_IMAGE: Final = Members("type image_url detail", label="input[].content[].")
_FILE: Final = Members("type file_data filename", label="input[].content[].")
_CALL: Final = Members(
    "type call_id name arguments",
    dropped="id status",
    neutral=MappingProxyType({"caller": ({"type": "direct"},)}),
    label="input[].",
)
_OUTPUT: Final = Members(
    "type call_id output",
    dropped="id status",
    neutral=MappingProxyType({"caller": ({"type": "direct"},)}),
    label="input[].",
)
_FUNCTION: Final = Members(
    "type name description parameters strict",
    neutral=MappingProxyType({"defer_loading": (False,)}),
    label="tools[].",
)
_TEXT_CONFIG: Final = Members("format", dropped="verbosity", label="text.")
_SCHEMA: Final = Members("type name schema strict description")
_REASONING: Final = Members("effort", dropped="summary generate_summary", label="reasoning.")
_INPUT_TYPES: Final = frozenset({"text", "input_text", "output_text", "summary_text"})
_LOGPROBS: Final = "message.output_text.logprobs"


def responses_request_as_chat(value: dict[str, Any], limits: TargetLimits) -> Translation:
    """Returns the request `value` in the format of Chat Completions. Raises Untranslatable."""
    dropped = Dropped()
    REQUEST.check(value, "", dropped)
    request: dict[str, Any] = {"model": value.get("model"), "messages": _messages(value, dropped)[0]}
    if value.get("max_output_tokens") is not None:
        request[limits.limit_member] = value["max_output_tokens"]
    for member in ("stream", "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier"):
        if value.get(member) is not None:
            request[member] = value[member]
    if value.get("stream") is True:
        request["stream_options"] = {"include_usage": True}
    if (include := value.get("include")) is not None:
        if not is_list(include) or _LOGPROBS in include:
            raise Untranslatable("include")
        if include:
            dropped.add("include")
    _add_tools(request, value, dropped)
    _add_output(request, value, dropped)
    return Translation(request, dropped.paths())


# -- the conversation -----------------------------------------------------------------------


def item_of(value: dict[str, Any], message: int) -> int | None:
    """Returns the index of the input item that became this message of the chat request; None if none did."""
    try:
        return _messages(value, Dropped())[1][message]
    except (Untranslatable, IndexError):
        return None


def _messages(value: dict[str, Any], dropped: Dropped) -> tuple[list[dict[str, Any]], list[int | None]]:
    """Returns the instructions and the items of the input as messages, and the index of the item of each.

    Raises Untranslatable.
    """
    messages: list[dict[str, Any]] = []
    origins: list[int | None] = []
    instructions, given = value.get("instructions"), value.get("input")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise Untranslatable("instructions")
        messages.append({"role": "system", "content": instructions})
        origins.append(None)
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif is_list(given):
        for at, item in enumerate(given):
            _add_item(messages, item, f"input[{at}]", dropped)
            origins += [at] * (len(messages) - len(origins))
    if len(messages) == (instructions is not None) or not given:
        raise Untranslatable("input")
    return messages, origins


def _add_item(messages: list[dict[str, Any]], item: object, place: str, dropped: Dropped) -> None:
    """Add an item of the input to the messages. Raises Untranslatable."""
    if not is_object(item):
        raise Untranslatable(place)
    kind = item.get("type")
    if kind == "function_call":
        _CALL.check(item, f"{place}.", dropped)
        _add_call(messages, item, place)
    elif kind == "function_call_output":
        _OUTPUT.check(item, f"{place}.", dropped)
        messages.append(_result(item, place, dropped))
    elif kind == "reasoning":
        if item.get("encrypted_content") is not None:
            raise Untranslatable(f"{place}.encrypted_content")
        dropped.add("input[].reasoning")
    elif (kind is None or kind == "message") and item.get("content") is not None:
        _MESSAGE.check(item, f"{place}.", dropped)
        messages += _message(item, place, dropped)
    else:
        raise Untranslatable(f"{place}.id" if kind is None or kind == "item_reference" else f"{place}.type")


def _message(item: dict[str, Any], place: str, dropped: Dropped) -> list[dict[str, Any]]:
    """Returns a message, or none for an item without content. Raises Untranslatable."""
    role, content = text(item.get("role")), item["content"]
    if role not in {"user", "assistant", "system", "developer"}:
        raise Untranslatable(f"{place}.role")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not is_list(content):
        raise Untranslatable(f"{place}.content")
    parts = [_part(part, f"{place}.content[{at}]", dropped) for at, part in enumerate(content)]
    return [{"role": role, "content": chat_content(parts)}] if parts else []


def _part(part: object, place: str, dropped: Dropped) -> dict[str, Any]:
    if not is_object(part):
        raise Untranslatable(place)
    kind = text(part.get("type"))
    if kind in _INPUT_TYPES and isinstance(part.get("text"), str):
        _TEXT.check(part, f"{place}.", dropped)
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        _REFUSAL.check(part, f"{place}.", dropped)
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image":
        _IMAGE.check(part, f"{place}.", dropped)
        if not isinstance(url := part.get("image_url"), str):
            raise Untranslatable(f"{place}.image_url")
        detail = {} if part.get("detail") is None else {"detail": part["detail"]}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    if kind == "input_file":
        _FILE.check(part, f"{place}.", dropped)
        if not isinstance(data := part.get("file_data"), str):
            raise Untranslatable(f"{place}.file_data")
        named = {} if part.get("filename") is None else {"filename": part["filename"]}
        return {"type": "file", "file": {**named, "file_data": data}}
    raise Untranslatable(f"{place}.type")


def _add_call(messages: list[dict[str, Any]], item: dict[str, Any], place: str) -> None:
    """Add a call to the message of the answer that it belongs to, which calls after it share."""
    identifier, name, arguments = text(item.get("call_id")), text(item.get("name")), item.get("arguments")
    if identifier is None or name is None or not isinstance(arguments, str):
        raise Untranslatable(place)
    if arguments_of(arguments) is None:
        raise Untranslatable(f"{place}.arguments")
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    call = {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
    messages[-1].setdefault("tool_calls", []).append(call)


def _result(item: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    identifier, output = text(item.get("call_id")), item.get("output")
    if identifier is None:
        raise Untranslatable(f"{place}.call_id")
    if is_list(output):
        parts = [_part(part, f"{place}.output[{at}]", dropped) for at, part in enumerate(output)]
        if any(part["type"] != "text" for part in parts):
            raise Untranslatable(f"{place}.output")
        output = chat_content(parts)
    elif not isinstance(output, str):
        raise Untranslatable(f"{place}.output")
    return {"role": "tool", "tool_call_id": identifier, "content": output}


# -- tools, output --------------------------------------------------------------------------


def _add_tools(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add the tools, and which of them may or must be called. Raises Untranslatable."""
    tools: list[dict[str, Any]] = []
    for at, tool in enumerate(value.get("tools") or ()):
        place = f"tools[{at}]"
        if tool.get("type") != "function":
            raise Untranslatable(f"{place}.type")
        _FUNCTION.check(tool, f"{place}.", dropped)
        tools.append({"type": "function", "function": _function(tool)})
    if tools:
        request["tools"] = tools
    choice = value.get("tool_choice")
    kind, name = within(choice, "type"), text(within(choice, "name"))
    if isinstance(choice, str):
        request["tool_choice"] = choice
    elif kind == "function" and name is not None:
        request["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind == "allowed_tools":
        allowed = [
            {"type": "function", "function": {"name": within(tool, "name")}}
            for tool in _listed(within(choice, "tools"))
        ]
        limited = {"mode": within(choice, "mode"), "tools": allowed}
        request["tool_choice"] = {"type": "allowed_tools", "allowed_tools": limited}
    elif choice is not None:
        raise Untranslatable("tool_choice")


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    members = ("name", "description", "parameters", "strict")
    return {member: tool[member] for member in members if tool.get(member) is not None}


def _listed(tools: object) -> list[Any]:
    if not is_list(tools) or any(within(tool, "type") != "function" for tool in tools):
        raise Untranslatable("tool_choice")
    return tools


def _add_output(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add the format of the answer and the effort of its reasoning. Raises Untranslatable."""
    for name, members in (("text", _TEXT_CONFIG), ("reasoning", _REASONING)):
        if (given := value.get(name)) is None:
            continue
        if not is_object(given):
            raise Untranslatable(name)
        members.check(given, f"{name}.", dropped)
    form = within(value.get("text"), "format")
    kind = within(form, "type")
    if is_object(form) and kind == "json_schema":
        _SCHEMA.check(form, "text.format.", dropped)
        schema = {key: inner for key, inner in form.items() if key != "type" and inner is not None}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        request["response_format"] = {"type": "json_object"}
    elif form is not None and kind != "text":
        raise Untranslatable("text.format")
    effort = within(value.get("reasoning"), "effort")
    if effort is not None:
        request["reasoning_effort"] = effort
