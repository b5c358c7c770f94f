"""What can be known of a regular expression without running it: its longest match, and its beginnings.

A stream is held back only where a match could be under way. For that every pattern also has an expression of
its *beginnings*: it matches every text that further characters could make a match of the pattern.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from .normalized import folded

__all__ = [
    "Unbounded",
    "Unreadable",
    "beginnings",
    "folded_expression",
    "is_anchored",
    "is_compact",
    "longest_match",
]

# Python's own parser of expressions. It has no public name.
op: Final[Any] = import_module("re._constants")
parser: Final[Any] = import_module("re._parser")

_NO_LEAST: Final = re.compile(r"\{,\d")
_WIDEST: Final = 4_000  # characters of a range whose letters are folded one by one
_FLAGS: Final = (("i", re.IGNORECASE), ("s", re.DOTALL), ("m", re.MULTILINE))
_CATEGORIES: Final[Any] = MappingProxyType(
    {
        op.CATEGORY_DIGIT: r"\d",
        op.CATEGORY_NOT_DIGIT: r"\D",
        op.CATEGORY_SPACE: r"\s",
        op.CATEGORY_NOT_SPACE: r"\S",
        op.CATEGORY_WORD: r"\w",
        op.CATEGORY_NOT_WORD: r"\W",
    }
)
_ASSERTIONS: Final[Any] = MappingProxyType(
    {
        op.AT_BEGINNING: "^",
        op.AT_BEGINNING_STRING: r"\A",
        op.AT_BOUNDARY: r"\b",
        op.AT_NON_BOUNDARY: r"\B",
        op.AT_END: "$",
        op.AT_END_STRING: r"\z",
    }
)


class Unreadable(ValueError):
    """The expression is invalid, or uses what only one of Python's `re` and RE2 knows."""


class Unbounded(ValueError):
    """A match of the expression has no longest length."""


def longest_match(expression: str) -> int:
    """Returns the most characters that a match can have. Raises Unreadable and Unbounded."""
    _, longest = _parsed(expression).getwidth()
    if longest >= min(int(op.MAXREPEAT), 2**32 - 1):
        raise Unbounded
    return int(longest)


def beginnings(expression: str) -> str:
    """Returns the RE2 expression of the beginnings of `expression`, whole matches included.

    Anchored at the end of a text, it finds the first place where a match could be under way. Raises
    Unreadable.
    """
    parsed = _parsed(expression)
    return _flagged(parsed.state.flags, _beginning(list(parsed)))


def is_compact(expression: str) -> bool:
    """Whether every match consists of visible ASCII characters. Raises Unreadable."""
    return all(map(_is_compact, _parsed(expression)))


def _is_compact(item: Any) -> bool:
    code, value = item
    if code is op.LITERAL:
        return bool(0x21 <= value <= 0x7E)
    if code is op.IN:
        return all(_is_visible(member) for member in value)
    if code is op.BRANCH:
        return all(all(map(_is_compact, branch)) for branch in value[1])
    if code is op.SUBPATTERN:
        return all(map(_is_compact, value[3]))
    if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
        return all(map(_is_compact, value[2]))
    return code is op.AT


def is_anchored(expression: str) -> bool:
    """Whether it matters where a text begins or ends. Raises Unreadable."""
    return any(map(_is_anchored, _parsed(expression)))


def _is_anchored(item: Any) -> bool:
    code, value = item
    if code is op.AT:
        return bool(value is not op.AT_BOUNDARY)
    if code is op.BRANCH:
        return any(any(map(_is_anchored, branch)) for branch in value[1])
    if code is op.SUBPATTERN:
        return any(map(_is_anchored, value[3]))
    return code in {op.MAX_REPEAT, op.MIN_REPEAT} and any(map(_is_anchored, value[2]))


def _is_visible(member: Any) -> bool:
    code, value = member
    if code is op.LITERAL:
        return bool(0x21 <= value <= 0x7E)
    if code is op.RANGE:
        return bool(value[0] >= 0x21 and value[1] <= 0x7E)
    return code is op.CATEGORY and value in {op.CATEGORY_DIGIT, op.CATEGORY_WORD}  # RE2's are of ASCII


def folded_expression(expression: str) -> str:
    """Returns the RE2 expression that finds in normalised texts what `expression` finds in others.

    Letters are folded as those of the texts are, classes of them too. Raises Unreadable.
    """
    if expression.isascii():
        return expression
    parsed = _parsed(expression)
    return _flagged(parsed.state.flags, "".join(map(_folded_item, parsed)))


def _parsed(expression: str) -> Any:
    if _NO_LEAST.search(expression) is not None:
        raise Unreadable("{,n} has two meanings")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return parser.parse(expression)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise Unreadable(str(error)) from None


