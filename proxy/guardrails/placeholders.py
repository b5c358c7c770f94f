"""What stands in a text for what was redacted, and the way back to it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .pattern import Pattern

__all__ = ["PLACEHOLDER", "Placeholders", "redacted"]

PLACEHOLDER: Final = Pattern("placeholder", r"\[[A-Z][A-Z_]{1,30}_\d{1,5}\]")
"""A placeholder that can be restored, such as [EMAIL_1]."""


def redacted(code: str) -> str:
    """Returns what is written for a finding that is not restored. It can stand in any JSON string."""
    return f"[REDACTED:{code}]"


class Placeholders:
    """The placeholders of one request. The same text has the same one; none occurs in the request itself."""

    __slots__ = ("_given", "_numbers", "_originals", "_texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._given: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}
        self._originals: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._originals)

    def of(self, code: str, original: str) -> str:
        """Returns the placeholder of a finding, `original`."""
        known = self._given.get((code, original))
        if known is not None:
            return known
        number = self._numbers.get(code, 0)
        while True:
            number += 1
            placeholder = f"[{code.upper()}_{number}]"
            if not any(placeholder in text for text in self._texts):
                break
        self._numbers[code] = number
        self._given[code, original] = placeholder
        self._originals[placeholder] = original
        return placeholder

    def original(self, placeholder: str) -> str | None:
        """Returns what a placeholder stands for, or None if it is none of this request."""
        return self._originals.get(placeholder)
