"""One pattern that a rule looks for, and the set of all of them that a text is searched for at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any, Final

from .expressions import beginnings, is_compact, longest_match

__all__ = ["Check", "CompiledPattern", "Pattern", "PatternSet", "compiled"]

Check = Callable[[str], tuple[int, int] | None]
"""Judges the text of a match. Returns which part of it is a finding, as two offsets. If they are the same,
none of it is; None says so too, but lets a match begin within it."""

_VISIBLE: Final = bytes(range(0x21, 0x7F))
_LONGEST: Final = 1024
"""Characters of the longest match of patterns with which a text is read in pieces."""
_MEMORY: Final = 64 * 2**20
"""Bytes that one compiled set may use. RE2's own default of 8 MiB makes large sets fall back to slow ways."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """What one finding looks like.

    `code` is its stable name, such as `openai_key`. `expression` is in RE2's syntax; if it has a group, the
    group is what is found, and the rest is context. A finding goes on over the characters of the class
    `tail`, however many there are. `check` judges a match in the normalised text; `cost` is how many usual
    checks it takes as long as. `batch` names the automaton that it is searched with. Every match has one of
    the bytes of `needs`, and before it has one of those of `opens` it is no more than a run of visible ASCII
    characters; without any, nothing is known.
    """

    code: str
    expression: str
    tail: str = ""
    check: Check | None = None
    cost: int = 1
    batch: str = ""
    needs: bytes = b""
    opens: bytes = b""


def _library() -> Any:
    """Returns RE2, an optional dependency that only guardrails need."""
    return import_module("re2")


@lru_cache(maxsize=1024)
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


def _has(text: bytes, any_of: bytes) -> bool:
    """Whether one of these bytes is in `text`."""
    return any_of in text if len(any_of) == 1 else len(text.translate(None, any_of)) < len(text)


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
    """Several patterns, searched for at once: one pass tells which of them occur in a text at all.

    Patterns of different batches have automata of their own: one for all of them would have a state for each
    combination of their counters, and hostile texts would make it build most of these.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(map(CompiledPattern, patterns))
        batches: dict[str, list[int]] = {}
        for at, each in enumerate(self.patterns):
            batches.setdefault(each.pattern.batch, []).append(at)
        self._positions = tuple(batches.values())
        self._batches = tuple(_Batch([self.patterns[at] for at in each], each) for each in self._positions)

    def occurring(self, text: bytes) -> list[int]:
        """Returns the positions of the patterns that match somewhere in `text`, without their checks."""
        found: list[int] = []
        for batch in self._batches:
            found += batch.occurring(text)
        return found

    def under_way(self, text: bytes, at: int) -> int:
        """Returns the first place from `at` on from where a match could be under way at the end of `text`."""
        compact, others = self._beginnings
        # A match of visible ASCII characters is no longer than the last run of those.
        place = max(at, len(text.rstrip(_VISIBLE)), len(text) - compact)
        for expression, opens in others:
            if not opens or _has(text, opens):
                place = min(place, expression.search(text, at).start())
        return place

    def longest(self, positions: Iterable[int] | None = None) -> int:
        """Returns how many characters a match of these patterns, or of all, can have, with the one that
        decides its end. Raises ValueError if that cannot be known."""
        known = self._longest
        return max(known if positions is None else map(known.__getitem__, positions), default=0)

    @cached_property
    def is_bounded(self) -> bool:
        """Whether no match is longer than 1,024 characters, so that a text can be read in pieces."""
        try:
            return self.longest() <= _LONGEST + 1
        except ValueError:
            return False

    @cached_property
    def _longest(self) -> tuple[int, ...]:
        return tuple(longest_match(each.pattern.expression) + 1 for each in self.patterns)

    @cached_property
    def _beginnings(self) -> tuple[int, list[tuple[Any, bytes]]]:
        """The longest match, and for each batch with patterns that are not compact an expression for their
        beginnings, with the bytes of which one must occur before it matters."""
        longest = 0
        others: list[tuple[Any, bytes]] = []
        for positions in self._positions:
            alive: dict[str, None] = {}
            opens: set[bytes] = set()
            for pattern in (self.patterns[at].pattern for at in positions):
                longest = max(longest, longest_match(pattern.expression) + 1)
                if not is_compact(pattern.expression):
                    alive[beginnings(pattern.expression)] = None
                    opens.add(pattern.opens)
            if alive:
                common = b"" if b"" in opens else b"".join(opens)
                others.append((compiled(rf"(?:{'|'.join(alive)})\z"), common))
        return longest, others

    def warm(self) -> None:
        """Compile now what the first stream would compile otherwise."""
        self.under_way(b"", 0)


class _Batch:
    """The patterns of one batch, in one automaton."""

    def __init__(self, patterns: Sequence[CompiledPattern], positions: Sequence[int]) -> None:
        self._positions = positions
        needs = {each.pattern.needs for each in patterns}
        self._needs = b"" if b"" in needs else b"".join(needs)
        self._set = _library().Set.SearchSet(_options())
        for each in patterns:
            self._set.Add(each.pattern.expression)
        try:
            self._set.Compile()
        except Exception:  # noqa: BLE001 - of RE2, whose error says nothing more
            raise ValueError("the patterns are too many or too large") from None

    def occurring(self, text: bytes) -> list[int]:
        if self._needs and not _has(text, self._needs):
            return []
        return [self._positions[index] for index in self._set.Match(text) or ()]
