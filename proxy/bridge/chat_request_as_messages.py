"""Translates a request of OpenAI's Chat Completions into one of Anthropic's Messages.

Longer than 400 lines because one request is read here from its first member to its last.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import is_list, is_object, text, within
from .data_url import data_of
from .tool_arguments import arguments_of
from .translation import Dropped, Members, TargetLimits, Translation, Untranslatable

__all__ = ["REQUEST", "chat_request_as_messages"]

REQUEST: Final = Members(
    carried="model messages stream stream_options max_completion_tokens max_tokens temperature top_p stop"
    " tools tool_choice parallel_tool_calls response_format reasoning_effort user safety_identifier"
    " service_tier",
    dropped="seed frequency_penalty presence_penalty logit_bias metadata verbosity prompt_cache_key"
    " prompt_cache_options prompt_cache_retention",
    neutral=MappingProxyType(
        {
            "n": (1,),
            "logprobs": (False,),
            "top_logprobs": (0,),
            "store": (False,),
            "modalities": (["text"],),
            "frequency_penalty": (0,),
            "presence_penalty": (0,),
            "logit_bias": ({},),
            "metadata": ({},),
        }
    ),
)
"""What becomes of each member of a chat request at a target that speaks Messages."""

_MESSAGE: Final = Members("role content", dropped="name", label="messages[].")
_ASSISTANT: Final = Members(
    "role content tool_calls refusal",
    # Reasoning that nobody has signed, as open models write it, and references to sources.
    dropped="name reasoning_content reasoning annotations",
    neutral=MappingProxyType({"annotations": ([],)}),
    label="messages[].",
)
_TOOL_RESULT: Final = Members("role content tool_call_id", dropped="name", label="messages[].")
_TEXT: Final = Members("type text cache_control", label="messages[].content[].")
_REFUSAL: Final = Members("type refusal", label="messages[].content[].")
_IMAGE: Final = Members("type image_url cache_control", label="messages[].content[].")
_IMAGE_URL: Final = Members(
    "url",
    dropped="detail",
    neutral=MappingProxyType({"detail": ("auto",)}),
    label="messages[].content[].image_url.",
)
_FILE: Final = Members("type file cache_control", label="messages[].content[].")
_FILE_DATA: Final = Members("file_data filename", label="messages[].content[].file.")
_CALL: Final = Members("id type function", dropped="index", label="messages[].tool_calls[].")
_TOOL: Final = Members("type function", label="tools[].")
_FUNCTION: Final = Members("name description parameters strict", label="tools[].function.")
_SCHEMA: Final = Members("name schema", dropped="description strict", label="response_format.json_schema.")

_EFFORTS: Final = MappingProxyType(
    {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
)
"""OpenAI's reasoning efforts and Anthropic's (anthropic 2.12.0, `output_config.effort`); "none" is apart."""
_TIERS: Final = MappingProxyType({"auto": "auto", "default": "standard_only"})
_CHOICES: Final = MappingProxyType({"none": "none", "auto": "auto", "required": "any"})
_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
"""What Anthropic does not take in the id of a tool call."""
_NO_PARAMETERS: Final = MappingProxyType[str, Any]({"type": "object", "properties": {}})
_PDF: Final = "application/pdf"


def chat_request_as_messages(value: dict[str, Any], limits: TargetLimits) -> Translation:
    """Returns the request `value` in the format of Messages. Raises Untranslatable."""
    dropped = Dropped()
    REQUEST.check(value, "", dropped)
    request: dict[str, Any] = {"model": value.get("model")}
    conversation = _Conversation(dropped)
    for at, message in enumerate(value["messages"]):
        conversation.add(message, f"messages[{at}]")
    request["messages"] = conversation.turns()
    if conversation.system:
        request["system"] = conversation.system
    given = [limit for name in ("max_completion_tokens", "max_tokens") if (limit := value.get(name))]
    request["max_tokens"] = max(given, default=limits.max_output)
    if value.get("stream") is not None:
        request["stream"] = value["stream"]
    if stops := _stop_sequences(value.get("stop")):
        request["stop_sequences"] = stops
    _add_caller(request, value, dropped)
    _add_tools(request, value)
    _add_output(request, value, dropped)
    _add_sampling(request, value, dropped)
    return Translation(request, dropped.paths())


# -- the conversation -----------------------------------------------------------------------


class _Conversation:
    """The turns of a request. Anthropic's alternate between user and assistant."""

    __slots__ = ("_dropped", "_turns", "system")

    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped
        self._turns: list[dict[str, Any]] = []
        self.system: list[dict[str, Any]] = []

    def add(self, message: dict[str, Any], place: str) -> None:
        """Add a message. Raises Untranslatable."""
        role, dropped = text(message.get("role")), self._dropped
        if role in {"system", "developer"}:
            _MESSAGE.check(message, f"{place}.", dropped)
            blocks = _blocks(message.get("content"), f"{place}.content", dropped, kinds=("text",))
            if not self._turns:
                self.system += blocks
            elif blocks:
                # Not every model takes instructions between turns, so they are said in the user's.
                dropped.add("messages[].role")
                self._put("user", blocks)
        elif role == "user":
            _MESSAGE.check(message, f"{place}.", dropped)
            self._put("user", _blocks(message.get("content"), f"{place}.content", dropped))
        elif role == "assistant":
            _ASSISTANT.check(message, f"{place}.", dropped)
            self._put("assistant", _answer(message, place, dropped))
        elif role == "tool":
            _TOOL_RESULT.check(message, f"{place}.", dropped)
            self._put("user", [_result(message, place, dropped)])
        else:
            raise Untranslatable(f"{place}.role")

    def turns(self) -> list[dict[str, Any]]:
        """Returns the turns. Raises Untranslatable if none is left, or if the last is not the user's."""
        if not self._turns:
            raise Untranslatable("messages")
        if self._turns[-1]["role"] != "user":
            # Anthropic would continue this answer instead of giving one.
            raise Untranslatable("messages[-1].role")
        for turn in self._turns:
            if turn["role"] == "user":
                # The results of tools must stand before anything else in a turn.
                turn["content"].sort(key=_is_no_result)
        return self._turns

    def _put(self, role: str, blocks: list[dict[str, Any]]) -> None:
        if not blocks:
            return  # an empty turn says nothing, and Anthropic takes none
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        else:
            self._turns.append({"role": role, "content": blocks})


