"""Strict parsing of a JSON request body: rejects any body that two parsers could read differently.

The document that was checked is the one that is forwarded. A provider receives a newly serialized document,
never the caller's bytes, since its parser could read them differently. So a body is rejected wherever parsers
are known to differ (duplicate keys, trailing data, NaN, lone surrogates, numbers beyond 64 bits), and
wherever parsing it would block the event loop for other requests.

orjson does the parsing. It is strict about encoding and syntax, but accepts two things without an error: of
duplicate keys it keeps the last, and an integer beyond 64 bits becomes a float. `_same_meaning` detects both
afterwards from the bytes, at a lower cost than the standard library's `object_pairs_hook`. Microseconds for a
chat body of 1.5 KB, one of 25 KB, and one of 25 KB mostly of tool schemas: 5, 32 and 70 as SDKs write them;
8, 62 and 100 with spaces; and 9, 73 and 111 with the hook.

All steps are linear in the size of the body, without backtracking or recursion. Counting bytes before parsing
bounds the number of objects, whose creation and traversal is slow per byte. The garbage collector adds at
most a quarter to the time of a body at these bounds, and nothing to other bodies, so it is not disabled.
"""

from __future__ import annotations

import builtins
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..errors import Refusal
from .request_fields import BINDING, CONTROL, ROUTING, places, routing_place

__all__ = [
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_PARTS",
    "MAX_QUOTES",
    "Document",
    "checked",
    "parsed",
    "read",
    "survey",
    "too_complex",
]

MAX_DEPTH: Final = 64
"""Levels of objects and arrays, the outermost included. orjson reads 1,024 but writes only 254."""

MAX_PARTS: Final = 100_000
"""Objects, arrays and members of objects together. Parsing and checking this many takes about 20 ms."""

MAX_ELEMENTS: Final = 300_000
"""Commas, that is elements and members. It equals the most tokens of one embeddings request at OpenAI, which
SDKs send as arrays of integers."""

MAX_QUOTES: Final = 2 * (MAX_ELEMENTS + 2 * MAX_PARTS)
"""Quotes around strings. A document within the other limits has no more, and each costs time to remove."""

# Bytes searched to tell whether a body is too deep or too complex if it is both; 65 brackets suffice for
# that.
_PREFIX: Final = 4096

_NOTABLE: Final = BINDING | CONTROL | ROUTING

# The types of elements that `survey` examines. It skips lists without any, such as the tokens of embeddings.
_DEEPER: Final = frozenset({dict, list, float})

# orjson parses integers from -2^63 to 2^64 - 1. Any other becomes a float that is not between these two.
_LOWEST: Final = -(2.0**63)
_HIGHEST: Final = 2.0**64

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_INTEGER: Final = re.compile(r"-?[0-9]++(?![.eE])")


_NO_AMENDMENTS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Document:
    """A parsed and checked request body.

    `value` is the parsed object; a change to it changes what is forwarded. `notable` are the binding names
    (`request_fields.BINDING`) that occur as keys at any depth, including free-form data of the caller. A name
    that is not in it does not occur, so that there is no need to search for it.
    """

    value: dict[str, Any]
    notable: frozenset[str]

    def bytes(
        self, model: str | None = None, amendments: Mapping[str, Any] = _NO_AMENDMENTS
    ) -> builtins.bytes:
        """Returns the document serialized as UTF-8 without white space.

        `model` and the members of `amendments` replace the document's own.
        """
        if model is not None:
            return orjson.dumps({**self.value, **amendments, "model": model})
        return orjson.dumps({**self.value, **amendments} if amendments else self.value)


def read(raw: bytes) -> Document:
    """Parse and check a request body. Raises `Refusal` if it is not acceptable.

    The code of the refusal is one of `invalid_request` (empty, or not an object), `invalid_encoding`,
    `invalid_json`, `duplicate_key`, `json_too_deep`, `json_too_complex`, `number_out_of_range`,
    `forbidden_field`.
    """
    # A shorter body cannot exceed any of the counts.
    if len(raw) > MAX_PARTS:
        _check_size(raw)
    value = parsed(raw)
    seen, has_huge_float = survey(value)
    _same_meaning(raw, value, has_huge_float)
    return checked(value, seen)


def parsed(raw: bytes) -> Any:
    """Returns the object or array of a JSON text. Raises Refusal as `read` does."""
    value: Any = None
    fault: str | None = None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        fault = _diagnose(raw, error)
    if fault is not None:
        # Raised outside of `except`, so that the exception's context does not keep the body alive.
        raise Refusal(fault)
    if value.__class__ is not dict and value.__class__ is not list:  # orjson returns no subclasses
        raise Refusal("invalid_request")
    return value


def checked(value: Any, seen: frozenset[str]) -> Document:
    """Returns the document of a parsed value with these notable keys. Raises Refusal as `read` does."""
    if value.__class__ is not dict:
        raise Refusal("invalid_request")
    if not seen.isdisjoint(CONTROL):
        for place in places(value, CONTROL):
            raise Refusal("forbidden_field", param=place)
    if ("tools" in value or not seen.isdisjoint(ROUTING)) and (routed := routing_place(value)) is not None:
        raise Refusal("forbidden_field", param=routed)
    return Document(value, seen & BINDING)


