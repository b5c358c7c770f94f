"""Tests of the limits of a request body: depth, size and precision of numbers."""

from __future__ import annotations

import json
from typing import Final

import orjson
import pytest
from standby.proxy.errors import Refusal
from standby.proxy.http.json_document import MAX_DEPTH, MAX_ELEMENTS, MAX_PARTS, read

__all__: list[str] = []

BODY_LIMIT: Final = 4 * 1024 * 1024
LONG: Final = b'"' + b"x" * (MAX_PARTS + 1) + b'"'
"""A string that makes a body long enough to have its size checked."""


def refused(raw: bytes) -> str:
    """The error code for a rejected body."""
    with pytest.raises(Refusal) as caught:
        read(raw)
    assert caught.value.status == 400
    return caught.value.code


def nested(levels: int) -> bytes:
    """An object that holds arrays in arrays, `levels` deep in all."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize("levels", [2, 63, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_read(levels: int) -> None:
    """An object 64 levels deep is accepted and can be serialized again."""
    assert json.loads(read(nested(levels)).bytes()) == json.loads(nested(levels))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw, id=name)
        for name, raw in {
            **{f"{levels} levels": nested(levels) for levels in (65, 254, 255, 256, 1024, 1025, 50_000)},
            "brackets": b"[" * 65 + b"]" * 65,
            "a million brackets": b"[" * 1_000_000,
            "a million closed brackets": b"[" * 1_000_000 + b"]" * 1_000_000,
            "as many as fit": b"[" * BODY_LIMIT,
            "never closed": b'{"a":' + b"[" * 64,
            "objects": b'{"a":' * 65 + b"1" + b"}" * 65,
            "half a million objects": b'{"a":' * 500_000,
            "with brackets in strings": b'{"]}\\"]":' * 65 + b"1" + b"}" * 65,
            "after a model": b'{"model":"m","messages":' + b"[" * 1_000_000,
            "after a long prompt": b'{"a":' + LONG + b',"b":' + nested(65) + b"}",
            "far after a long prompt": b'{"a":' + LONG + b',"b":' + nested(1200) + b"}",
            "beside what is flat": b'{"a":[[],[]],"b":' + nested(64) + b',"c":[]}',
        }.items()
    ],
)
def test_nesting_beyond_the_limit_is_too_deep(raw: bytes) -> None:
    """More than 64 levels are rejected, whether orjson could parse or serialize them, closed or not."""
    assert refused(raw) == "json_too_deep"


def test_brackets_in_strings_are_no_nesting() -> None:
    """A prompt may contain any number of brackets."""
    raw = orjson.dumps({"a": "[{" * MAX_PARTS, "b": '"[' * MAX_PARTS})
    assert read(raw).value == orjson.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw, id=name)
        for name, raw in {
            "empty arrays": b'{"a":[' + b"[]," * (MAX_PARTS - 2) + b"[]]}",
            "empty objects": b'{"messages":[' + b"{}," * 1_000_000 + b"{}]}",
            "no document": b"[]," * 1_000_000,
            "members": b"{" + b",".join(b'"%d":0' % key for key in range(MAX_PARTS)) + b"}",
            "equal members": b"{" + b",".join([b'"a":0'] * (BODY_LIMIT // 6)) + b"}",
            "elements": b'{"a":[' + b"0," * (MAX_ELEMENTS + 1) + b"0]}",
            "empty strings": b'{"a":[' + b'"",' * (BODY_LIMIT // 3 - 9) + b'""]}',
            "backslashes": b'{"a":[' + b'"\\\\",' * (BODY_LIMIT // 5 - 9) + b'""]}',
            "beside a long prompt": b'{"b":' + LONG + b',"a":[' + b"[]," * MAX_PARTS + b"[]]}",
        }.items()
    ],
)
def test_too_many_parts_are_too_complex(raw: bytes) -> None:
    """Objects, arrays, members and elements beyond their limits are rejected."""
    assert len(raw) <= BODY_LIMIT
    assert refused(raw) == "json_too_complex"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw, id=name)
        for name, raw in {
            "parts": b'{"a":[' + b"[]," * (MAX_PARTS - 4) + b"[]]}",
            "elements": b'{"a":[' + b"0," * MAX_ELEMENTS + b"0]}",
            "a table": orjson.dumps({"a": "1,2,3\n" * 200_000}),
            "a document in a string": orjson.dumps({"a": json.dumps([{"b": ["c"]}] * 60_000)}),
            "a log": orjson.dumps({"a": "12:30:45 C:\\dir\\\n" * 100_000}),
        }.items()
    ],
)
def test_what_is_large_but_simple_is_read(raw: bytes) -> None:
    """Bodies at their limits are accepted, and the characters in prompts do not count."""
    assert len(raw) <= BODY_LIMIT
    assert read(raw).bytes() == raw


@pytest.mark.parametrize(
    "number",
    [
        str(2**64),
        str(-(2**63) - 1),
        str(10**19 * 2),
        str(-(10**19)),
        "1" + "0" * 30,
        "9" * 308,
        "9" * 309,
        "-" + "9" * 400,
        "9" * 5000,
    ],
)
@pytest.mark.parametrize("frame", ['{"max_tokens":%s}', '{"a":"\u00e9",  "b":[{"c":[1.5,%s]}]}'])
def test_an_integer_beyond_64_bits_is_out_of_range(frame: str, number: str) -> None:
    """An integer that cannot be serialized unchanged is rejected in any place."""
    assert refused((frame % number).encode()) == "number_out_of_range"


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, -(2**63), 10**19, 0, -1])
def test_an_integer_of_64_bits_is_kept(number: int) -> None:
    """Every int64 and every uint64 is forwarded digit by digit, also next to a large float."""
    raw = b'{"a": %d, "b": [1.7976931348623157e+308, 1e19]}' % number
    value = read(raw).value
    assert value["a"] == number
    assert type(value["a"]) is int


@pytest.mark.parametrize(
    "number", ["1.8446744073709551616e19", "1e300", "-9223372036854775809.0", "2E+70", "1" + "0" * 40 + ".5"]
)
def test_a_large_float_is_no_integer(number: str) -> None:
    """A number with a fraction or an exponent is a double, and digits in a string are text."""
    raw = b'{"a": %s, "b": "18446744073709551616"}' % number.encode()
    assert read(raw).value == json.loads(raw)
