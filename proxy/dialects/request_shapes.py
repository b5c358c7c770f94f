"""Validation of request bodies: one table of rules per operation, and one function that applies it.

Only what holds for every vendor is checked: a gateway that rejects what a provider accepts breaks as soon as
the provider adds a feature. So unknown members and unknown values pass. The checks cover the members that the
gateway itself reads or that multiply the cost of an answer, by type and by a generous bound. Null counts as
absent, since SDKs send it for members that are not set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import Refusal
from .json_values import is_list, is_object

__all__ = ["check_chat", "check_count_tokens", "check_embeddings", "check_messages", "check_responses"]

Rule: TypeAlias = Callable[[Any], str | None]
"""Takes a member's value, which is not null. Returns None if it is valid; otherwise the path of the invalid
part, to be appended to the member's name, or "" for the value itself."""

_LONGEST_MODEL: Final = 256  # characters
_MOST_TOKENS: Final = 10_000_000  # ten times the largest context window of any model
_MOST_CHOICES: Final = 128  # OpenAI's limit for `n`
_MOST_TOOLS: Final = 1_024  # OpenAI accepts 128, others more


class _Shape(NamedTuple):
    """The rules for one operation's request.

    Each group in `needs` must have at least one member that is present and not an empty list; an error names
    the group's first member. `rules` has the rule of each checked member.
    """

    needs: tuple[tuple[str, ...], ...]
    rules: Mapping[str, Rule]


def check_chat(value: dict[str, Any]) -> None:
    """Check the body of `/v1/chat/completions`. Raises Refusal with `param`; see `_check` for the codes."""
    _check(value, _CHAT)


def check_responses(value: dict[str, Any]) -> None:
    """Check the body of `/v1/responses`, as `check_chat` does."""
    _check(value, _RESPONSES)


def check_embeddings(value: dict[str, Any]) -> None:
    """Check the body of `/v1/embeddings`, as `check_chat` does."""
    _check(value, _EMBEDDINGS)


def check_messages(value: dict[str, Any]) -> None:
    """Check the body of `/v1/messages`, as `check_chat` does."""
    _check(value, _MESSAGES)


def check_count_tokens(value: dict[str, Any]) -> None:
    """Check the body of `/v1/messages/count_tokens`, as `check_chat` does."""
    _check(value, _COUNT_TOKENS)


def _check(value: dict[str, Any], shape: _Shape) -> None:
    """Check a request body against `shape`.

    Raises Refusal: `invalid_request` for a missing member, `invalid_value` for an invalid one, and
    `unknown_model` with status 400 for a `model` that cannot be a model name.
    """
    for names in shape.needs:
        for name in names:
            if name in value and value[name] is not None and value[name] != []:
                break
        else:
            raise Refusal("invalid_request", param=names[0])
    rules = shape.rules
    for name, given in value.items():
        if given is None or name not in rules:
            continue
        rule = rules[name]
        invalid_part = rule(given)
        if invalid_part is not None:
            place = name + invalid_part
            expected = None if invalid_part else _EXPECTED.get(rule)
            raise Refusal(
                "invalid_value", param=place, detail=f"{place} must be {expected}" if expected else None
            )


def _model(given: Any) -> None:
    # Rejects other types, the empty string and very long ones. Routing decides whether the model exists.
    if given.__class__ is not str or not 0 < len(given) <= _LONGEST_MODEL:
        detail = f"model must be a text of 1 to {_LONGEST_MODEL} characters"
        raise Refusal("unknown_model", status=400, param="model", detail=detail)


def _background(given: Any) -> str | None:
    if given is True:
        raise Refusal("background_not_supported", param="background", detail="")
    return _boolean(given)


def _boolean(given: Any) -> str | None:
    return None if given.__class__ is bool else ""


def _number(given: Any) -> str | None:
    return None if given.__class__ in {float, int} else ""  # always finite: JSON has no NaN and no infinity


def _string(given: Any) -> str | None:
    return None if given.__class__ is str else ""


def _object(given: Any) -> str | None:
    return None if given.__class__ is dict else ""


def _text_or_list(given: Any) -> str | None:
    return None if given.__class__ in {str, list} else ""


def _stops(given: Any) -> str | None:
    return None if given.__class__ is str else _strings(given)


