"""Strict reading of a JSON request body: one meaning, or a refusal.

What was inspected is what is forwarded. A provider gets the document written anew, never the caller's bytes,
which its parser may read differently from ours: so a body is refused wherever parsers are known to differ
(duplicate keys, trailing data, NaN, lone surrogates, numbers beyond 64 bits), and wherever reading it would
block the event loop for the other requests.

orjson does the parsing. It is strict about encoding and syntax, but silent about two things: of duplicate
keys it keeps the last, and an integer beyond 64 bits becomes a float. `_same_meaning` finds both afterwards,
from the bytes, for less than the standard library's `object_pairs_hook` costs. In microseconds, for a chat
body of 1.5 KB, one of 25 KB, and 25 KB mostly of tool schemas: 5, 32 and 70 as SDKs write them, 8, 62 and 100
with spaces, against 9, 73 and 111 with the hook.

Everything is linear in the size of the body, without backtracking or recursion; and what is slow per byte in
that (making objects, looking at them) is bounded by counting bytes before anything is parsed. The garbage
collector adds at most a quarter to a body at these bounds and nothing to others, so it is left alone.
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
from .request_fields import BINDING, CONTROL, places

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "MAX_PARTS", "Document", "read"]

MAX_DEPTH: Final = 64
"""Levels of objects and arrays, the outermost included. orjson reads 1,024 but writes only 254."""

MAX_PARTS: Final = 100_000
"""Objects, arrays and members of objects together: about 20 ms to read and to look through."""

MAX_ELEMENTS: Final = 300_000
"""Commas: elements and members. As many as one embeddings request at OpenAI may hold tokens, which SDKs send
as arrays of integers."""

# A body that says one thing in two ways is decided by its beginning; 65 brackets are enough to see.
_PREFIX: Final = 4096

_NOTABLE: Final = BINDING | CONTROL

# What `_survey` looks at. A list of anything else, like the tokens of an embeddings request, it skips.
_DEEPER: Final = frozenset({dict, list, float})

# orjson reads integers from -2^63 to 2^64 - 1. Those beyond become floats, which are not between these two.
_LOWEST: Final = -(2.0**63)
_HIGHEST: Final = 2.0**64

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_INTEGER: Final = re.compile(r"-?[0-9]++(?![.eE])")


_NO_AMENDMENTS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Document:
    """A request body that has one meaning.

    `value` is the parsed object; whoever changes it changes what is forwarded. `notable` are the binding
    names (`request_fields.BINDING`) seen as keys anywhere, in the caller's own data too: one that is not
    among them need not be searched for.
    """

    value: dict[str, Any]
    notable: frozenset[str]

    def bytes(
        self, model: str | None = None, amendments: Mapping[str, Any] = _NO_AMENDMENTS
    ) -> builtins.bytes:
        """The document written anew as UTF-8 without white space, with `model` and the members of
        `amendments` in place of its own.
        """
        if model is not None:
            return orjson.dumps({**self.value, **amendments, "model": model})
        return orjson.dumps({**self.value, **amendments} if amendments else self.value)


def read(raw: bytes) -> Document:
    """Read a request body, or raise `Refusal`.

    Its code is one of `invalid_request` (empty, or not an object), `invalid_encoding`, `invalid_json`,
    `duplicate_key`, `json_too_deep`, `json_too_complex`, `number_out_of_range`, `forbidden_field`.
    """
    # A body this short cannot hold too much of anything.
    if len(raw) > MAX_PARTS:
        _weigh(raw)
    value: Any = None
    fault: str | None = None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        fault = _diagnose(raw, error)
    if fault is not None:  # raised out here, so that the refusal does not keep the body alive as its context
        raise Refusal(fault)
    if value.__class__ is not dict and value.__class__ is not list:  # orjson makes no subclasses
        raise Refusal("invalid_request")
    seen, huge = _survey(value)
    _same_meaning(raw, value, huge)
    if value.__class__ is not dict:
        raise Refusal("invalid_request")
    if not seen.isdisjoint(CONTROL):
        for place in places(value, CONTROL):
            raise Refusal("forbidden_field", param=place)
    return Document(value, seen & BINDING)


def _weigh(raw: bytes) -> None:
    """Refuse, without parsing, a body that would take too long to parse.

    Bytes are counted wherever they stand, which is fast and right for nearly all bodies. Only when there are
    too many are the strings taken out to count again: a prompt may be a table with a million commas.
    """
    if _within(raw):
        return
    if _depth(raw[:_PREFIX]) > MAX_DEPTH:
        raise Refusal("json_too_deep")
    # Taking strings out costs time for each of them; with this many it is no prompt that raised the counts.
    if raw.count(b'"') - raw.count(b'\\"') > 2 * MAX_PARTS or not _within(_outside_strings(raw)):
        raise Refusal("json_too_complex")


def _within(raw: bytes) -> bool:
    parts = raw.count(b"{") + raw.count(b"[") + raw.count(b":")
    return parts <= MAX_PARTS and raw.count(b",") <= MAX_ELEMENTS


def _outside_strings(raw: bytes) -> bytes:
    """The bytes of a JSON text that are not in a string: between quotes that are not escaped."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2])


