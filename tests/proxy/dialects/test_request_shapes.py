"""Tests of request validation: only what every vendor would reject is rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson
import pytest
from standby.proxy.dialects.request_shapes import (
    check_chat,
    check_count_tokens,
    check_embeddings,
    check_messages,
    check_responses,
)
from standby.proxy.errors import Refusal
from standby.proxy.http.json_document import read

__all__: list[str] = []

Check: TypeAlias = Callable[[dict[str, Any]], None]
Values: TypeAlias = tuple[object, ...]

TURNS: Final = ({"role": "user", "content": "hi"},)
TOOL: Final = {"type": "function"}


def minimal(check: Check) -> dict[str, Any]:
    """The smallest valid request of an operation."""
    value: dict[str, Any] = {"model": "pool"}
    if check in {check_responses, check_embeddings}:
        return {**value, "input": "hi"}
    if check is check_messages:
        value["max_tokens"] = 1
    return {**value, "messages": [*TURNS]}


CHECKS: Final = (check_chat, check_responses, check_embeddings, check_messages, check_count_tokens)
STREAMED: Final = (check_chat, check_responses, check_messages)


def refusal(check: Check, value: dict[str, Any]) -> Refusal:
    """The refusal of a body, after conversion to JSON and back."""
    with pytest.raises(Refusal) as caught:
        check(read(orjson.dumps(value)).value)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("check", CHECKS)
def test_the_least_is_enough(check: Check) -> None:
    """A request with only the required members is accepted."""
    check(minimal(check))


@pytest.mark.parametrize("check", CHECKS)
def test_the_unknown_passes(check: Check) -> None:
    """Unknown members and values are accepted, since the vendor decides about them."""
    check(
        {
            **minimal(check),
            "brand_new": {"n": -1, "stream": "true"},
            "service_tier": "galactic",
            "reasoning": {"effort": "utmost"},
            "tool_choice": "whatever",
            "response_format": {"type": "haiku"},
            "user": 7,
        }
    )


@pytest.mark.parametrize("check", CHECKS)
def test_null_is_absence(check: Check) -> None:
    """SDKs send null for members that are not set; null for a required member counts as missing."""
    required = minimal(check)
    optional = {
        "stream",
        "stream_options",
        "temperature",
        "tools",
        "metadata",
        "n",
        "stop",
        "system",
        "store",
    }
    check({**dict.fromkeys(optional), **required})
    for name in required:
        refused = refusal(check, {**required, name: None})
        assert (refused.code, refused.param) == ("invalid_request", name)


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_required_must_be_there(check: Check) -> None:
    """A missing member, and an empty list of messages or inputs, is reported by name."""
    required = minimal(check)
    for name in required:
        refused = refusal(check, {key: value for key, value in required.items() if key != name})
        assert (refused.code, refused.param) == ("invalid_request", name)
    content = "input" if "input" in required else "messages"
    refused = refusal(check, {**required, content: []})
    assert (refused.code, refused.param) == ("invalid_request", content)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model", ["", "m" * 257, "m" * 1_000_000, 7, True, ["m"], {"id": "m"}])
def test_what_cannot_be_a_name_is_no_model(check: Check, model: object) -> None:
    """A model that is not a string of 1 to 256 characters is unknown, with status 400."""
    refused = refusal(check, {**minimal(check), "model": model})
    assert (refused.code, refused.param) == ("unknown_model", "model")


@pytest.mark.parametrize(
    "model",
    ["m" * 256, "https://evil/", "../x", "a/b", "pool ", "pool\0", "POOL", "\u0440\u043e\u043el"],
)
def test_any_name_may_be_a_model(model: str) -> None:
    """Any such string is accepted as a model; routing decides whether it exists."""
    check_chat({**minimal(check_chat), "model": model})


WRONG_TOKENS: Final[Values] = (-1, 1.5, 10.0, 1e9, 10**7 + 1, 2**63, "10", True, False, [1], {})
WRONG_SWITCHES: Final[Values] = ("true", "false", "", 0, 1, 1.0, [], {})
WRONG_NUMBERS: Final[Values] = ("0.5", True, False, [0.5], {})
WRONG_OBJECTS: Final[Values] = ("x", 1, True, ["x"], [])
WRONG_LISTS: Final[Values] = ("x", 1, True, {})
WRONG_CHOICES: Final[Values] = (0, -1, 1.0, 10**6, 129, "2", True, [1])


WRONG: Final[tuple[tuple[tuple[Check, ...], str, Values], ...]] = (
    (STREAMED, "stream", WRONG_SWITCHES),
    (STREAMED, "temperature", WRONG_NUMBERS),
    (STREAMED, "top_p", WRONG_NUMBERS),
    (STREAMED, "metadata", WRONG_OBJECTS),
    (STREAMED, "stream_options", WRONG_OBJECTS),
    ((*STREAMED, check_count_tokens), "tools", (*WRONG_LISTS, [TOOL] * 1_025, [TOOL] * 10_000)),
    ((check_chat, check_messages, check_count_tokens), "messages", WRONG_LISTS),
    ((check_chat,), "max_tokens", (0, *WRONG_TOKENS)),
    ((check_chat,), "max_completion_tokens", (0, *WRONG_TOKENS)),
    ((check_responses,), "max_output_tokens", (0, *WRONG_TOKENS)),
    ((check_messages,), "max_tokens", WRONG_TOKENS),
    ((check_embeddings,), "dimensions", (0, *WRONG_TOKENS)),
    ((check_chat,), "n", WRONG_CHOICES),
    ((check_chat,), "best_of", WRONG_CHOICES),
    ((check_chat,), "top_logprobs", (-1, 129, 10_000, True, "5", 1.0)),
    ((check_responses,), "top_logprobs", (-1, 129, 10_000, True, "5", 1.0)),
    ((check_chat,), "logprobs", (10_000, -1, "true", 1.0, [])),
    ((check_chat,), "presence_penalty", WRONG_NUMBERS),
    ((check_chat,), "frequency_penalty", WRONG_NUMBERS),
    ((check_chat,), "functions", WRONG_LISTS),
    ((check_chat,), "stop", (1, True, {})),
    ((check_messages,), "stop_sequences", WRONG_LISTS),
    ((check_messages,), "top_k", WRONG_NUMBERS),
    ((check_messages, check_count_tokens), "system", (1, True, {})),
    ((check_chat, check_responses), "store", WRONG_SWITCHES),
    ((check_responses,), "background", WRONG_SWITCHES),
    ((check_responses,), "previous_response_id", (1, True, ["r"], {})),
    ((check_responses, check_embeddings), "input", (1, 0, True, {})),
    ((check_embeddings,), "messages", WRONG_LISTS),
)


@pytest.mark.parametrize(
    ("check", "name", "wrong"),
    [(check, name, value) for checks, name, values in WRONG for check in checks for value in values],
)
def test_a_wrong_value_is_named(check: Check, name: str, wrong: object) -> None:
    """A member of the wrong type or out of range is reported by name; a bool is not an integer."""
    refused = refusal(check, {**minimal(check), name: wrong})
    assert (refused.code, refused.param) == ("invalid_value", name)


RIGHT: Final[tuple[tuple[tuple[Check, ...], str, Values], ...]] = (
    (STREAMED, "stream", (True, False)),
    (STREAMED, "temperature", (0, 0.0, 1, 2.5, -1)),
    (STREAMED, "metadata", ({}, {"user_id": "u"})),
    (STREAMED, "stream_options", ({}, {"include_usage": True}, {"include_usage": None, "x": 1})),
    (STREAMED, "tools", ([], [TOOL] * 1_024)),
    ((check_chat,), "max_tokens", (1, 10**7)),
    ((check_messages,), "max_tokens", (0, 1, 10**7)),
    ((check_chat,), "n", (1, 128)),
    ((check_chat,), "logprobs", (True, False, 5)),
    ((check_chat,), "top_logprobs", (0, 20)),
    ((check_chat,), "stop", ("x", [], ["x", "y"])),
    ((check_messages,), "stop_sequences", ([], ["x"])),
    ((check_messages,), "system", ("x", [{"type": "text", "text": "x"}])),
    ((check_chat,), "messages", ([{"role": "user"}], [{"role": "whoever", "content": None}])),
    ((check_responses,), "input", ("", [{"role": "user", "content": "x"}])),
    ((check_embeddings,), "input", ("x", ["x", "y"], [1, 2], [[1], [2, 3]])),
)


@pytest.mark.parametrize(
    ("check", "name", "right"),
    [(check, name, value) for checks, name, values in RIGHT for check in checks for value in values],
)
def test_a_right_value_passes(check: Check, name: str, right: object) -> None:
    """Every type that some vendor documents is accepted, up to the bounds."""
    check(read(orjson.dumps({**minimal(check), name: right})).value)


INSIDE: Final[tuple[tuple[Check, str, object, str], ...]] = (
    (check_chat, "messages", [*TURNS, "hi"], "messages[1]"),
    (check_chat, "messages", [{"content": "hi"}], "messages[0].role"),
    (check_messages, "messages", [*TURNS, {"role": 1}], "messages[1].role"),
    (check_count_tokens, "messages", [["hi"]], "messages[0]"),
    (check_chat, "stream_options", {"include_usage": "true"}, "stream_options.include_usage"),
    (check_chat, "tools", [TOOL, "search"], "tools[1]"),
    (check_chat, "stop", ["x", 1], "stop[1]"),
    (check_messages, "stop_sequences", [None], "stop_sequences[0]"),
)


@pytest.mark.parametrize(("check", "name", "wrong", "param"), INSIDE)
def test_the_place_of_a_fault_is_named(check: Check, name: str, wrong: object, param: str) -> None:
    """An error inside a member is reported with its path."""
    refused = refusal(check, {**minimal(check), name: wrong})
    assert (refused.code, refused.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    ("check", "instead"),
    [
        (check_responses, {"prompt": {"id": "pmpt_1"}}),
        (check_responses, {"previous_response_id": "resp_1", "input": []}),
        (check_responses, {"conversation": "conv_1"}),
        (check_embeddings, {"messages": [*TURNS]}),
    ],
)
def test_other_members_may_stand_in_for_input(check: Check, instead: dict[str, Any]) -> None:
    """A stored prompt or an earlier turn needs no input, and some servers embed conversations."""
    check({"model": "pool", **instead})


@pytest.mark.parametrize(
    ("check", "member", "value", "message"),
    [
        (check_chat, "max_tokens", -1, "max_tokens must be a whole number from 1 to 10000000"),
        (check_chat, "max_tokens", 4096.0, "max_tokens must be a whole number from 1 to 10000000"),
        (check_messages, "max_tokens", -1, "max_tokens must be a whole number from 0 to 10000000"),
        (check_chat, "stream", "yes", "stream must be true or false"),
        (check_chat, "messages", [{"role": 1}], "messages[0].role"),
        (check_chat, "temperature", "hot", "temperature must be a number"),
    ],
)
def test_the_message_says_what_is_wrong(check: Check, member: str, value: object, message: str) -> None:
    """The message names the field and what it must be, since SDKs show nothing else."""
    refused = refusal(check, {**minimal(check), member: value})
    assert refused.message == f"A field has the wrong type or is out of range: {message}."


def test_the_background_is_not_served() -> None:
    """A response that would be fetched later is refused with the reason; `false` and null are accepted."""
    assert refusal(check_responses, {**minimal(check_responses), "background": True}).code == (
        "background_not_supported"
    )
    for background in (False, None):
        check_responses({**minimal(check_responses), "background": background})