def _strings(given: Any) -> str | None:
    if not is_list(given):
        return ""
    return next((f"[{index}]" for index, item in enumerate(given) if item.__class__ is not str), None)


def _tools(given: Any) -> str | None:
    if not is_list(given) or len(given) > _MOST_TOOLS:
        return ""
    return next((f"[{index}]" for index, item in enumerate(given) if item.__class__ is not dict), None)


def _messages(given: Any) -> str | None:
    if not is_list(given):
        return ""
    for index, item in enumerate(given):
        if item.__class__ is not dict:
            return f"[{index}]"
        if "role" not in item or item["role"].__class__ is not str:
            return f"[{index}].role"
    return None


def _stream_options(given: Any) -> str | None:
    if not is_object(given):
        return ""
    usage = given.get("include_usage")
    return None if usage is None or usage.__class__ is bool else ".include_usage"


def _integer(least: int, most: int) -> Rule:
    def rule(given: Any) -> str | None:
        # By class, since a bool is an instance of int.
        return None if given.__class__ is int and least <= given <= most else ""

    return rule


def _logprobs(given: Any) -> str | None:
    # A boolean at OpenAI; some compatible servers take the number of alternatives here.
    return None if given.__class__ is bool else _choices(given)


_choices: Final = _integer(1, _MOST_CHOICES)
_alternatives: Final = _integer(0, _MOST_CHOICES)
_tokens: Final = _integer(1, _MOST_TOKENS)
_max_tokens: Final = _integer(0, _MOST_TOKENS)  # 0 fills Anthropic's prompt cache and generates nothing

_EXPECTED: Final[Mapping[Rule, str]] = MappingProxyType(
    {
        _alternatives: f"a whole number from 0 to {_MOST_CHOICES}",
        _boolean: "true or false",
        _choices: f"a whole number from 1 to {_MOST_CHOICES}",
        _max_tokens: f"a whole number from 0 to {_MOST_TOKENS}",
        _messages: "a list",
        _number: "a number",
        _object: "an object",
        _string: "a text",
        _text_or_list: "a text or a list",
        _tokens: f"a whole number from 1 to {_MOST_TOKENS}",
        _tools: f"a list of at most {_MOST_TOOLS} tools",
    }
)
"""What a message says of a value that breaks a rule."""

_COMMON: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "model": _model,
        "metadata": _object,
        "stream": _boolean,
        "stream_options": _stream_options,
        "temperature": _number,
        "tools": _tools,
        "top_p": _number,
    }
)

_CHAT: Final = _Shape(
    needs=(("model",), ("messages",)),
    rules=MappingProxyType(
        {
            **_COMMON,
            "best_of": _choices,
            "frequency_penalty": _number,
            "functions": _tools,
            "logprobs": _logprobs,
            "max_completion_tokens": _tokens,
            "max_tokens": _tokens,
            "messages": _messages,
            "n": _choices,
            "presence_penalty": _number,
            "stop": _stops,
            "store": _boolean,
            "top_logprobs": _alternatives,
        }
    ),
)

_RESPONSES: Final = _Shape(
    # A stored prompt or an earlier turn may replace the input.
    needs=(("model",), ("input", "prompt", "previous_response_id", "conversation")),
    rules=MappingProxyType(
        {
            **_COMMON,
            "background": _background,
            "input": _text_or_list,
            "max_output_tokens": _tokens,
            "previous_response_id": _string,
            "store": _boolean,
            "top_logprobs": _alternatives,
        }
    ),
)

_EMBEDDINGS: Final = _Shape(
    # vLLM also embeds `messages`.
    needs=(("model",), ("input", "messages")),
    rules=MappingProxyType(
        {
            "model": _model,
            "dimensions": _integer(1, _MOST_TOKENS),
            "input": _text_or_list,
            "messages": _messages,
        }
    ),
)

_COUNT_TOKENS: Final = _Shape(
    needs=(("model",), ("messages",)),
    rules=MappingProxyType(
        {"model": _model, "messages": _messages, "system": _text_or_list, "tools": _tools},
    ),
)

_MESSAGES: Final = _Shape(
    needs=(("model",), ("messages",), ("max_tokens",)),
    rules=MappingProxyType(
        {
            **_COMMON,
            "messages": _messages,
            "max_tokens": _max_tokens,
            "stop_sequences": _strings,
            "system": _text_or_list,
            "top_k": _number,
        }
    ),
)
