"""A large body gets the same result as a small one, in whatever pieces it is scanned."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.errors import Refusal
from standby.proxy.http import large_document
from standby.proxy.http.json_document import MAX_PARTS, MAX_QUOTES, Document, read
from standby.proxy.http.large_document import LARGE, read_large

__all__: list[str] = []

TEXTS: Final = st.text(alphabet='ab\\"{}[]:,\u0001é\U0001f600', max_size=12)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ODD: Final = (
    b"",
    b" ",
    b"[]",
    b'{"a":1,"a":2}',
    b'{"a":{"b":1,"\\u0062":2}}',
    b'{"a\\u003a":1,"b":":","c":"\\\\"}',
    b'{"a":"\\\\\\\\\\"","b":"\\\\"}',
    b'{"a":18446744073709551615,"b":-9223372036854775808,"c":1e25}',
    b'{"a":18446744073709551616}',
    b'{"a":-9223372036854775809}',
    b'{"a":"18446744073709551616","b":1e30}',
    b'{"a":123456789012345678901234567890.5}',
    b'{"a":1}{"b":2}',
    b'{"a":"' + b"\\" * 9 + b'"}',
    b'{"a"',
    b'{"proxy":"http://evil"}',
    b"\xff\xfe{\x00}\x00",
    b'{"a":' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"a":"' + b'","b":"' * 9 + b'"}',
)


def result(raw: bytes, *, stepwise: bool) -> tuple[Any, ...]:
    """Returns the document or the refusal of a body."""
    try:
        document: Document = asyncio.run(read_large(raw)) if stepwise else read(raw)
    except Refusal as refusal:
        return refusal.code, refusal.param
    return document.value, document.notable


@pytest.fixture(params=[1, 2, 3, 7])
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of so few bytes that everything is cut somewhere."""
    monkeypatch.setattr(large_document, "LARGE", request.param)


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("raw", ODD)
def test_odd_bodies(raw: bytes) -> None:
    """Every body gets the same document or the same code."""
    assert result(raw, stepwise=True) == result(raw, stepwise=False)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.integers(1, 9), st.booleans())
def test_any_body(value: dict[str, Any], size: int, spaced: bool) -> None:
    """Every document, written with or without blanks, gets the same result in slices of any size."""
    raw = json.dumps(value, ensure_ascii=spaced).encode() if spaced else _compact(value)
    before, large_document.LARGE = large_document.LARGE, size  # type: ignore[misc]
    try:
        assert result(raw, stepwise=True) == result(raw, stepwise=False)
    finally:
        large_document.LARGE = before  # type: ignore[misc]


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a":[' + b"{}," * (MAX_PARTS + 1) + b"1]}", "json_too_complex"),
        (b'{"a":[' + b"1," * 300_001 + b"1]}", "json_too_complex"),
        (b'"' * (MAX_QUOTES + 2), "json_too_complex"),
        (b"[" * (2 * LARGE), "json_too_deep"),
    ],
)
def test_a_body_is_bounded_by_its_structure(body: bytes, code: str) -> None:
    """Too many parts, elements, strings or levels are refused before they are parsed."""
    assert result(body + b" " * LARGE, stepwise=True) == (code, None)


@pytest.mark.parametrize("blank", [b"", b" " * 2 * LARGE])
def test_many_strings(blank: bytes) -> None:
    """A list of many strings is within the limits, however many bytes it has."""
    words = b'{"a":[' + b'"ab",' * 150_000 + b'"ab"]' + blank + b"}"
    assert result(words, stepwise=True) == result(words, stepwise=False)
    assert len(result(words, stepwise=True)[0]["a"]) == 150_001


def test_an_image_of_many_megabytes() -> None:
    """What is in strings does not count: an image as large as vendors take is one part."""
    image = base64.b64encode(bytes(range(256)) * 90_000).decode()
    value = {"model": "m", "messages": [{"content": [{"image_url": {"url": f"data:;base64,{image}"}}]}]}
    assert result(orjson.dumps(value), stepwise=True)[0] == value
