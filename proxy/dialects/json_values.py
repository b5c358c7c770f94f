"""Reading untrusted JSON: each function returns a value of the right type or a default, and never raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard, cast

import orjson

from .usage import Usage

__all__ = [
    "COMPLETION_NAMES",
    "MOST",
    "RESPONSE_NAMES",
    "UsageNames",
    "count",
    "dumped",
    "error_of",
    "is_list",
    "is_object",
    "lenient",
    "name",
    "number",
    "openai_usage",
    "read_json",
    "served_tier",
    "size",
    "text",
    "within",
]


_LONGEST_NAME: Final = 200
_DIGITS: Final = 10
MOST: Final = 1_000_000_000
"""The most tokens that a count may have. A larger one is invalid, and its cost would not fit into a store."""


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether `value` is a JSON array. By its class, which is never a subclass in what a parser returns."""
    return value.__class__ is list


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether `value` is a JSON object."""
    return value.__class__ is dict


def number(value: object) -> int | None:
    """Returns `value` if it is a valid number of tokens, from 0 to `MOST`, else None.

    Some servers write counts as floats or, as the JSON mapping of Protocol Buffers does, as text.
    """
    if value is None:
        return None
    if type(value) is int:
        return value if 0 <= value <= MOST else None
    whole = type(value) is float and value.is_integer()
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS
    if whole or digits:
        value = int(cast("float | str", value))
    return value if type(value) is int and 0 <= value <= MOST else None


def count(value: object) -> int:
    """Returns `value` if it is a valid number of tokens, else 0."""
    return 0 if value is None else number(value) or 0


def text(value: object) -> str | None:
    """Returns `value` if it is a string that is not empty, else None."""
    return value if type(value) is str and value else None


def name(value: object) -> str | None:
    """Returns `value` if it is a string, as a name that can be stored and printed: at most 200 characters,
    and `?` for each that is not printable. None if it is empty."""
    if not isinstance(value, str) or not value:
        return None
    value = value[:_LONGEST_NAME]
    return value if value.isprintable() else "".join([c if c.isprintable() else "?" for c in value])


def size(value: object) -> int:
    """Bytes of a string as UTF-8, or of any other value as JSON; 0 for a false value such as null or []."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if not value:
        return 0
    try:
        return len(orjson.dumps(value))
    except TypeError:  # deeper than it can write, or with half a character
        return _rough_size(value)


def read_json(raw: bytes | bytearray) -> Any:
    """Returns the JSON of a body as official SDKs read it, or None."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return lenient(raw)


def lenient(data: bytes | bytearray) -> Any:
    """Returns JSON that strict parsers refuse but those of official SDKs read, or None.

    That is half of a character outside the basic plane as an escape, which a token limit may leave, and
    `Infinity` and `NaN`, which Python writes.
    """
    if b"\\u" not in data and b"Infinity" not in data and b"NaN" not in data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def dumped(value: object) -> bytes:
    """Returns a value as JSON in UTF-8, also one that only `lenient` could read."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a character
        return json.dumps(value).encode()


def _rough_size(value: object) -> int:
    """Returns about the bytes of a value as JSON, however deep it is."""
    total, left = 0, [value]
    while left:
        each = left.pop()
        total += 2
        if is_object(each):
            left += [*each.keys(), *each.values()]
        elif is_list(each):
            left += each
        elif isinstance(each, str):
            total += len(each.encode(errors="surrogatepass"))
    return total


def within(value: object, member: str) -> object:
    """Returns `value[member]`, or None if `value` is not an object or has no such member."""
    return value.get(member) if is_object(value) else None


def error_of(value: object) -> Mapping[str, Any]:
    """Returns a provider's error as an object. A string becomes `code` and `message`; other values, {}."""
    if is_object(value):
        return value
    return {"code": value, "message": value} if isinstance(value, str) else {}


_STANDARD: Final = frozenset(
    {"default", "auto", "standard", "standard_only", "on_demand", "on-demand", "not_available", "global"}
)
"""Names of what every customer gets who asks for nothing else."""


_CACHED: Final = ("cached_tokens",)
_CACHED_ASIDE: Final = ("prompt_cache_hit_tokens", "cached_tokens")
_CACHE_WRITES: Final = ("cache_write_tokens", "cache_creation_input_tokens")
_REASONING: Final = ("reasoning_tokens",)


class UsageNames(NamedTuple):
    """The member names of a usage object in one API: input and output tokens, and the details of each."""

    read: str
    written: str
    read_details: str
    written_details: str


COMPLETION_NAMES: Final = UsageNames(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSE_NAMES: Final = UsageNames(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)


def openai_usage(value: object, names: UsageNames, *, writes: bool = True) -> Usage | None:
    """Parses usage in OpenAI's format, with the member names of one of its APIs.

    Returns None if the input or output tokens are missing or invalid, since a partial count would be billed
    as the whole. For an operation that never `writes`, the output tokens may be missing.

    What compatible servers do not include in the output tokens, such as reasoning, their total shows. Some
    have other names for cached tokens: DeepSeek, Moonshot, Alibaba. Voyage tells nothing but the total.
    """
    if not is_object(value):
        return None
    total = number(value.get("total_tokens"))
    input_tokens, output_tokens = number(value.get(names.read)), number(value.get(names.written))
    if not writes:
        given = (input_tokens, total) if value.get(names.read) is None else (input_tokens, total or 0)
        input_tokens = max((each for each in given if each is not None), default=None)
        output_tokens = 0 if value.get(names.written) is None else output_tokens
    if input_tokens is None or output_tokens is None:
        return None
    if writes and total is not None and total > input_tokens + output_tokens:
        output_tokens = total - input_tokens
    cached = _first_count(value.get(names.read_details), _CACHED) or _first_count(value, _CACHED_ASIDE)
    written = _first_count(value.get(names.read_details), _CACHE_WRITES)
    reasoning = _first_count(value.get(names.written_details), _REASONING)
    if not (cached or written or reasoning):
        return Usage(input_tokens, output_tokens)
    cached = min(cached, input_tokens)
    return Usage(
        input=input_tokens,
        output=output_tokens,
        cached=cached,
        cache_write=min(written, input_tokens - cached),
        reasoning=min(reasoning, output_tokens),
    )


def _first_count(value: object, members: tuple[str, ...]) -> int:
    """Returns the first of these members of an object that is a valid number above 0, else 0."""
    if is_object(value):
        for member in members:
            if member in value and (counted := count(value[member])):
                return counted
    return 0


def served_tier(*tiers: object) -> str | None:
    """Returns the tier, speed or place that an answer names, or None if it is the one that the price is for.

    Several are joined by "+".
    """
    if len(tiers) == 1 and (tiers[0] is None or (tiers[0].__class__ is str and tiers[0] in _STANDARD)):
        return None
    named = [tier for value in tiers if (tier := name(value)) is not None and tier.lower() not in _STANDARD]
    return "+".join(dict.fromkeys(named)) or None