def _check_size(raw: bytes) -> None:
    """Reject, without parsing, a body that would take too long to parse.

    The first count includes the bytes in strings, which is fast and sufficient for nearly all bodies. Only if
    it is too high, the strings are removed and the rest is counted again: a prompt may be a table with a
    million commas. Raises Refusal `json_too_deep` or `json_too_complex`.
    """
    if _within(raw):
        return
    if (
        _depth(raw[:_PREFIX]) > MAX_DEPTH
        or raw.count(b'"') - raw.count(b'\\"') > MAX_QUOTES
        or not _within(_without_strings(raw))
    ):
        raise too_complex(raw)


def too_complex(raw: bytes) -> Refusal:
    """Returns the refusal of a body with too many parts, or too deep ones."""
    return Refusal("json_too_deep" if _depth(raw[:_PREFIX]) > MAX_DEPTH else "json_too_complex")


def _within(raw: bytes) -> bool:
    """Whether the counts of brackets, colons and commas are within the limits."""
    parts = raw.count(b"{") + raw.count(b"[") + raw.count(b":")
    return parts <= MAX_PARTS and raw.count(b",") <= MAX_ELEMENTS


def _without_strings(raw: bytes) -> bytes:
    """Returns the bytes of a JSON text that are not in a string, that is not between unescaped quotes."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2])


def _depth(text: bytes) -> int:
    """Returns the greatest nesting depth in the beginning of a JSON text, which may be invalid."""
    depth = deepest = 0
    for token in _TOKEN.findall(text):
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _diagnose(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """Returns the error code for a body that orjson rejects.

    It depends on orjson's message only where there is no other way. If a later version has another wording,
    the code falls back to `invalid_json`, and a test fails.
    """
    if not raw.strip(b" \t\n\r"):
        return "invalid_request"
    # JSON begins with an ASCII character, so UTF-16 and UTF-32 without a BOM have a NUL in the first two
    # bytes.
    if raw.startswith(codecs.BOM_UTF8) or 0 in raw[:2] or "surrogate" in error.msg:
        return "invalid_encoding"
    if "depth" in error.msg or _depth(raw[:_PREFIX]) > MAX_DEPTH:
        return "json_too_deep"
    # A number too large for a double is invalid JSON here; if it is an integer, it is out of range instead.
    if "infinity" in error.msg and _INTEGER.match(error.doc, error.pos):
        return "number_out_of_range"
    return "invalid_json"


def survey(root: Any) -> tuple[frozenset[str], bool]:
    """Returns the notable keys of a document, and whether a float is so large that it may have been an
    integer.

    Traverses level by level, so that the depth is known without recursion. Raises Refusal `json_too_deep`.
    """
    seen: frozenset[str] = frozenset()
    has_huge_float = False
    none_notable, none_deeper = _NOTABLE.isdisjoint, _DEEPER.isdisjoint
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            children = node
            if node.__class__ is dict:
                if not none_notable(node):
                    seen |= _NOTABLE & node.keys()
                children = node.values()
            elif none_deeper(map(type, node)):
                continue
            for child in children:
                kind = child.__class__
                if kind is dict or kind is list:
                    below += (child,)
                elif kind is float and not _LOWEST < child < _HIGHEST:
                    has_huge_float = True
        if not below:
            return seen, has_huge_float
        level = below
    raise Refusal("json_too_deep")


def _same_meaning(raw: bytes, value: Any, has_huge_float: bool) -> None:
    r"""Reject a body that orjson accepts but changes: one with a duplicate key or an integer beyond 64 bits.

    Most SDKs write the same bytes as orjson, and then nothing was changed.

    Otherwise the number of colons shows duplicates. Every colon of the text separates a key from its value,
    or is in a string, as itself or as the escape `\u003a`. Parsing loses the colons of the members that it
    drops, at least one for each, and no others; serializing keeps the rest. So the number of colons in the
    text, escaped ones included, equals that in the serialized document exactly if no member was dropped.

    Raises Refusal `duplicate_key` or `number_out_of_range`.
    """
    written = orjson.dumps(value)
    if written == raw:
        return
    colons = raw.count(b":")
    if b"\\u003" in raw:
        text = raw.replace(b"\\\\", b"")  # the remaining backslashes each begin an escape
        colons += text.count(b"\\u003a") + text.count(b"\\u003A")
    if colons != written.count(b":"):
        raise Refusal("duplicate_key")
    if has_huge_float and _overflows(raw):
        raise Refusal("number_out_of_range")


def _overflows(raw: bytes) -> bool:
    """Whether a number is written as an integer that fits neither an int64 nor a uint64.

    The standard library parses integers of any size, and orjson serializes none beyond 64 bits. Other numbers
    are irrelevant here; `len` as the parser of floats takes a fifth of the time of parsing them.
    """
    try:
        orjson.dumps(json.loads(raw, parse_float=len))
    except orjson.JSONEncodeError:
        return True
    return False
