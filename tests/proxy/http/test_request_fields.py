"""Tests of finding control and binding names in a request body, outside the caller's own data."""

from __future__ import annotations

import re
from typing import Any

import pytest
from standby.proxy.http.request_fields import BINDING, CONTROL, places

__all__: list[str] = []


def test_no_name_is_of_both_kinds() -> None:
    """Control names are rejected, so none may be a legitimate field of a request."""
    assert BINDING.isdisjoint(CONTROL)
    assert CONTROL.isdisjoint({"model", "messages", "metadata", "extra_body", "headers", "user", "models"})


def test_places_are_spelled_as_providers_spell_them() -> None:
    """Keys are joined by dots, elements are in brackets, and the shallowest path comes first."""
    document = {"a": [{"b": {"proxy": 1}}, {"proxy": 2}], "c": {"d": [[{"proxy": 3}]]}, "proxy": 4}
    assert [*places(document, CONTROL)] == ["proxy", "a[1].proxy", "a[0].b.proxy", "c.d[0][0].proxy"]


def test_only_keys_are_names() -> None:
    """A name as a value, as part of a key, or in another case does not match."""
    document = {"a": "proxy", "b": ["proxy"], "my_proxy": 1, "Proxy": 2, "proxy ": 3}
    assert [*places(document, CONTROL)] == []


@pytest.mark.parametrize(
    "path",
    [
        "tools.0.function.parameters",
        "tools.0.parameters",
        "tools.0.input_schema",
        "tools.0.output_schema",
        "tools.0.tools.0.parameters",
        "tools.0.input_examples",
        "tools.0.headers",
        "functions.0.parameters",
        "response_format.json_schema.schema",
        "response_format.schema",
        "text.format.schema",
        "output_config.format.schema",
        "output_format.schema",
        "guided_json",
        "structured_outputs.json",
        "messages.0.content.0.input",
        "messages.0.function_call.arguments",
        "messages.0.tool_calls.0.function.arguments",
        "input.0.arguments",
        "input.0.action.env",
        "input.0.results.0.attributes",
        "prompt.variables",
        "chat_template_kwargs",
        "documents",
    ],
)
@pytest.mark.parametrize("below", [{"proxy": 1}, {"properties": {"x": [{"proxy": None}]}}, [{"proxy": 1}]])
def test_the_callers_own_data_is_passed_over(path: str, below: Any) -> None:
    """Any name is allowed where the caller chooses the keys, and none is in a similar place."""
    steps = path.split(".")
    assert [*places(at(steps, below), CONTROL)] == []
    assert len([*places(at(steps[:-1], {"else": below}), CONTROL)]) == 1
    assert len([*places(at(["else", *steps], below), CONTROL)]) == 1


@pytest.mark.parametrize("path", ["extra_body", "input", "messages.0.content", "tools.0", "text"])
def test_other_objects_are_fields_of_the_request(path: str) -> None:
    """Control names are not allowed where a provider that is a gateway itself could read them."""
    assert len([*places(at(path.split("."), {"proxy": 1}), CONTROL)]) == 1


def test_a_key_is_no_index() -> None:
    """An object in place of a list does not count as the list, for any keys."""
    for key in ("0", "[]", "None", ""):
        document = {"tools": {key: {"parameters": {"proxy": 1}}}}
        assert len([*places(document, CONTROL)]) == 1


def test_a_place_is_safe_to_show() -> None:
    """A path has only characters of plain names, at most 256 of them, and always its end."""
    hostile = '\n\x1b[2J"${jndi:ldap}\u202e' + "k" * 1_000
    document: dict[str, Any] = {"proxy": "secret"}
    for _ in range(60):
        document = {hostile: [document]}
    (place,) = places(document, CONTROL)

    assert re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,256}", place)
    assert place.endswith("[0].proxy")
    assert "secret" not in place


def at(steps: list[str], value: Any) -> Any:
    """A document with `value` at the path `steps`; 0 is the first element of a list."""
    for step in reversed(steps):
        value = [value] if step == "0" else {step: value}
    return value