def _folded_item(item: Any) -> str:
    """Returns one parsed item with its letters folded."""
    code, value = item
    if code is op.LITERAL and value > 127:
        return "".join(_literal(ord(c)) for c in folded(chr(value)))
    if code is op.IN and any(_is_foreign(member) for member in value):
        return _folded_class(value)
    if code is op.BRANCH:
        return "(?:" + "|".join("".join(map(_folded_item, branch)) for branch in value[1]) + ")"
    if code is op.SUBPATTERN:
        inner = _flagged(value[1] & ~value[2], "".join(map(_folded_item, value[3])))
        return inner if value[0] is None else f"({inner})"
    if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
        return _repeat(item, "".join(map(_folded_item, value[2])))
    return _item(item)


def _is_foreign(member: Any) -> bool:
    code, value = member
    return (code is op.LITERAL and value > 127) or (code is op.RANGE and value[1] > 127)


def _folded_class(members: Sequence[Any]) -> str:
    """Returns a class with all its letters as they are in normalised texts. Raises Unreadable."""
    letters: set[str] = set()
    others: list[Any] = []
    for member in members:
        code, value = member
        if not _is_foreign(member):
            others.append(member)
        elif code is op.RANGE and value[1] - value[0] > _WIDEST:
            others.append(member)  # as of ideographs, which are not folded
        else:
            codes = [value] if code is op.LITERAL else range(value[0], value[1] + 1)
            letters.update(folded(chr(each)) for each in codes)
    if any(len(each) > 1 for each in letters):
        letters = {each for each in letters if len(each) == 1}
    return _class([*others, *((op.LITERAL, ord(each)) for each in sorted(letters) if each)])


def _flagged(flags: int, body: str) -> str:
    names = "".join(name for name, flag in _FLAGS if flags & flag)
    return f"(?{names}:{body})" if names else f"(?:{body})"


def _beginning(items: Sequence[Any]) -> str:
    """The beginnings of a sequence: of its first item, or that item whole and the beginnings of the rest."""
    rest = ""
    for item in reversed(items):
        part, whole = _part(item), _whole((item,))
        rest = f"(?:{part}|{whole}{rest})"
    return rest


def _part(item: Any) -> str:
    """What may stand at the end of a text when `item` has begun and is not complete."""
    code, value = item
    if code is op.SUBPATTERN:
        return _flagged(value[1] & ~value[2], _beginning(list(value[3])))
    if code is op.BRANCH:
        return "(?:" + "|".join(_beginning(list(branch)) for branch in value[1]) + ")"
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        _, most, inner = value
        whole, begun = f"(?:{_whole(inner)})", _beginning(list(inner))
        if most is op.MAXREPEAT:
            return f"{whole}*{begun}"
        return f"{whole}{{0,{most - 1}}}{begun}" if most else ""
    return ""


def _whole(items: Iterable[Any]) -> str:
    return "".join(map(_item, items))


def _item(item: Any) -> str:
    """Returns one parsed item as RE2 writes it. Raises Unreadable for one that RE2 has not."""
    code, value = item
    if code is op.LITERAL:
        return _literal(value)
    if code is op.NOT_LITERAL:
        return f"[^{_literal(value)}]"
    if code is op.ANY:
        return "."
    if code is op.IN:
        return _class(value)
    if code is op.AT and value in _ASSERTIONS:
        return str(_ASSERTIONS[value])
    if code is op.BRANCH:
        return "(?:" + "|".join(map(_whole, value[1])) + ")"
    if code is op.SUBPATTERN:
        return _flagged(value[1] & ~value[2], _whole(value[3]))
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        return _repeat(item, _whole(value[2]))
    raise Unreadable(f"{str(code).lower()} is not possible here")


def _repeat(item: Any, inner: str) -> str:
    code, (least, most, _) = item
    lazy = "?" if code is op.MIN_REPEAT else ""
    count = f"{{{least},}}" if most is op.MAXREPEAT else f"{{{least},{most}}}"
    return f"(?:{inner}){count}{lazy}"


def _class(members: Iterable[Any]) -> str:
    text = ""
    for code, value in members:
        if code is op.NEGATE:
            text += "^"
        elif code is op.LITERAL:
            text += _literal(value)
        elif code is op.RANGE:
            text += f"{_literal(value[0])}-{_literal(value[1])}"
        else:
            text += _CATEGORIES[value]
    return f"[{text}]"


def _literal(code: int) -> str:
    """Returns a character as RE2 and Python both read it."""
    return f"\\x{code:02X}" if code < 256 and not (code < 128 and chr(code).isalnum()) else chr(code)