def _is_no_result(block: dict[str, Any]) -> bool:
    return bool(block["type"] != "tool_result")


def _blocks(
    content: object, place: str, dropped: Dropped, kinds: tuple[str, ...] = ("text", "image_url", "file")
) -> list[dict[str, Any]]:
    """Returns the content of a message as blocks. Raises Untranslatable."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if not is_list(content):
        raise Untranslatable(place)
    blocks: list[dict[str, Any]] = []
    for at, part in enumerate(content):
        here = f"{place}[{at}]"
        kind = text(within(part, "type"))
        if not is_object(part) or kind is None or kind not in kinds:
            raise Untranslatable(here if kind is None else f"{here}.type")
        block = _READERS[kind](part, here, dropped)
        if block is not None:
            if (caching := part.get("cache_control")) is not None:
                block["cache_control"] = caching
            blocks.append(block)
    return blocks


def _text(part: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any] | None:
    _TEXT.check(part, f"{place}.", dropped)
    if not isinstance(written := part.get("text"), str):
        raise Untranslatable(f"{place}.text")
    return {"type": "text", "text": written} if written.strip() else None


def _refusal(part: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any] | None:
    _REFUSAL.check(part, f"{place}.", dropped)
    if not isinstance(written := part.get("refusal"), str):
        raise Untranslatable(f"{place}.refusal")
    return {"type": "text", "text": written} if written.strip() else None


def _image(part: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _IMAGE.check(part, f"{place}.", dropped)
    image = part.get("image_url")
    if not is_object(image):
        raise Untranslatable(f"{place}.image_url")
    _IMAGE_URL.check(image, f"{place}.image_url.", dropped)
    url = image.get("url")
    if not isinstance(url, str):
        raise Untranslatable(f"{place}.image_url.url")
    if (held := data_of(url)) is not None:
        source = {"type": "base64", "media_type": held.media_type, "data": held.data}
    elif url.startswith("https://"):
        source = {"type": "url", "url": url}
    else:
        raise Untranslatable(f"{place}.image_url.url")
    return {"type": "image", "source": source}


def _document(part: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    _FILE.check(part, f"{place}.", dropped)
    file = part.get("file")
    if not is_object(file):
        raise Untranslatable(f"{place}.file")
    _FILE_DATA.check(file, f"{place}.file.", dropped)
    data = file.get("file_data")
    held = data_of(data) if isinstance(data, str) else None
    if held is None or held.media_type != _PDF:
        raise Untranslatable(f"{place}.file.file_data")
    block: dict[str, Any] = {
        "type": "document",
        "source": {"type": "base64", "media_type": _PDF, "data": held.data},
    }
    if (name := text(file.get("filename"))) is not None:
        block["title"] = name
    return block


_READERS: Final = MappingProxyType(
    {"text": _text, "refusal": _refusal, "image_url": _image, "file": _document}
)


def _answer(message: dict[str, Any], place: str, dropped: Dropped) -> list[dict[str, Any]]:
    """Returns an earlier answer as blocks. Raises Untranslatable."""
    blocks = _blocks(message.get("content"), f"{place}.content", dropped, kinds=("text", "refusal"))
    if (refusal := text(message.get("refusal"))) is not None:
        blocks.append({"type": "text", "text": refusal})
    calls = message.get("tool_calls")
    if calls is not None and not is_list(calls):
        raise Untranslatable(f"{place}.tool_calls")
    for at, call in enumerate(calls or ()):
        blocks.append(_call(call, f"{place}.tool_calls[{at}]", dropped))
    return blocks


def _call(call: object, place: str, dropped: Dropped) -> dict[str, Any]:
    if not is_object(call) or call.get("type", "function") != "function":
        raise Untranslatable(f"{place}.type")
    _CALL.check(call, f"{place}.", dropped)
    function, identifier = call.get("function"), text(call.get("id"))
    name, arguments = text(within(function, "name")), within(function, "arguments")
    if identifier is None or name is None:
        raise Untranslatable(place)
    given = arguments_of("" if arguments is None else arguments)
    if given is None:
        raise Untranslatable(f"{place}.function.arguments")
    return {"type": "tool_use", "id": _call_id(identifier), "name": name, "input": given}


def _call_id(identifier: str) -> str:
    """Returns an id as Anthropic takes it: one that is changed has a hash, so that it stays the only one."""
    plain = _NO_ID.sub("_", identifier)
    return (
        plain
        if plain == identifier
        else f"{plain}_{blake2b(identifier.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"
    )


def _result(message: dict[str, Any], place: str, dropped: Dropped) -> dict[str, Any]:
    identifier = text(message.get("tool_call_id"))
    if identifier is None:
        raise Untranslatable(f"{place}.tool_call_id")
    blocks = _blocks(message.get("content"), f"{place}.content", dropped, kinds=("text",))
    content: object = blocks or ""
    if len(blocks) == 1 and "cache_control" not in blocks[0]:
        content = blocks[0]["text"]
    return {"type": "tool_result", "tool_use_id": _call_id(identifier), "content": content}


# -- tools, output, sampling ----------------------------------------------------------------


def _add_caller(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add who asks, and the tier. Raises Untranslatable."""
    for name in ("user", "safety_identifier"):
        if not isinstance(value.get(name, ""), str | None):
            raise Untranslatable(name)
    user, identifier = text(value.get("user")), text(value.get("safety_identifier"))
    if identifier is not None and user not in {None, identifier}:
        dropped.add("user")
    if (named := identifier or user) is not None:
        request["metadata"] = {"user_id": named}
    if (tier := value.get("service_tier")) is not None:
        if (known := _TIERS.get(text(tier) or "")) is None:
            dropped.add("service_tier")
        else:
            request["service_tier"] = known


