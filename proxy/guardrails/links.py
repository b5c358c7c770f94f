"""The patterns of links to other hosts, in text and in Markdown or HTML that shows an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from .pattern import Pattern

__all__ = ["links", "may_lead_to"]

_HOST: Final = re.compile(r"(?i)(?:https?:)?//(?:[^\s/?#@]*@)?(\[[0-9a-f:.]+\]|[^\s/?#:]+)")
_URL: Final = r"""(?:https?:)?//[^\s"'<>)\]]{1,250}"""
_BARE: Final = r"""(?i)\bhttps?://[^\s"'<>)\]]{1,250}"""
_TAIL: Final = r"""^\s"'<>)\]"""
_MARKDOWN: Final = rf"(?i)!\[[^\]\n]{{0,120}}\]\(\s{{0,3}}<?({_URL})"
_REFERENCE: Final = rf"(?i)\n?\[[^\]\n]{{1,60}}\]:\s{{1,4}}<?({_URL})"
_HTML: Final = (
    r"(?i)<(?:img|image|iframe|embed|object|video|audio|source|link)\b[^>]{0,120}?"
    rf"""\b(?:src|href|data|xlink:href)\s{{0,2}}=\s{{0,2}}["']?({_URL})"""
)
_CSS: Final = rf"""(?i)\burl\(\s{{0,2}}["']?({_URL})"""


def links(allow: Sequence[str], deny: Sequence[str], *, images_only: bool) -> tuple[Pattern, ...]:
    """Returns the patterns of the links that lead to a host that is denied, or not allowed."""
    check = partial(_forbidden, tuple(allow), tuple(deny))
    expressions = (_MARKDOWN, _REFERENCE, _HTML, _CSS) if images_only else (_BARE, _MARKDOWN, _HTML)
    return tuple(Pattern("link", expression, _TAIL, check) for expression in expressions)


def may_lead_to(url: str, allow: Sequence[str], deny: Sequence[str]) -> bool:
    """Whether `url` leads to a host that is allowed. Data URLs lead nowhere."""
    if url[:5].lower() == "data:":
        return True
    found = _HOST.match(url)
    host = "" if found is None else found[1].rstrip(".").lower()
    return not any(_is(host, name) for name in deny) and (not allow or any(_is(host, name) for name in allow))


def _forbidden(allow: Sequence[str], deny: Sequence[str], url: str) -> tuple[int, int] | None:
    return None if may_lead_to(url, allow, deny) else (0, len(url))


def _is(host: str, name: str) -> bool:
    name = name.lower()
    if name.startswith("*."):
        return host == name[2:] or host.endswith(name[1:])
    return host == name
