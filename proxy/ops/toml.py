"""Writes tables as TOML, to paste into `routes.toml`. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, cast

__all__ = ["inline", "table"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def table(path: Sequence[str], content: Mapping[str, Any]) -> str:
    """Returns the header `[a.b]` and a line for each key. Values are written by `inline`."""
    head = ".".join(map(_key, path))
    return "".join((f"[{head}]\n", *(f"{_key(key)} = {inline(value)}\n" for key, value in content.items())))


def inline(value: object) -> str:
    """Returns a value on one line: text, a number, a boolean, a time, or a list or table of those."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        inside = ", ".join(f"{_key(key)} = {inline(item)}" for key, item in pairs)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(inline, cast('Sequence[object]', value)))}]"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """Returns a basic string. It is a JSON string, except that TOML requires U+007F to be escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
