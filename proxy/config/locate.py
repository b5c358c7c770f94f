"""Finds the line number of each key in a TOML document.

tomllib does not report positions. This scans the text of a document that tomllib has already accepted, and
records the line of each key and array element. It recognizes brackets, keys and strings, but does not parse
values and validates nothing.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

from .values import KeyPath

__all__ = ["LineNumbers"]

_TOKEN: Final = re.compile(
    r"""
      (?P<text> "{3}(?:\\.|[^\\])*?"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<comment> \#[^\n]* )
    | (?P<mark> [][{}=,.\n] )
    | (?P<bare> [^][{}=,.\s\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS_A_VALUE: Final = frozenset({",", "]", "}", "\n", ""})


class LineNumbers:
    """The line of every key in one document, counted from 1."""

    def __init__(self, source: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}  # the number of tables of each [[array]] so far
        line = 1
        for match in _TOKEN.finditer(source):
            if match.lastgroup != "comment":
                self._tokens.append((match[0], line))
            line += match[0].count("\n")
        self._document()

    def of(self, path: KeyPath) -> int | None:
        """Returns the line of the key at `path`, else that of its nearest enclosing table, else None."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _token(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _line(self) -> int:
        return self._tokens[self._at][1]

    def _document(self) -> None:
        table: KeyPath = ()
        while self._token():
            if self._token() == "\n":
                self._at += 1
            elif self._token() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self._tokens[self._at + 1][0] == "[" else 1
        self._at += brackets
        path: KeyPath = ()
        for part in self._key():
            if path in self._lengths:  # [list.key] refers to the list's last table
                path = (*path, self._lengths[path] - 1)
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += brackets
        if brackets == 2:
            position = self._lengths.get(path, 0)
            self._lengths[path] = position + 1
            path = (*path, position)
        self._lines[path] = line
        return path

    def _key(self) -> list[str]:
        parts: list[str] = []
        while self._token() not in ("=", "]", ""):
            if self._token() != ".":
                quoted = self._token()[0] in "\"'"
                parts.append(tomllib.loads(f"key = {self._token()}")["key"] if quoted else self._token())
            self._at += 1
        return parts

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._token() == "{":
            self._at += 1
            while self._token() not in ("}", ""):
                if self._token() in (",", "\n"):
                    self._at += 1
                else:
                    self._pair(path)
            self._at += 1
        elif self._token() == "[":
            self._at += 1
            position = 0
            while self._token() not in ("]", ""):
                if self._token() in (",", "\n"):
                    self._at += 1
                else:
                    self._lines[(*path, position)] = self._line()
                    self._value((*path, position))
                    position += 1
            self._at += 1
        else:
            while self._token() not in _ENDS_A_VALUE:
                self._at += 1
