"""Redacts one text that may arrive in pieces, and holds back what is not decided. No I/O."""

from __future__ import annotations

from .pattern import PatternSet
from .rewriter import Replace, Rewriter
from .text_scan import TextScan

__all__ = ["Redactor"]


class Redactor:
    """One text on its way. What it becomes does not depend on how it was cut. `only` are the patterns that
    can occur in it, if that is known.
    """

    __slots__ = ("_rewriter", "_scan")

    def __init__(
        self,
        patterns: PatternSet,
        replace: Replace,
        *,
        json: bool = False,
        only: frozenset[int] | None = None,
    ) -> None:
        self._scan = TextScan(patterns, json=json, only=only)
        self._rewriter = Rewriter(replace, json=json)

    @property
    def held(self) -> int:
        """The number of characters that are held back."""
        return len(self._scan.raw)

    @property
    def undecided(self) -> str:
        """The text that is held back, as it came."""
        return self._scan.raw

    def feed(self, piece: str, *, last: bool = False) -> str:
        """Returns the text that may be written now. With `last`, that is the rest of it.

        Raises Blocked, and TooComplex if it cannot be decided.
        """
        scan = self._scan
        found = scan.feed(piece, last=last)
        base, raw = scan.base, scan.raw
        text = self._rewriter.write(found, raw, base, base + len(scan.forget()))
        return text + self._rewriter.rest() if last else text
