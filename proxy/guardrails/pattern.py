"""One pattern that a rule looks for, and the set of all of them that a text is searched for at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from .expressions import beginnings

__all__ = ["Check", "CompiledPattern", "Pattern", "PatternSet", "compiled"]

Check = Callable[[str], tuple[int, int] | None]
"""Judges the text of a match. Returns which part of it is a finding, as two offsets. If they are the same,
none of it is; None says so too, but lets a match begin within it."""

_MEMORY: Final = 64 * 2**20
"""Bytes that one compiled set may use. RE2's own default of 8 MiB makes large sets fall back to slow ways."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """What one finding looks like.

    `code` is its stable name, such as `openai_key`. `expression` is in RE2's syntax; if it has a group, the
    group is what is found, and the rest is context. A finding goes on over the characters of the class
    `tail`, however many there are. `check` judges a match in the normalised text; `cost` is
    how many usual checks it takes as long as.
    """

    code: str
    expression: str
    tail: str = ""
    check: Check | None = None
    cost: int = 1


def _library() -> Any:
    """Returns RE2, an optional dependency that only guardrails need."""
    return import_module("re2")


def compiled(expression: str) -> Any:
    """Returns the compiled expression. Raises ValueError, which says what is wrong with it, and ImportError
    without RE2."""
    re2 = _library()
    try:
        return re2.compile(expression, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(text) from None


def _options() -> Any:
    options = _library().Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


class CompiledPattern:
    """A pattern that can be searched for in bytes."""

    __slots__ = ("_expression", "_tail", "group", "pattern")

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._expression = compiled(pattern.expression)
        self._tail = compiled(f"[{pattern.tail}]*") if pattern.tail else None
        self.group = 1 if self._expression.groups else 0

    def search(self, text: bytes, at: int) -> tuple[int, int, int, int] | None:
        """Returns the first match from `at` on: its begin and end, and those of what is found in it."""
        match = self._expression.search(text, at)
        if match is None:
            return None
        begin, end = match.span()
        if not self.group:
            return begin, end, begin, end
        inner = match.span(1)
        return (begin, end, begin, end) if inner[0] < 0 else (begin, end, *inner)

    def tail_end(self, text: bytes, at: int) -> int:
        """Returns where the tail ends that begins at `at`."""
        return at if self._tail is None else int(self._tail.match(text, at).end())


class PatternSet:
    """Several patterns, searched for at once: one pass tells which of them occur in a text at all."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(map(CompiledPattern, patterns))
        self._set = _library().Set.SearchSet(_options())
        for each in self.patterns:
            self._set.Add(each.pattern.expression)
        if self.patterns:
            self._set.Compile()

    def occurring(self, text: bytes) -> list[int]:
        """Returns the positions of the patterns that match somewhere in `text`, without their checks."""
        return (self._set.Match(text) if self.patterns else None) or []

    def warm(self) -> None:
        """Compile now what the first stream would compile otherwise."""
        if self.patterns:
            self.under_way.search(b"")

    @cached_property
    def under_way(self) -> Any:
        """The expression that finds the first place from where a match could be under way at the end."""
        alive = "|".join(dict.fromkeys(beginnings(each.pattern.expression) for each in self.patterns))
        return compiled(rf"(?:{alive})\z")
