"""Properties of reading a request body, for any document and for any bytes."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standby.proxy.dialects.json_values import is_list
from standby.proxy.errors import Refusal
from standby.proxy.http.json_document import Document, read
from standby.proxy.http.request_fields import CONTROL

__all__: list[str] = []

UNTIMED: Final = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
"""No property depends on the load of the machine."""

# Colons, quotes, backslashes and the hexadecimal digits of a colon: what finding duplicates depends on.
TEXT: Final = st.text() | st.lists(
    st.sampled_from([*':"\\u003aA{}[],n\u00e9\U0001f600', "\\u003a", "\\\\", '\\"'])
).map("".join)
KEYS: Final = TEXT.filter(lambda key: key not in CONTROL)
SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=4),
    max_leaves=12,
)
OBJECTS: Final = st.dictionaries(KEYS, VALUES, max_size=4)


class Members(list[tuple[str, Any]]):
    """An object as a list of its members, in which a key may be repeated."""


def spell(text: str, draw: st.DrawFn) -> str:
    """A JSON string with the value `text`, in which some characters are escaped without need."""
    spelled = [
        f"\\u{ord(character):04{draw(st.sampled_from('xX'))}}"
        if ord(character) < 0x10000 and draw(st.booleans())
        else json.dumps(character, ensure_ascii=draw(st.booleans()))[1:-1]
        for character in text
    ]
    return f'"{"".join(spelled)}"'


def write(value: object, draw: st.DrawFn) -> str:
    """A JSON text with the value `value`, with optional white space and escapes."""
    gap = draw(st.sampled_from(["", "", " ", "\n\t"]))
    if isinstance(value, str):
        return spell(value, draw)
    if isinstance(value, Members):
        members = [f"{spell(key, draw)}{gap}:{write(member, draw)}" for key, member in value]
        return "{" + gap + f",{gap}".join(members) + "}"
    if is_list(value):
        return "[" + f"{gap},".join(write(element, draw) for element in value) + gap + "]"
    return json.dumps(value)


def unfold(value: Any) -> Any:
    """The same value with its objects as lists of members."""
    if value.__class__ is dict:
        return Members((key, unfold(member)) for key, member in value.items())
    return [unfold(element) for element in value] if is_list(value) else value


def objects(value: Any) -> list[Members]:
    """All objects in `value` that have a member."""
    inner: list[Any] = [member for _, member in value] if isinstance(value, Members) else value
    found = [each for child in inner for each in objects(child)] if isinstance(value, list) else []
    return [*found, value] if isinstance(value, Members) and value else found


@st.composite
def spelled(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """An object and one of the many JSON texts for it."""
    value = draw(OBJECTS)
    return value, write(unfold(value), draw).encode()


@st.composite
def with_duplicate(draw: st.DrawFn) -> bytes:
    """A JSON text in which one object repeats one of its keys."""
    value = unfold(draw(OBJECTS.filter(bool)))
    chosen = draw(st.sampled_from(objects(value)))
    key, member = draw(st.sampled_from(chosen))
    again = draw(st.just(member) | VALUES.map(unfold))
    chosen.insert(draw(st.integers(0, len(chosen))), (key, again))
    return write(value, draw).encode()


@UNTIMED
@given(spelled())
def test_a_document_survives(case: tuple[dict[str, Any], bytes]) -> None:
    """For any notation of an object, its value is read and forwarded unchanged."""
    value, raw = case
    document = read(raw)
    assert document.value == value
    assert json.loads(document.bytes()) == value
    assert json.loads(document.bytes("other")) == {**value, "model": "other"}


@UNTIMED
@given(OBJECTS)
def test_what_was_forwarded_is_read_the_same(value: dict[str, Any]) -> None:
    """A forwarded document is forwarded by a second gateway byte for byte."""
    raw = Document(value, frozenset()).bytes()
    assert read(raw).bytes() == raw


@UNTIMED
@given(with_duplicate())
def test_every_duplicate_is_found(raw: bytes) -> None:
    """A repeated key is found at any depth, in any notation, next to anything."""
    with pytest.raises(Refusal) as caught:
        read(raw)
    assert caught.value.code == "duplicate_key"


@UNTIMED
@given(st.integers(), st.sampled_from(["[%d]", '{"x": [1.5, %d]}', '{"\\u003a" : %d}']))
def test_no_integer_is_changed(number: int, frame: str) -> None:
    """An integer is either kept or rejected."""
    raw = f'{{"a": {frame % number}}}'.encode()
    if -(2**63) <= number < 2**64:
        assert json.loads(read(raw).bytes()) == json.loads(raw)
    else:
        with pytest.raises(Refusal, match="64 bits"):
            read(raw)


PIECES: Final = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u003a", b"\\ud800", b'"a"', b'"proxy":', b"1e999"),
    *(b"-", b"9" * 25, b"NaN", b"true", b" ", b"\x00", b"\xff", b"\xef\xbb\xbf", b"[" * 70, b'{"a":' * 40),
)


@UNTIMED
@given(st.binary() | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No bytes raise anything but a refusal, and the value equals that of the standard library."""
    try:
        document = read(raw)
    except Refusal:
        return
    assert document.value == json.loads(raw)


@UNTIMED
@given(spelled(), st.data())
def test_a_cut_document_is_refused(case: tuple[dict[str, Any], bytes], data: st.DataObject) -> None:
    """A truncated object is never accepted."""
    _, raw = case
    end = data.draw(st.integers(0, len(raw.rstrip()) - 1))
    with pytest.raises(Refusal):
        read(raw[:end])