def _add_tools(request: dict[str, Any], value: dict[str, Any]) -> None:
    """Add the tools, and which of them may or must be called. Raises Untranslatable."""
    given, parallel = value.get("tools"), value.get("parallel_tool_calls")
    if not isinstance(parallel, bool | None):
        raise Untranslatable("parallel_tool_calls")
    tools = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(given if is_list(given) else ())]
    if within(value.get("tool_choice"), "type") == "allowed_tools":
        allowed = within(value["tool_choice"], "allowed_tools")
        names = _names(within(allowed, "tools"))
        tools = [tool for tool in tools if tool["name"] in names]
        chosen = _choice(text(within(allowed, "mode")))
    else:
        chosen = _choice(value.get("tool_choice"))
    if not tools:
        if chosen is not None and chosen["type"] in {"any", "tool"}:
            raise Untranslatable("tool_choice")
        return
    request["tools"] = tools
    if parallel is False and (chosen is None or chosen["type"] != "none"):
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    if chosen is not None:
        request["tool_choice"] = chosen


def _choice(choice: object) -> dict[str, Any] | None:
    """Returns which tool may or must be called, None if nothing is said of it. Raises Untranslatable."""
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    name = text(within(within(choice, "function"), "name"))
    if within(choice, "type") != "function" or name is None:
        raise Untranslatable("tool_choice")
    return {"type": "tool", "name": name}


