"""Writes a text with parts of it replaced, piece by piece. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .normalized import json_units
from .text_scan import Span

__all__ = ["Blocked", "Replace", "Rewriter"]

Replace = Callable[[Span, str], str | None]
"""Decides about a finding, given with its original text. Returns what to write instead, or None to leave it.
Raises Blocked to end the text before it."""

_QUOTE: Final = '"'
_STRUCTURE: Final = frozenset("{}[]:, \t\r\n")
_LITERALS: Final = frozenset({"true", "false", "null"})
_NUMBER: Final = "0123456789+-.eE"
_IN_NUMBERS: Final = frozenset("+-.eE")


class Blocked(Exception):
    """A rule forbids the rest of a text. `before` is what of the last piece stands before it."""

    def __init__(self, before: str = "") -> None:
        super().__init__()
        self.before = before


class Rewriter:
    """Replaces findings in one text. Overlapping ones become one, with the replacement of the first.

    In the text of a JSON document (`json`) only the contents of its strings are replaced, and numbers become
    0, so that it stays valid.
    """

    __slots__ = (
        "_cut",
        "_json",
        "_literal",
        "_number",
        "_placed",
        "_quoted",
        "_replace",
        "_replacement",
        "_spans",
    )

    def __init__(self, replace: Replace, *, json: bool = False) -> None:
        self._replace = replace
        self._json = json
        self._spans: list[Span] = []
        self._cut = 0  # the end of the findings that are being left out
        self._replacement = ""
        self._quoted = False  # in JSON: inside a string
        self._literal = ""  # in JSON: a word outside of strings, as far as it has come
        self._number = False  # in JSON: the last thing written is a 0 in place of a number
        self._placed = False  # in JSON: the replacement stands in the current string or number

    def write(self, found: Iterable[Span], raw: str, base: int, end: int) -> str:
        """Returns what to write for the text from `base` to `end`. `raw` is the text from `base` on, and
        `found` the findings that are new. Raises Blocked."""
        if not (found or self._spans or base < self._cut):
            return self._passed(raw[: end - base])
        spans = sorted([*self._spans, *found], key=lambda span: (span.begin, span.pattern))
        self._spans = [span for span in spans if span.open or span.begin >= end]
        out: list[str] = []
        at = base
        for span in spans:
            if span.begin >= end:
                break
            if span.begin >= base:  # otherwise it was decided before, and has gone on since
                out.append(self._taken(raw, base, at, span.begin))
                at = span.begin
                try:
                    replacement = self._replace(span, raw[at - base : span.end - base])
                except Blocked:
                    raise Blocked("".join(out)) from None
                if replacement is None:
                    self._spans = [each for each in self._spans if each is not span]
                    continue
                if at >= self._cut:
                    self._replacement, self._placed = replacement, self._number
                    if not self._json:
                        out.append(replacement)
            self._cut = max(self._cut, span.end)
        out.append(self._taken(raw, base, at, end))
        return "".join(out)

    def rest(self) -> str:
        """Returns what is still to be written after the last piece."""
        return self._literal_left() if self._literal else ""

    def _taken(self, raw: str, base: int, begin: int, end: int) -> str:
        """Returns the text from `begin` to `end` without what is left out of it."""
        cut = min(max(self._cut, begin), end) - base
        passed = raw[cut : end - base]
        if not self._json:
            return passed
        return self._left_out(raw[begin - base : cut]) + self._passed(passed)

    def _left_out(self, text: str) -> str:
        """Returns what stays of a part of a JSON document that is left out: what holds it together."""
        out: list[str] = []
        for unit in json_units(text):
            if self._literal and not unit.isalpha():
                out.append(self._literal_left())
            if unit == _QUOTE:
                self._quoted, self._placed, self._number = not self._quoted, False, False
                out.append(unit)
            elif self._quoted or unit.isdigit():
                if not self._placed:
                    out.append(self._replacement if self._quoted else "0")
                    self._placed = True
                    self._number = not self._quoted
            elif unit in _STRUCTURE:
                self._placed = self._number = False
                out.append(unit)
            elif not (self._placed and unit in _IN_NUMBERS):
                self._literal += unit
        return "".join(out)

    def _literal_left(self) -> str:
        """Returns what stays of something outside of strings that is no number: a word of JSON's, or in what
        is no JSON at all the replacement."""
        literal, self._literal = self._literal, ""
        if literal in _LITERALS and not self._placed:
            return literal
        if self._placed:
            return ""
        self._placed = True
        return self._replacement

    def _passed(self, text: str) -> str:
        """Note whether the JSON document is inside a string after `text`, and return that."""
        if not self._json or not text:
            return text
        before = self._literal_left() if self._literal else ""
        if self._number:  # the rest of a number whose begin was replaced
            text = text.lstrip(_NUMBER)
            self._number = not text
        if _QUOTE in text and sum(unit == _QUOTE for unit in json_units(text)) % 2:
            self._quoted = not self._quoted
        return before + text
