r"""A normalised copy of a text for scanning, in which disguised characters are the ones they look like.

Only the copy is scanned; the original is what is forwarded. Compatibility forms (full width, ligatures) are
decomposed, marks that combine with a letter and characters that show nothing (zero width, soft hyphens,
directions, tags) are left out, and letters of other alphabets that look like Latin ones become those. Each
character is mapped by itself, so the work is linear in the text, whatever its marks, and a text that arrives
in pieces has the same copy as the whole.

In the text of a JSON document the escapes are read too, since `\u0073k-` is `sk-` to whoever parses it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["MAX_MARKS", "Normalized", "folded", "is_stream_safe", "json_units", "normalized"]

MAX_MARKS: Final = 30
"""Combining marks in a row. Unicode's Stream-Safe Text Format (UAX #15, section 13) allows as many, more than
any language needs."""

_INVISIBLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that show nothing, although their category is that of a letter or a symbol."""
_DROPPED: Final = frozenset({"Cf", "Me", "Mn"})
_MOST_KEPT: Final = 20_000  # characters whose mapping is kept; hostile texts could name every one there is


def _look_alikes() -> dict[str, str]:
    """Letters that look like Latin ones. Source: confusables.txt of UTS #39, single letters only."""
    pairs = (
        ("аӓӑ", "a"),
        ("АΑ", "A"), ("ВΒ", "B"), ("сϲ", "c"), ("СϹ", "C"), ("ԁ", "d"), ("еёҽ", "e"), ("ЕΕЁ", "E"),
        ("ɡց", "g"), ("һհ", "h"), ("НΗ", "H"), ("іıι", "i"), ("ІΙӀ", "I"), ("јϳ", "j"),
        ("ЈͿ", "J"), ("κк", "k"),
        ("КΚ", "K"), ("ӏ", "l"), ("МΜ", "M"), ("ո", "n"), ("Ν", "N"), ("оοσօ", "o"),
        ("ОΟՕ", "O"), ("рρ", "p"),
        ("РΡ", "P"), ("ԛ", "q"), ("ѕ", "s"), ("ЅՏ", "S"), ("τт", "t"), ("ТΤ", "T"), ("υս", "u"), ("Ս", "U"),
        ("νѵ", "v"), ("ѡԝ", "w"), ("Ԝ", "W"), ("хχ", "x"), ("ХΧ", "X"), ("уγ", "y"), ("УΥ", "Y"), ("Ζ", "Z"),
        ("‐‑‒–—―−", "-"), ("‘’‛", "'"), ("“”", '"'), ("。", "."), ("\u1680", " "), ("\u2028\u2029", "\n"),
    )  # fmt: skip
    return {letter: latin for letters, latin in pairs for letter in letters}


class _Folding(dict[int, str]):
    """The mapping of single characters, for `str.translate`."""

    def __init__(self) -> None:
        super().__init__()
        self._look_alikes = _look_alikes()

    def __missing__(self, code: int) -> str:
        folded = self._fold(chr(code))
        if len(self) < _MOST_KEPT:
            self[code] = folded
        return folded

    def _fold(self, character: str) -> str:
        if character in self._look_alikes:
            return self._look_alikes[character]
        return "".join(
            [
                self._look_alikes.get(part, part)
                for part in unicodedata.normalize("NFKD", character)
                if unicodedata.category(part) not in _DROPPED and part not in _INVISIBLE
            ]
        )


_FOLDING: Final = _Folding()
_ESCAPES_OF_JSON: Final = (
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]"
)
_UNITS: Final = re.compile(rf"{_ESCAPES_OF_JSON}|.", re.DOTALL)
_ESCAPE: Final = re.compile(_ESCAPES_OF_JSON, re.DOTALL)
_HALF_UNIT: Final = re.compile(
    r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?\\(?:u[0-9a-fA-F]{0,3})?\Z|\\u[dD][89abAB][0-9a-fA-F]{2}\Z"
)
"""The beginning of an escape whose end has not arrived."""
_ESCAPES: Final = str.maketrans("bfnrt", "\b\f\n\r\t")


class Normalized:
    """The normalised copy `text` of the first `size` characters of an original."""

    __slots__ = ("_starts", "size", "text")

    def __init__(self, text: str, size: int, starts: Sequence[int] | None = None) -> None:
        self.text = text
        self.size = size
        self._starts = starts

    def start(self, index: int) -> int:
        """Where character `index` of the copy begins in the original; `size` for the one after the last."""
        if self._starts is None:
            return index
        return self._starts[index] if index < len(self._starts) else self.size

    def index(self, at: int) -> int:
        """The first character of the copy that begins at `at` or later in the original."""
        return at if self._starts is None else bisect_left(self._starts, at)


def normalized(raw: str, *, json: bool = False, whole: bool = True) -> Normalized:
    """Returns the copy of `raw`. With `json`, it is the text of a JSON document, or a part of one.

    Unless it is the `whole` text, an escape or a surrogate at its end that may go on is left out.
    """
    size = len(raw)
    if json and "\\" in raw:
        return _unescaped(raw, whole=whole)
    if raw.isascii():
        return Normalized(raw, size)
    table = _FOLDING
    text: list[str] = []
    starts: list[int] = []
    for at, character in enumerate(raw):
        for part in table[ord(character)]:
            text.append(part)
            starts.append(at)
    return Normalized("".join(text), size, starts)


def folded(raw: str, *, json: bool = False) -> str:
    """Returns the text of the copy of `raw` alone, which is faster."""
    if json and "\\" in raw:
        raw = _ESCAPE.sub(_replaced, raw)
    return raw if raw.isascii() else raw.translate(_FOLDING)


def _replaced(escape: re.Match[str]) -> str:
    return _character(escape[0])


def is_stream_safe(text: str) -> bool:
    """Whether no more than `MAX_MARKS` combining marks follow each other. Linear in the text."""
    if text.isascii():
        return True
    run = 0
    for character in text:
        if character < "\u0300":
            run = 0
        elif unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
            run += 1
            if run > MAX_MARKS:
                return False
        else:
            run = 0
    return True


def json_units(text: str) -> Iterable[str]:
    """Returns the characters of a part of a JSON text, each escape in one piece."""
    return _UNITS.findall(text) if "\\" in text else text


def _unescaped(raw: str, *, whole: bool) -> Normalized:
    size = len(raw)
    if (
        not whole
        and (half := _HALF_UNIT.search(raw, max(0, size - 12))) is not None
        and _is_escape(raw, half.start())
    ):
        size = half.start()
    table = _FOLDING
    text: list[str] = []
    starts: list[int] = []
    for unit in _UNITS.finditer(raw, 0, size):
        for part in table[ord(_character(unit[0]))]:
            text.append(part)
            starts.append(unit.start())
    return Normalized("".join(text), size, starts)


def _is_escape(raw: str, at: int) -> bool:
    r"""Whether the backslash at `at` begins an escape and is not the second one of `\\`."""
    before = at
    while before and raw[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 0


def _character(unit: str) -> str:
    """Returns the character that a unit of a JSON text stands for."""
    if len(unit) == 1:
        return unit
    if len(unit) == 2:
        return unit[1].translate(_ESCAPES)
    high, *low = (int(number, base=16) for number in unit[2:].split("\\u"))
    if not low:
        return chr(high)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low[0] - 0xDC00))