def _tool(tool: dict[str, Any], place: str) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not is_object(function):
        raise Untranslatable(f"{place}.type")
    dropped = Dropped()  # of a tool nothing is
    _TOOL.check(tool, f"{place}.", dropped)
    _FUNCTION.check(function, f"{place}.function.", dropped)
    name = text(function.get("name"))
    if name is None:
        raise Untranslatable(f"{place}.function.name")
    made: dict[str, Any] = {
        "name": name,
        "input_schema": function.get("parameters") or dict(_NO_PARAMETERS),
    }
    for member in ("description", "strict"):
        if function.get(member) is not None:
            made[member] = function[member]
    return made


def _names(tools: object) -> frozenset[str]:
    named = [text(within(within(tool, "function"), "name")) for tool in (tools if is_list(tools) else ())]
    if None in named:
        raise Untranslatable("tool_choice")
    return frozenset(name for name in named if name is not None)


def _add_output(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add the format of the answer and the effort of its reasoning. Raises Untranslatable."""
    config: dict[str, Any] = {}
    form = value.get("response_format")
    if form is not None and (kind := within(form, "type")) != "text":
        schema = within(form, "json_schema")
        if kind != "json_schema" or not is_object(schema) or not is_object(schema.get("schema")):
            raise Untranslatable("response_format")
        if schema.get("strict") is True:
            schema = {key: inner for key, inner in schema.items() if key != "strict"}
        _SCHEMA.check(schema, "response_format.json_schema.", dropped)
        config["format"] = {"type": "json_schema", "schema": schema["schema"]}
    effort = value.get("reasoning_effort")
    if effort == "none":
        request["thinking"] = {"type": "disabled"}
    elif effort is not None:
        if (named := _EFFORTS.get(text(effort) or "")) is None:
            raise Untranslatable("reasoning_effort")
        config["effort"] = named
    if config:
        request["output_config"] = config


def _add_sampling(request: dict[str, Any], value: dict[str, Any], dropped: Dropped) -> None:
    """Add the temperature, which is 1 at most, or else `top_p`: current models refuse both together."""
    temperature, top_p = value.get("temperature"), value.get("top_p")
    if temperature is not None:
        request["temperature"] = min(temperature, 1)
        if temperature > 1:
            dropped.add("temperature")
        if top_p is not None and top_p != 1:
            dropped.add("top_p")
    elif top_p is not None:
        request["top_p"] = top_p


def _stop_sequences(stop: object) -> list[str]:
    """Returns where the answer is to stop. Raises Untranslatable for white space, which Anthropic refuses."""
    stops = [stop] if isinstance(stop, str) else stop if is_list(stop) else []
    if any(not isinstance(each, str) or not each.strip() for each in stops):
        raise Untranslatable("stop")
    return stops
