"""Finds the patterns of a set in one text that may arrive in pieces. No I/O.

What is found is the same however the text is cut: a match is taken only once no further character could
change it, and the place from where the text is still undecided is known after every piece. Positions are in
the original text, counted from its first character; the search runs on its normalised copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .normalized import Normalized, folded, normalized
from .pattern import PatternSet

__all__ = ["MAX_HELD", "MAX_MATCHES", "Span", "TextScan", "TooComplex"]

MAX_MATCHES: Final = 50_000
"""Matches in one text, those included whose checks fail. Each costs some ten microseconds, and real texts
have a few hundred."""

MAX_HELD: Final = 8 * 1024
"""Characters of a text that may be undecided. Visible ones are at most the longest match."""

_CONTEXT: Final = 16
"""Characters in which the last visible one is looked for first, which is the context of what follows."""


class TooComplex(ValueError):
    """A text has too many places that look like findings."""


@dataclass(slots=True, eq=False)
class Span:
    """One finding: where it begins and ends, the position of its pattern in the set, and its normalised text.

    While it is `open`, it may go on with the next piece.
    """

    begin: int
    end: int
    pattern: int
    value: str
    open: bool = False


class TextScan:
    """The search in one text.

    `raw` is the part of the text that is not decided yet, and `base` where it begins. `decided` is the place
    before which everything is known: no finding that is not returned yet begins there. If it is known which
    patterns can occur, they are the `only` ones that are searched for.
    """

    __slots__ = ("_context", "_json", "_next", "_only", "_open", "_set", "base", "decided", "matches", "raw")

    def __init__(
        self, patterns: PatternSet, *, json: bool = False, only: frozenset[int] | None = None
    ) -> None:
        self._set = patterns
        self._only = only
        self._json = json
        self._context = ""  # the last normalised character before `raw`, for word boundaries
        self._next: dict[int, int] = {}  # where the search for a pattern goes on, if that is behind `decided`
        self._open: dict[int, Span] = {}
        self.matches = 0  # so far, weighted by what they cost
        self.raw = ""
        self.base = 0
        self.decided = 0

    def feed(self, piece: str, *, last: bool = False) -> list[Span]:
        """Search the text up to the end of `piece`. Returns the findings that are new. Raises TooComplex."""
        raw = self.raw = self.raw + piece if self.raw else piece
        window = _Window(normalized(raw, json=self._json, whole=last), self._context)
        data = window.data
        horizon = len(data) if last else self._horizon(data, window.first)
        found: list[Span] = []
        hits = self._set.occurring(data) if self._only is None else self._only
        if hits or self._open:
            for index in {*hits, *self._open}:
                self._search(index, window, horizon, found, last=last)
        self.decided = self.base + window.original(horizon)
        if self.base + len(raw) - self.decided > (MAX_HELD if self._only is None else 8 * MAX_HELD):
            raise TooComplex  # more than a match can have: most of it are characters that show nothing
        return found

    def _horizon(self, data: bytes, first: int) -> int:
        """Returns the place before which matches that begin there are complete."""
        if self._only is None:
            return self._set.under_way(data, first)
        # Of a text that is there already, nothing has to be decided early, so the longest match will do.
        size = self._set.longest(self._only)
        if not data.isascii():
            size = len(data.decode("utf-8", "surrogatepass")[-size:].encode("utf-8", "surrogatepass"))
        return max(first, len(data) - size)

    def forget(self) -> str:
        """Returns the text before `decided` that was not returned yet, and drops it."""
        size = self.decided - self.base
        done, self.raw = self.raw[:size], self.raw[size:]
        self.base = self.decided
        if done and (visible := folded(done[-_CONTEXT:], json=self._json) or folded(done, json=self._json)):
            self._context = visible[-1]
        return done

    def _search(self, index: int, window: _Window, horizon: int, found: list[Span], *, last: bool) -> None:
        """Find one pattern from where its last search ended."""
        each, data, base = self._set.patterns[index], window.data, self.base
        at = window.byte(max(0, self._next.pop(index, base) - base))
        if (span := self._open.pop(index, None)) is not None:
            at = self._extend(index, span, window, at, last=last)
        while at <= horizon and (match := each.search(data, at)) is not None and match[0] < horizon:
            self.matches += each.pattern.cost
            if self.matches > MAX_MATCHES:
                raise TooComplex
            begin, end, inner, inner_end = match
            value = data[inner:inner_end].decode("utf-8", "replace")
            check = each.pattern.check
            part = (0, len(value)) if check is None else check(value)
            if part is None:
                at = window.after(begin)
                continue
            inner_end = inner + len(value[: part[1]].encode())
            inner += len(value[: part[0]].encode())
            if inner == inner_end:  # nothing of this is a finding
                at = max(inner_end, window.after(begin))
                continue
            span = Span(
                base + window.original(inner), base + window.original(inner_end), index, value[slice(*part)]
            )
            found.append(span)
            if each.pattern.tail and inner_end == end:
                at = self._extend(index, span, window, end, last=last)
            else:
                at = max(inner_end, window.after(begin))
        if at > horizon or index in self._open:
            self._next[index] = base + window.original(at)

    def _extend(self, index: int, span: Span, window: _Window, at: int, *, last: bool) -> int:
        """Go on with a finding over its tail. Returns where that ends, or for now the end of the window."""
        end = self._set.patterns[index].tail_end(window.data, at)
        span.end = self.base + window.original(end)
        span.open = end == len(window.data) and not last
        if span.open:
            self._open[index] = span
        return end


class _Window:
    """The bytes that are searched: one character of context, then the normalised copy. Places are in
    bytes."""

    __slots__ = ("_ascii", "_copy", "_skipped", "data", "first")

    def __init__(self, copy: Normalized, context: str) -> None:
        text = context + copy.text
        self.data = text.encode("utf-8", "surrogatepass")
        self.first = len(context.encode("utf-8", "surrogatepass"))
        self._copy = copy
        self._skipped = len(context)
        self._ascii = len(self.data) == len(text)

    def original(self, at: int) -> int:
        """Returns where the character at `at` begins in the original."""
        index = at if self._ascii else len(self.data[:at].decode("utf-8", "surrogatepass"))
        return self._copy.start(index - self._skipped)

    def byte(self, at: int) -> int:
        """Returns where the first character is that begins at `at` or later in the original."""
        index = self._copy.index(at)
        if self._ascii:
            return index + self._skipped
        return self.first + len(self._copy.text[:index].encode("utf-8", "surrogatepass"))

    def after(self, at: int) -> int:
        """Returns where the character after the one at `at` begins."""
        first = self.data[at]
        return at + (1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4)
