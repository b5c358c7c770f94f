"""Translates a request of Anthropic's Messages into one of OpenAI's Chat Completions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import dumped, is_list, is_object, text, within
from .chat_content import chat_content
from .data_url import data_url
from .translation import Dropped, Members, TargetLimits, Translation, Untranslatable

__all__ = ["REQUEST", "messages_request_as_chat"]

REQUEST: Final = Members(
    carried="model messages system max_tokens stream stop_sequences temperature top_p tools tool_choice"
    " metadata service_tier thinking output_config output_format",
    # What only saves tokens, or only samples: the answer means the same without it.
    dropped="top_k cache_control context_management diagnostics",
    neutral=MappingProxyType({"mcp_servers": ([],), "speed": ("standard",), "stream_options": ({},)}),
)
"""What becomes of each member of a Messages request at a target that speaks Chat Completions."""

_MESSAGE: Final = Members("role content", label="messages[].")
_TEXT: Final = Members(
    "type text",
    dropped="cache_control citations",
    neutral=MappingProxyType({"citations": ([],)}),
    label="messages[].content[].",
)
_SYSTEM: Final = Members(
    "type text",
    dropped="cache_control",
    neutral=MappingProxyType({"citations": ([],)}),
    label="system[].",
)
_IMAGE: Final = Members("type source", dropped="cache_control", label="messages[].content[].")
_DOCUMENT: Final = Members(
    "type source title",
    dropped="cache_control",
    neutral=MappingProxyType({"citations": ({}, {"enabled": False})}),
    label="messages[].content[].",
)
_USE: Final = Members(
    "type id name input",
    dropped="cache_control",
    neutral=MappingProxyType({"caller": ({"type": "direct"},)}),
    label="messages[].content[].",
)
_RESULT: Final = Members(
    "type tool_use_id content",
    dropped="cache_control is_error",
    neutral=MappingProxyType({"is_error": (False,)}),
    label="messages[].content[].",
)
_TOOL: Final = Members(
    "type name description input_schema strict",
    dropped="cache_control eager_input_streaming input_examples",
    neutral=MappingProxyType({"defer_loading": (False,), "allowed_callers": (["direct"], [])}),
    label="tools[].",
)
_CHOICE: Final = Members("type name disable_parallel_tool_use")
_METADATA: Final = Members("user_id", label="metadata.")
_OUTPUT: Final = Members("effort format", dropped="task_budget", label="output_config.")
_FORMAT: Final = Members("type schema")

_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
"""Efforts that Anthropic and OpenAI name alike."""
_BUDGETS: Final = ((4_096, "low"), (16_384, "medium"))
"""Reasoning efforts for budgets of thinking tokens up to these. A larger budget is "high"."""
_CHOICES: Final = MappingProxyType({"none": "none", "auto": "auto", "any": "required"})
_TIERS: Final = MappingProxyType({"auto": "auto", "standard_only": "default"})
_MOST_STOPS: Final = 4
"""The most stop sequences that OpenAI takes."""
_PDF: Final = "application/pdf"


def messages_request_as_chat(value: dict[str, Any], limits: TargetLimits) -> Translation:
    """Returns the request `value` in the format of Chat Completions. Raises Untranslatable."""
    dropped = Dropped()
    REQUEST.check(value, "", dropped)
    request: dict[str, Any] = {
        "model": value.get("model"),
        "messages": _messages(value, dropped),
        limits.limit_member: value.get("max_tokens"),
    }
    if not value.get("max_tokens"):
        raise Untranslatable("max_tokens")  # 0 fills Anthropic's prompt cache, and generates nothing
    for member in ("stream", "temperature", "top_p"):
        if value.get(member) is not None:
            request[member] = value[member]
    if value.get("stream") is True:
        request["stream_options"] = {"include_usage": True}
    if stops := value.get("stop_sequences"):
        if len(stops) > _MOST_STOPS:
            raise Untranslatable("stop_sequences")
        request["stop"] = stops
    _add_caller(request, value, dropped)
    _add_tools(request, value, dropped)
    _add_output(request, value, limits, dropped)
    return Translation(request, dropped.paths())


# -- the conversation -----------------------------------------------------------------------


def _messages(value: dict[str, Any], dropped: Dropped) -> list[dict[str, Any]]:
    """Returns the system prompt and the turns as messages. Raises Untranslatable."""
    messages: list[dict[str, Any]] = []
    if (system := _texts(value.get("system"), "system", _SYSTEM, dropped)) is not None:
        messages.append({"role": "system", "content": system})
    turns = [_turn(turn, f"messages[{at}]", dropped) for at, turn in enumerate(value["messages"])]
    messages += [message for turn in turns for message in turn]
    if not any(turns):
        raise Untranslatable("messages")
    if value["messages"][-1].get("role") == "assistant":
        # Anthropic continues this answer. OpenAI would give another one.
        raise Untranslatable("messages[-1].role")
    return messages


def _turn(message: dict[str, Any], place: str, dropped: Dropped) -> list[dict[str, Any]]:
    """Returns a turn as messages: results of tools have one each. Raises Untranslatable."""
    _MESSAGE.check(message, f"{place}.", dropped)
    role, content = text(message.get("role")), message.get("content")
    if role == "system":
        written = _texts(content, f"{place}.content", _TEXT, dropped)
        return [] if written is None else [{"role": "system", "content": written}]
    if role not in {"user", "assistant"}:
        raise Untranslatable(f"{place}.role")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not is_list(content):
        raise Untranslatable(f"{place}.content")
    return (_answer if role == "assistant" else _question)(content, f"{place}.content", dropped)


def _question(blocks: list[Any], place: str, dropped: Dropped) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for at, block in enumerate(blocks):
        here = f"{place}[{at}]"
        kind = within(block, "type")
        if not is_object(block):
            raise Untranslatable(here)
        if kind == "tool_result":
            results.append(_result(block, here, dropped))
        elif kind == "text":
            parts.append(_text(block, here, dropped))
        elif kind == "image":
            parts.append(_image(block, here, dropped))
        elif kind == "document":
            parts.append(_document(block, here, dropped))
        else:
            raise Untranslatable(f"{here}.type")
    return results + ([{"role": "user", "content": chat_content(parts)}] if parts else [])


def _answer(blocks: list[Any], place: str, dropped: Dropped) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for at, block in enumerate(blocks):
        here = f"{place}[{at}]"
        kind = within(block, "type")
        if not is_object(block):
            raise Untranslatable(here)
        if kind == "text":
            parts.append(_text(block, here, dropped))
        elif kind == "tool_use":
            calls.append(_call(block, here, dropped))
        elif kind == "thinking":
            raise Untranslatable(f"{here}.signature")
        else:
            raise Untranslatable(f"{here}.type")
    if not parts and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": chat_content(parts) if parts else None}
    if calls:
        message["tool_calls"] = calls
    return [message]


def _texts(content: object, place: str, members: Members, dropped: Dropped) -> Any:
    """Returns a content that may only be text, or None if there is none. Raises Untranslatable."""
    if content is None or content == []:
        return None
    if isinstance(content, str):
        return content or None
    if not is_list(content):
        raise Untranslatable(place)
    return chat_content(
        [_text(block, f"{place}[{at}]", dropped, members) for at, block in enumerate(content)]
    )


def _text(block: object, place: str, dropped: Dropped, members: Members = _TEXT) -> dict[str, Any]:
    if not is_object(block) or block.get("type") != "text":
        raise Untranslatable(f"{place}.type")
    members.check(block, f"{place}.", dropped)
    if not isinstance(written := block.get("text"), str):
        raise Untranslatable(f"{place}.text")
    return {"type": "text", "text": written}


def _image(block: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _IMAGE.check(block, f"{place}.", dropped)
    source = block.get("source")
    kind, url = text(within(source, "type")), within(source, "url")
    if kind == "base64":
        url = _base64(source, f"{place}.source")
    if kind not in {"base64", "url"} or not isinstance(url, str):
        raise Untranslatable(f"{place}.source")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _DOCUMENT.check(block, f"{place}.", dropped)
    source = block.get("source")
    if within(source, "type") != "base64" or within(source, "media_type") != _PDF:
        raise Untranslatable(f"{place}.source")
    file = {
        "filename": text(block.get("title")) or "document.pdf",
        "file_data": _base64(source, f"{place}.source"),
    }
    return {"type": "file", "file": file}


def _base64(source: object, place: str) -> str:
    media_type, data = text(within(source, "media_type")), within(source, "data")
    if media_type is None or not isinstance(data, str):
        raise Untranslatable(place)
    return data_url(media_type, data)


def _call(block: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _USE.check(block, f"{place}.", dropped)
    identifier, name, given = text(block.get("id")), text(block.get("name")), block.get("input")
    if identifier is None or name is None or not is_object(given):
        raise Untranslatable(place)
    function = {"name": name, "arguments": dumped(given).decode()}
    return {"id": identifier, "type": "function", "function": function}


def _result(block: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _RESULT.check(block, f"{place}.", dropped)
    identifier, content = text(block.get("tool_use_id")), block.get("content")
    if identifier is None:
        raise Untranslatable(f"{place}.tool_use_id")
    written = _texts(content, f"{place}.content", _TEXT, dropped)
    return {"role": "tool", "tool_call_id": identifier, "content": "" if written is None else written}


# -- tools, output --------------------------------------------------------------------------


def _add_caller(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add who asks, and the tier. Raises Untranslatable."""
    if is_object(metadata := value.get("metadata")):
        _METADATA.check(metadata, "metadata.", dropped)
        if (user := text(metadata.get("user_id"))) is not None:
            request["user"] = user
    if (tier := value.get("service_tier")) is not None:
        if (known := _TIERS.get(text(tier) or "")) is None:
            raise Untranslatable("service_tier")
        request["service_tier"] = known


