"""What stands in a text for what was redacted, and the way back to it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .pattern import Pattern

__all__ = ["PLACEHOLDER", "Placeholders", "redacted"]

_EXPRESSION: Final = r"\[[A-Z][A-Z_]{1,30}_\d{1,5}\]"
_ANY: Final = re.compile(_EXPRESSION)
PLACEHOLDER: Final = Pattern("placeholder", _EXPRESSION)
"""A placeholder that can be restored, such as [EMAIL_1]."""


def redacted(code: str) -> str:
    """Returns what is written for a finding that is not restored. It can stand in any JSON string."""
    return f"[REDACTED:{code}]"


class Placeholders:
    """The placeholders of one request. The same text has the same one; none occurs in the request itself."""

    __slots__ = ("_given", "_numbers", "_originals", "_taken", "_texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._given: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}
        self._originals: dict[str, str] = {}
        self._taken: set[str] | None = None  # placeholders that stand in the request

    def __bool__(self) -> bool:
        return bool(self._originals)

    def of(self, code: str, original: str) -> str:
        """Returns the placeholder of a finding, `original`."""
        known = self._given.get((code, original))
        if known is not None:
            return known
        if self._taken is None:
            self._taken = {found for text in self._texts for found in _ANY.findall(text)}
        number = self._numbers.get(code, 0) + 1
        while (placeholder := f"[{code.upper()}_{number}]") in self._taken:
            number += 1
        self._numbers[code] = number
        self._given[code, original] = placeholder
        self._originals[placeholder] = original
        return placeholder

    def original(self, placeholder: str) -> str | None:
        """Returns what a placeholder stands for, or None if it is none of this request."""
        return self._originals.get(placeholder)
