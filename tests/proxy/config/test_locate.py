"""Tests of the line numbers of keys."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.config.locate import LineNumbers
from standby.proxy.config.values import KeyPath

__all__: list[str] = []

DOCUMENT: Final = '''\
# [not.a.table] = 1
top = 1   # [nor.this]
text = "[x] = { y # z"
[a.b]
"quoted key" = 'its'
c.d.e = 1.5

[[list]]
name = "first"   # 10 is the next table
[list.inner]
key = 1
[[list]]
[[list.deep]]
x = 1
[[list.deep]]
y = 2979-05-27 07:32:00
["a.b".'c d']
inline = { one = 1, "two" = { three = [1, { four = 4 }] } }
rows = [
  # a comment with ] and {
  { target = "x", for = ["a", "b"] },
  { target = "]", for = [
    "c",   # ,
    "d" ] },
]
long = """
[no.table]
no = "key" \\""" # still
"""
raw = \'\'\'
[no.table]
no = 'key'
\'\'\'\'\'
after = true
[a]
z = +inf
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("text",), 3),
        (("a", "b"), 4),
        (("a", "b", "quoted key"), 5),
        (("a", "b", "c", "d", "e"), 6),
        (("list",), 8),
        (("list", 0), 8),
        (("list", 0, "name"), 9),
        (("list", 0, "inner", "key"), 11),
        (("list", 1), 12),
        (("list", 1, "deep", 0, "x"), 14),
        (("list", 1, "deep", 1), 15),
        (("list", 1, "deep", 1, "y"), 16),
        (("a.b", "c d"), 17),
        (("a.b", "c d", "inline", "two", "three", 1, "four"), 18),
        (("a.b", "c d", "rows"), 19),
        (("a.b", "c d", "rows", 0, "for", 1), 21),
        (("a.b", "c d", "rows", 1), 22),
        (("a.b", "c d", "rows", 1, "for"), 22),
        (("a.b", "c d", "rows", 1, "for", 0), 23),
        (("a.b", "c d", "rows", 1, "for", 1), 24),
        (("a.b", "c d", "long"), 26),
        (("a.b", "c d", "raw"), 30),
        (("a.b", "c d", "after"), 34),
        (("a",), 35),
        (("a", "z"), 36),
    ],
)
def test_a_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    """Tables, lists of tables, dotted, quoted and nested keys are found among strings and comments."""
    tomllib.loads(DOCUMENT)
    assert LineNumbers(DOCUMENT).of(path) == line


@pytest.mark.parametrize(
    ("path", "line"), [(("a", "b", "no"), 4), (("list", 1, "no", 3), 12), (("no",), None), ((), None)]
)
def test_what_is_not_there_is_on_the_line_of_its_table(path: KeyPath, line: int | None) -> None:
    """A missing key has the line of the nearest enclosing table, if any."""
    assert LineNumbers(DOCUMENT).of(path) == line


def test_line_ends_of_any_kind_count_once() -> None:
    """A file with CRLF line ends has the same line numbers."""
    assert LineNumbers(DOCUMENT.replace("\n", "\r\n")).of(("a", "z")) == 36


TEXTS: Final = st.text(st.sampled_from("ab[]{}=,.#\"'\\ é"), max_size=8)
BARE: Final = st.text(st.sampled_from("abz09_-"), min_size=1, max_size=4)
KEYS: Final = st.one_of(
    BARE, BARE.map(json.dumps), TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False))
)
SCALARS: Final = st.one_of(
    st.sampled_from(
        ["1", "-1.5e3", "true", "1979-05-27", "1979-05-27 07:32:00", "inf", "'[a] = #'", "''", '""']
    ),
    st.sampled_from(
        ['"""\n[a]\nb = 1\n"""', "'''\n\"\"\"\n# = ['''", '"""a\\"""b"""', '""""a"""""', "''''''"]
    ),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
)


def _array(values: list[str]) -> str:
    return "[" + "".join(f"\n  {value}, # ] [x]\n" for value in values) + "]"


VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.dictionaries(BARE, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=6,
)
NOISE: Final = st.sampled_from(["", "\n", "# [x] = {\n", "\t\n  # '\n"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[KeyPath, int]]:
    """A TOML document, and the line of each key of its tables."""
    text = ""
    lines: dict[KeyPath, int] = {}
    headers = draw(st.lists(st.tuples(KEYS, st.booleans()), max_size=5))
    lengths: dict[str, int] = {}
    kinds: dict[str, bool] = {}
    for header, repeated in [("", False), *headers]:
        text += draw(NOISE)
        table: KeyPath = ()
        if header:
            name = _plain(header)
            if kinds.setdefault(name, repeated) != repeated or (not repeated and (name,) in lines):
                continue
            table = (name, lengths.setdefault(name, 0)) if repeated else (name,)
            lengths[name] = lengths.get(name, 0) + 1
            lines[table] = text.count("\n") + 1
            text += f"[[ {header} ]]\n" if repeated else f"[{header}]  # =\n"
        keys = draw(st.lists(KEYS, max_size=4, unique_by=_plain))
        if not header:
            keys = [f"top-{_plain(key).encode().hex()}" for key in keys]  # no name of a table further down
        for key in keys:
            path = (*table, _plain(key))
            lines[path] = text.count("\n") + 1
            text += f"{key} = {draw(VALUES)}\n{draw(NOISE)}"
    return text, lines


def _plain(key: str) -> str:
    return str(json.loads(key)) if key.startswith('"') else key


@given(documents())
def test_the_line_of_every_key_holds_that_key(document: tuple[str, dict[KeyPath, int]]) -> None:
    """For any surrounding text, a key is found on its line."""
    text, lines = document
    tomllib.loads(text)
    found = LineNumbers(text)
    assert {path: found.of(path) for path in lines} == lines


@given(documents())
def test_every_value_of_a_document_has_a_line(document: tuple[str, dict[KeyPath, int]]) -> None:
    """The scanner finds exactly the keys and elements that the TOML parser finds."""
    text, _ = document
    found = LineNumbers(text)
    lines = text.splitlines()
    for path in _paths(tomllib.loads(text), ()):
        line = found.of(path)
        assert line is not None
        assert 1 <= line <= len(lines)


def _paths(value: object, path: KeyPath) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in cast("dict[str, object]", value).items():
            yield from _paths(each, (*path, key))
    elif isinstance(value, list):
        for i, each in enumerate(cast("list[object]", value)):
            yield from _paths(each, (*path, i))