def _add_tools(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add the tools, and which of them may or must be called. Raises Untranslatable."""
    tools = [_tool(tool, f"tools[{at}]", dropped) for at, tool in enumerate(value.get("tools") or ())]
    if tools:
        request["tools"] = tools
    choice = value.get("tool_choice")
    if choice is None:
        return
    if not is_object(choice):
        raise Untranslatable("tool_choice")
    _CHOICE.check(choice, "tool_choice.", dropped)
    kind, name = choice.get("type"), text(choice.get("name"))
    if kind == "tool" and name is not None:
        request["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        request["tool_choice"] = _CHOICES[kind]
    else:
        raise Untranslatable("tool_choice.type")
    if choice.get("disable_parallel_tool_use") is True:
        request["parallel_tool_calls"] = False


def _tool(tool: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    name = text(tool.get("name"))
    if (tool.get("type") or "custom") != "custom" or name is None:
        raise Untranslatable(f"{place}.type")  # a tool that the provider runs itself
    _TOOL.check(tool, f"{place}.", dropped)
    function: dict[str, Any] = {"name": name}
    for member, named in (
        ("description", "description"),
        ("input_schema", "parameters"),
        ("strict", "strict"),
    ):
        if tool.get(member) is not None:
            function[named] = tool[member]
    return {"type": "function", "function": function}


def _add_output(
    request: dict[str, Any], value: dict[str, Any], limits: TargetLimits, dropped: Dropped
) -> None:
    """Add the format of the answer and the effort of its reasoning. Raises Untranslatable."""
    config = value.get("output_config")
    if config is not None and not is_object(config):
        raise Untranslatable("output_config")
    if is_object(config):
        _OUTPUT.check(config, "output_config.", dropped)
    for place, form in (
        ("output_config.format", within(config, "format")),
        ("output_format", value.get("output_format")),
    ):
        if form is None:
            continue
        if not is_object(form) or form.get("type") != "json_schema" or not is_object(form.get("schema")):
            raise Untranslatable(place)
        _FORMAT.check(form, f"{place}.", dropped)
        schema = {"name": "answer", "schema": form["schema"], "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    effort = within(config, "effort")
    if effort is not None and text(effort) not in _EFFORTS:
        raise Untranslatable("output_config.effort")
    effort = _effort(value.get("thinking"), effort, dropped)
    if effort == "none" and not limits.reasons:
        dropped.add("thinking")  # a model that does not reason refuses to be told so
    elif effort is not None:
        request["reasoning_effort"] = effort


def _effort(thinking: object, effort: object, dropped: Dropped) -> object:
    """Returns the effort of reasoning. That thinking is not shown in the answer is noted as dropped."""
    kind = text(within(thinking, "type"))
    if thinking is None or kind == "disabled":
        return "none" if kind == "disabled" and effort is None else effort
    if kind not in {"enabled", "adaptive"}:
        raise Untranslatable("thinking")
    dropped.add("thinking")
    budget = within(thinking, "budget_tokens")
    if effort is not None or not isinstance(budget, int):
        return effort
    return next((name for most, name in _BUDGETS if budget <= most), "high")
