"""The patterns of an operator's words and phrases."""

from __future__ import annotations

from collections.abc import Sequence

from .normalized import folded
from .pattern import Pattern

__all__ = ["words"]


def words(code: str, phrases: Sequence[str]) -> Pattern:
    """Returns the pattern of whole words, whatever their case and the blanks between them."""
    return Pattern(code, "(?i)(?:" + "|".join(map(_phrase, phrases)) + ")", batch="words")


def _phrase(phrase: str) -> str:
    parts = folded(phrase).split()  # as the texts are that are searched
    begin = r"\b" if _is_word(parts[0][:1]) else ""
    end = r"\b" if _is_word(parts[-1][-1:]) else ""
    return begin + r"\s{1,8}".join(map(_escaped, parts)) + end


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _escaped(word: str) -> str:
    return "".join(f"\\{c}" if c.isascii() and not c.isalnum() and c != "_" else c for c in word)
