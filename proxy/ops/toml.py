"""Tables as TOML, for people to paste into `routes.toml`. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, cast

__all__ = ["inline", "table"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def table(path: Sequence[str], content: Mapping[str, Any]) -> str:
    """`[a.b]` and a line for each key, all of it as `inline` writes it."""
    head = ".".join(map(_key, path))
    return "".join((f"[{head}]\n", *(f"{_key(key)} = {inline(value)}\n" for key, value in content.items())))


def inline(value: object) -> str:
    """A value on one line: text, numbers, booleans, times, lists and tables of those."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        inside = ", ".join(f"{_key(key)} = {inline(each)}" for key, each in pairs)
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
    """As JSON has it, but for the one character that TOML alone wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