def _depth(text: bytes) -> int:
    """How deep the beginning of a JSON text is nested at its deepest, whether or not it is valid."""
    depth = deepest = 0
    for token in _TOKEN.findall(text):
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _diagnose(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """The code for what orjson would not read.

    Its message is read where only orjson knows better. Were it worded differently one day, the code would
    fall back to `invalid_json`, and a test would say so.
    """
    if not raw.strip(b" \t\n\r"):
        return "invalid_request"
    # JSON begins with an ASCII character: UTF-16 and UTF-32 without a mark have a NUL in the first two bytes.
    if raw.startswith(codecs.BOM_UTF8) or 0 in raw[:2] or "surrogate" in error.msg:
        return "invalid_encoding"
    if "depth" in error.msg or _depth(raw[:_PREFIX]) > MAX_DEPTH:
        return "json_too_deep"
    # A number beyond a double is no valid JSON for us; written as an integer, it is merely out of range.
    if "infinity" in error.msg and _INTEGER.match(error.doc, error.pos):
        return "number_out_of_range"
    return "invalid_json"


def _survey(root: Any) -> tuple[frozenset[str], bool]:
    """The notable keys of a document, and whether a number is so large that it may have been an integer.

    Level by level, so that the depth is known without recursion. Raises `json_too_deep`.
    """
    seen: frozenset[str] = frozenset()
    huge = False
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
                    below.append(child)
                elif kind is float and not _LOWEST < child < _HIGHEST:
                    huge = True
        if not below:
            return seen, huge
        level = below
    raise Refusal("json_too_deep")


def _same_meaning(raw: bytes, value: Any, huge: bool) -> None:
    r"""Refuse what orjson read but changed: a duplicate key, an integer beyond 64 bits.

    Most SDKs write what orjson writes, byte for byte, and then nothing was changed.

    Otherwise duplicates show in the number of colons. Every colon of the text separates a member's key from
    its value, or stands in a string, as itself or as the escape `\u003a`. Parsing loses those of the members
    it drops and no others, at least one for each; writing keeps all that are left. So the colons of the text,
    escaped ones included, are as many as those of the document written anew exactly if nothing was dropped.
    """
    written = orjson.dumps(value)
    if written == raw:
        return
    colons = raw.count(b":")
    if b"\\u003" in raw:
        text = raw.replace(b"\\\\", b"")  # leaves no backslash but the first of an escape
        colons += text.count(b"\\u003a") + text.count(b"\\u003A")
    if colons != written.count(b":"):
        raise Refusal("duplicate_key")
    if huge and _overflows(raw):
        raise Refusal("number_out_of_range")


def _overflows(raw: bytes) -> bool:
    """Whether a number is written as an integer that neither an int64 nor a uint64 holds.

    The standard library reads integers of any size, and orjson writes none beyond 64 bits. Other numbers do
    not matter here; `len` takes their text for a fifth of what reading them costs.
    """
    try:
        orjson.dumps(json.loads(raw, parse_float=len))
    except orjson.JSONEncodeError:
        return True
    return False
