"""Generates valid requests: of Chat Completions, of Messages, and stateless ones of Responses."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

__all__ = ["as_responses", "chat_requests", "json_values", "messages_requests", "texts", "tool_inputs"]

Json: TypeAlias = dict[str, Any]

_ODD_TEXTS: Final = (
    "",
    " ",
    "Grüße",
    "e\u0301\u0327",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c",
    "\x00\x01\x1f\x7f",
    "\u2028\ufeff\ufffd",
    'quo"te \\ \\u0041 \n\r\t',
    "data: [DONE]\n\nevent: error\n\n",
)
_NAMES: Final = ("look_up", "get-weather", "f", "a" * 64)
_PIXEL: Final = "iVBORw0KGgo="
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_SCHEMA: Final[Json] = {"type": "object", "properties": {"Größe": {"type": "number"}}, "required": ["Größe"]}
_MOST_IDS: Final = 3

texts = st.one_of(st.sampled_from(_ODD_TEXTS), st.text(max_size=8))
"""What somebody may say, also nothing."""
_said: st.SearchStrategy[Any] = texts.filter(lambda each: bool(each.strip()))
_stops: st.SearchStrategy[Any] = st.lists(_said, min_size=1, max_size=4)
_numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)
"""Any JSON."""
tool_inputs = st.dictionaries(texts, json_values, max_size=2)
"""What a tool is called with."""


def _maybe(draw: st.DrawFn, made: Json, **members: st.SearchStrategy[Any]) -> None:
    """Set some of the members."""
    for name, values in members.items():
        if draw(st.integers(0, 3)) == 0:
            made[name] = draw(values)


def _objects(optional: Json | None = None, /, **members: Any) -> st.SearchStrategy[Json]:
    """Objects with these members, each a value or a strategy, and with some of the optional ones."""

    def made(given: Json) -> dict[str, st.SearchStrategy[Any]]:
        return {
            name: value if isinstance(value, st.SearchStrategy) else st.just(value)
            for name, value in given.items()
        }

    return st.fixed_dictionaries(made(members), optional=made(optional or {}))


def _said_by(role: str, contents: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Json]]:
    """One message or turn, in a list of its own."""
    return st.lists(_objects(role=role, content=contents), min_size=1, max_size=1)


def _lists(*elements: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    """Lists of these elements."""
    return st.lists(st.one_of(*elements), max_size=most)


# -- Chat Completions -------------------------------------------------------------------------

_image_urls = st.sampled_from(
    [f"data:image/png;base64,{_PIXEL}", "data:image/webp;base64,", "https://x.example/ä?b=c#d"]
)
_details = st.sampled_from(["auto", "low", "high"])
_chat_images = _objects(type="image_url", image_url=_objects({"detail": _details}, url=_image_urls))
_chat_files = _objects(
    type="file", file=_objects(filename=_said, file_data="data:application/pdf;base64,JVBERi0=")
)
_chat_texts = _objects(type="text", text=texts)
_chat_text_contents = st.one_of(texts, _lists(_chat_texts))
_chat_contents = st.one_of(texts, _lists(_chat_texts, _chat_images, _chat_files))
_ids = st.sampled_from(["call_1", "toolu_01-A", "functions.look_up:0", "ü/2", "chatcmpl-tool-9f"])


@st.composite
def _arguments(draw: st.DrawFn) -> str:
    """Arguments as servers write them: with or without spaces and escapes, or as nothing."""
    value = draw(tool_inputs)
    if not value and draw(st.booleans()):
        return draw(st.sampled_from(["", "{}", "{ }", " "]))
    indent = draw(st.sampled_from([None, 1]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)


@st.composite
def _chat_exchange(draw: st.DrawFn) -> list[Json]:
    """An answer with parallel calls, and their results, which something else may stand between."""
    identifiers = draw(st.lists(_ids, min_size=1, max_size=_MOST_IDS, unique=True))
    calls = [
        {
            "id": identifier,
            "type": "function",
            "function": {"name": draw(st.sampled_from(_NAMES)), "arguments": draw(_arguments())},
        }
        for identifier in identifiers
    ]
    content = draw(st.none() | _chat_text_contents)
    messages: list[Json] = [{"role": "assistant", "content": content, "tool_calls": calls}]
    for identifier in draw(st.permutations(identifiers)):
        result = draw(_chat_text_contents)
        messages.append({"role": "tool", "tool_call_id": identifier, "content": result})
        if draw(st.integers(0, 4)) == 0:
            messages.append({"role": "user", "content": draw(_chat_contents)})
    return messages


@st.composite
def _chat_messages(draw: st.DrawFn) -> list[Json]:
    instructions = st.one_of(
        _said_by("system", _chat_text_contents), _said_by("developer", _chat_text_contents)
    )
    asked = _said_by("user", _chat_contents)
    answered = _said_by("assistant", st.one_of(st.none(), _chat_text_contents))
    begin: list[list[Json]] = draw(_lists(instructions, most=2))
    middle: list[list[Json]] = draw(_lists(asked, answered, instructions, _chat_exchange(), most=4))
    messages = [message for part in (*begin, *middle) for message in part]
    for message in messages:
        if message["role"] != "tool" and draw(st.integers(0, 7)) == 0:
            message["name"] = "anna"
    return [*messages, {"role": "user", "content": draw(_said)}]


def _tool_name(tool: Json) -> str:
    return str(tool.get("function", tool)["name"])


_chat_tools = st.lists(
    _objects(
        type="function",
        function=_objects(
            {"description": "Looks up ü.", "strict": st.booleans()},
            name=st.sampled_from(_NAMES),
            parameters=_SCHEMA,
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=_tool_name,
)


@st.composite
def chat_requests(draw: st.DrawFn) -> Json:
    """A request of Chat Completions that can be carried to Messages."""
    made: Json = {"model": "pool", "messages": draw(_chat_messages())}
    limit = draw(st.sampled_from(["max_tokens", "max_completion_tokens"]))
    made[limit] = draw(st.integers(1, 10_000_000))
    if draw(st.booleans()):
        made["tools"] = tools = draw(_chat_tools)
        one = {"type": "function", "function": {"name": tools[0]["function"]["name"]}}
        _maybe(draw, made, tool_choice=st.sampled_from(["none", "auto", "required", one]))
        if made.get("tool_choice", "none") != "none":
            _maybe(draw, made, parallel_tool_calls=st.just(value=False))
    schema = {"name": "answer", "schema": _SCHEMA, "strict": True}
    _maybe(
        draw,
        made,
        frequency_penalty=st.sampled_from([0, 0.5]),
        metadata=st.sampled_from([{}, {"a": "b"}]),
        n=st.just(1),
        reasoning_effort=st.sampled_from(["none", *_EFFORTS]),
        response_format=st.just({"type": "json_schema", "json_schema": schema}),
        safety_identifier=_said,
        seed=st.integers(0, 9),
        service_tier=st.sampled_from(["auto", "default"]),
        stop=_stops | _stops.map(lambda stops: stops[0]),
        stream=st.booleans(),
        temperature=st.floats(0, 2),
        top_p=st.floats(0, 1),
    )
    if "safety_identifier" not in made:
        _maybe(draw, made, user=_said)
    if made.get("stream") is True:
        made["stream_options"] = {"include_usage": True}
    return made


# -- Responses --------------------------------------------------------------------------------


def as_responses(chat: Json) -> Json:
    """Returns the request of Responses that says what a request of `chat_requests` does."""
    made: Json = {"model": chat["model"], "input": [item for m in chat["messages"] for item in _items(m)]}
    names = ("stream", "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier", "metadata")
    made |= {name: chat[name] for name in names if name in chat}
    made["max_output_tokens"] = chat.get("max_tokens", chat.get("max_completion_tokens"))
    if "tools" in chat:
        made["tools"] = [{"type": "function", **tool["function"]} for tool in chat["tools"]]
    if (choice := chat.get("tool_choice")) is not None:
        chosen = isinstance(choice, str)
        made["tool_choice"] = choice if chosen else {"type": "function", **choice["function"]}
    if "reasoning_effort" in chat:
        made["reasoning"] = {"effort": chat["reasoning_effort"]}
    if "response_format" in chat:
        form = {"type": "json_schema", **chat["response_format"]["json_schema"]}
        made["text"] = {"format": form}
    return made


def _items(message: Json) -> list[Json]:
    """The items of the input that say what a message of a chat does."""
    role, content = message["role"], message["content"]
    if role == "tool":
        output = content if isinstance(content, str) else [_item_part(part, "input") for part in content]
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
    items: list[Json] = []
    if content is not None:
        side = "output" if role == "assistant" else "input"
        parts = content if isinstance(content, str) else [_item_part(part, side) for part in content]
        items.append({"type": "message", "role": role, "content": parts})
    return items + [
        {"type": "function_call", "call_id": call["id"], **call["function"]}
        for call in message.get("tool_calls", ())
    ]


def _item_part(part: Json, side: str) -> Json:
    if part["type"] == "text":
        return {"type": f"{side}_text", "text": part["text"]}
    if part["type"] == "file":
        return {"type": "input_file", **part["file"]}
    image = part["image_url"]
    detail = {"detail": image["detail"]} if "detail" in image else {}
    return {"type": "input_image", "image_url": image["url"], **detail}


# -- Messages ---------------------------------------------------------------------------------

_CACHED: Final[Json] = {"cache_control": {"type": "ephemeral"}}
_text_blocks = _objects(_CACHED, type="text", text=texts)
_SOURCES: Final[tuple[Json, ...]] = (
    {"type": "base64", "media_type": "image/png", "data": _PIXEL},
    {"type": "url", "url": "https://x.example/ä?b=c#d"},
)
_PDF: Final[Json] = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
_image_blocks = _objects(_CACHED, type="image", source=st.sampled_from(_SOURCES))
_document_blocks = _objects(type="document", source=_PDF, title=_said)
_text_contents = st.one_of(texts, _lists(_text_blocks))
_contents = st.one_of(texts, _lists(_text_blocks, _image_blocks, _document_blocks))
_use_ids = st.sampled_from(["toolu_1", "toolu_01-A", "call_9f", "x"])


@st.composite
def _exchange(draw: st.DrawFn) -> list[Json]:
    """An answer with parallel calls, and their results, in the middle of something else."""
    identifiers = draw(st.lists(_use_ids, min_size=1, max_size=_MOST_IDS, unique=True))
    said = draw(st.lists(_text_blocks, max_size=2))
    calls = [
        {
            "type": "tool_use",
            "id": identifier,
            "name": draw(st.sampled_from(_NAMES)),
            "input": draw(tool_inputs),
        }
        for identifier in identifiers
    ]
    results: list[Json] = []
    for identifier in draw(st.permutations(identifiers)):
        result: Json = {"type": "tool_result", "tool_use_id": identifier}
        _maybe(draw, result, is_error=st.booleans())
        if draw(st.booleans()):
            result["content"] = draw(_text_contents)
        results.append(result)
        results += draw(st.lists(_text_blocks | _image_blocks, max_size=1))
    return [{"role": "assistant", "content": [*said, *calls]}, {"role": "user", "content": results}]


@st.composite
def _turns(draw: st.DrawFn) -> list[Json]:
    asked, answered = _said_by("user", _contents), _said_by("assistant", _text_contents)
    instructed = _said_by("system", _text_contents)
    begin: list[Json] = [{"role": "user", "content": draw(_said)}]
    middle: list[list[Json]] = draw(_lists(asked, answered, instructed, _exchange(), most=4))
    return [*begin, *[turn for part in middle for turn in part], {"role": "user", "content": draw(_said)}]


_tools = st.lists(
    _objects(
        {"description": "Looks up ü.", "strict": True, **_CACHED},
        name=st.sampled_from(_NAMES),
        input_schema=_SCHEMA,
    ),
    min_size=1,
    max_size=3,
    unique_by=_tool_name,
)


@st.composite
def messages_requests(draw: st.DrawFn) -> Json:
    """A request of Messages that can be carried to Chat Completions."""
    made: Json = {"model": "pool", "max_tokens": draw(st.integers(1, 9_000)), "messages": draw(_turns())}
    if draw(st.booleans()):
        made["tools"] = tools = draw(_tools)
        kinds = [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": tools[0]["name"]}]
        parallel = [{**kind, "disable_parallel_tool_use": True} for kind in kinds]
        _maybe(draw, made, tool_choice=st.sampled_from([{"type": "none"}, *kinds, *parallel]))
    config: Json = {}
    _maybe(
        draw,
        config,
        effort=st.sampled_from(_EFFORTS),
        format=st.just({"type": "json_schema", "schema": _SCHEMA}),
    )
    thinking: list[Json] = [{"type": "adaptive"}]
    thinking += [{"type": "enabled", "budget_tokens": budget} for budget in (1_024, 4_096, 4_097, 16_385)]
    if "effort" not in config:
        thinking.append({"type": "disabled"})
    if config:
        made["output_config"] = config
    _maybe(
        draw,
        made,
        cache_control=st.just({"type": "ephemeral"}),
        metadata=_said.map(lambda user: {"user_id": user}),
        service_tier=st.sampled_from(["auto", "standard_only"]),
        stop_sequences=_stops,
        stream=st.booleans(),
        system=texts | st.lists(_text_blocks, max_size=2),
        temperature=st.floats(0, 1),
        thinking=st.sampled_from(thinking),
        top_k=st.integers(1, 9),
        top_p=st.floats(0, 1),
    )
    return made
