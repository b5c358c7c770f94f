"""The patterns of an operator's words and phrases."""

from __future__ import annotations

from collections.abc import Sequence

from .normalized import folded
from .pattern import Pattern

__all__ = ["words"]


def words(code: str, phrases: Sequence[str]) -> Pattern:
    """Returns the pattern of whole words, whatever their case and the blanks between them."""
    return Pattern(code, "(?i)(?:" + "|".join(map(_phrase, phrases)) + ")")


def _phrase(phrase: str) -> str:
    text = folded(phrase)  # as the texts are that are searched
    words = [_escaped(word) for word in text.split()]
    begin = r"\b" if text.strip()[:1].isascii() and text.strip()[:1].isalnum() else ""
    end = r"\b" if text.strip()[-1:].isascii() and text.strip()[-1:].isalnum() else ""
    return begin + r"\s{1,8}".join(words) + end


def _escaped(word: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):X}}}" for c in word)
