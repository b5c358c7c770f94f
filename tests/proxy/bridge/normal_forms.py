"""What a request is after it was translated and back: only the differences that docs/bridge.md lists."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import orjson

__all__ = ["chat_form", "messages_form", "same"]

Json: TypeAlias = dict[str, Any]

_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_CHAT_DROPPED: Final = ("frequency_penalty", "metadata", "n", "seed")
_DROPPED: Final = ("cache_control", "top_k")


def same(one: object, other: object) -> bool:
    """Whether two documents are equal, also in the types of their numbers."""
    option = orjson.OPT_SORT_KEYS
    return orjson.dumps(one, option=option) == orjson.dumps(other, option=option)


def _content(parts: list[Json]) -> Any:
    """A text alone is a string."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _kept(content: Any) -> list[Json]:
    """The parts of a content without texts of white space, cache breakpoints and the detail of images."""
    if content is None:
        return []
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    kept: list[Json] = []
    for part in parts:
        made = {name: given for name, given in part.items() if name not in {"cache_control", "is_error"}}
        if made["type"] == "image_url":
            made["image_url"] = {"url": made["image_url"]["url"]}
        if made["type"] == "tool_result":
            made["content"] = _content(_kept(made.get("content"))) or ""
        if made["type"] != "text" or made["text"].strip():
            kept.append(made)
    return kept


def chat_form(value: Json) -> Json:
    """A request of Chat Completions after it was translated to Messages and back."""
    made = {name: given for name, given in value.items() if name not in _CHAT_DROPPED}
    if "max_tokens" in made:
        made["max_completion_tokens"] = made.pop("max_tokens")
    if "safety_identifier" in made:
        made["user"] = made.pop("safety_identifier")
    if isinstance(made.get("stop"), str):
        made["stop"] = [made["stop"]]
    _sample(made)
    made["messages"] = _chat_messages(value["messages"])
    return made


def _sample(made: Json) -> None:
    """A temperature is 1 at most, and is alone."""
    if "temperature" in made:
        made["temperature"] = min(made["temperature"], 1)
        made.pop("top_p", None)


def _chat_messages(messages: list[Json]) -> list[Json]:
    system: list[Json] = []
    turns: list[tuple[str, list[Json], list[Json]]] = []  # role, parts, and calls or results
    for message in messages:
        role, parts = message["role"], _kept(message["content"])
        if role in {"system", "developer"} and not turns:
            system += parts
            continue
        apart: list[Json] = []
        if role == "tool":
            identifier = _identifier(message["tool_call_id"])
            apart = [{"role": "tool", "tool_call_id": identifier, "content": _content(parts) or ""}]
            parts = []
        for call in message.get("tool_calls", ()):
            function = {**call["function"], "arguments": _compact(call["function"]["arguments"])}
            apart.append({**call, "id": _identifier(call["id"]), "function": function})
        side = "assistant" if role == "assistant" else "user"
        if not parts and not apart:
            continue
        if not turns or turns[-1][0] != side:
            turns.append((side, [], []))
        turns[-1][1].extend(parts)
        turns[-1][2].extend(apart)
    made = [{"role": "system", "content": _content(system)}] if system else []
    for side, parts, apart in turns:
        if side == "user":
            made += [*apart, *([{"role": "user", "content": _content(parts)}] if parts else [])]
        else:
            calls = {"tool_calls": apart} if apart else {}
            made.append({"role": "assistant", "content": _content(parts) if parts else None, **calls})
    return made


def _identifier(given: str) -> str:
    plain = _NO_ID.sub("_", given)
    return plain if plain == given else f"{plain}_{blake2b(given.encode(), digest_size=4).hexdigest()}"


def _compact(arguments: str) -> str:
    return orjson.dumps(orjson.loads(arguments if arguments.strip() else "{}")).decode()


def messages_form(value: Json) -> Json:
    """A request of Messages after it was translated to Chat Completions and back."""
    made = {name: given for name, given in value.items() if name not in {*_DROPPED, "system", "thinking"}}
    _sample(made)
    if "tools" in made:
        made["tools"] = [
            {name: given for name, given in tool.items() if name != "cache_control"} for tool in made["tools"]
        ]
    _think(made, value.get("thinking"))
    turns: list[Json] = []
    system = _kept(value.get("system"))
    for turn in value["messages"]:
        blocks = _kept(turn["content"])
        role = "user" if turn["role"] == "system" else turn["role"]
        if not blocks:
            continue
        if turn["role"] == "system" and not turns:
            system += blocks
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=_is_no_result)
    made["messages"] = turns
    if system:
        made["system"] = system
    return made


def _is_no_result(block: Json) -> bool:
    return bool(block["type"] != "tool_result")


def _think(made: Json, thinking: Json | None) -> None:
    """Thinking is an effort of reasoning, unless there is one already."""
    if thinking is None:
        return
    if thinking["type"] == "disabled":
        made["thinking"] = thinking
        return
    budget = thinking.get("budget_tokens")
    if budget is not None and "effort" not in made.get("output_config", {}):
        effort = "low" if budget <= 4_096 else "medium" if budget <= 16_384 else "high"
        made["output_config"] = {**made.get("output_config", {}), "effort": effort}
