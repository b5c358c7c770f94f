"""The patterns of links to other hosts, in text and in Markdown or HTML that shows an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from .pattern import Pattern

__all__ = ["HOST", "links", "may_lead_to"]

HOST: Final = re.compile(r"(?i)(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]")
"""A host as rules name it: `example.com`, or `*.example.com` for it and all below it."""

_MARKS: Final = rb"/\&[<("
_COLON: Final = r"(?::|&colon;|&#0{0,4}58;|&#x0{0,4}3a;)"
_SLASHES: Final = r"[\x2F\\]{1,8}"  # browsers read both kinds, and any number of them
_REST: Final = r"""[^\s"'<>)\]]{1,250}"""
_TAIL: Final = r"""^\s"'<>)\]"""
_BARE: Final = rf"(?i)\bhttps?{_COLON}{_SLASHES}{_REST}"
_SHOWN: Final = rf"(?:https?{_COLON}{_SLASHES}|{_SLASHES}|&[#a-z0-9]{{2,8}};){_REST}"
"""The address of an image: complete, without a scheme, or with its first letters as entities."""
_MARKDOWN: Final = rf"(?is)!\[.{{0,600}}?\]\(\s{{0,3}}<?({_SHOWN})"
_REFERENCE: Final = rf"(?i)\[[^\]\n]{{1,60}}\]:\s{{1,4}}<?({_SHOWN})"
_HTML: Final = (
    r"(?is)<(?:img|image|iframe|embed|object|video|audio|source|link|body|input|script)\b.{0,600}?"
    rf"""\b(?:src|srcset|href|data|poster|background|xlink:href)\s{{0,2}}=\s{{0,2}}["']?\s{{0,4}}({_SHOWN})"""
)
_CSS: Final = rf"""(?i)\burl\(\s{{0,2}}["']?({_SHOWN})"""
_PARTS: Final = re.compile(
    rf"(?i)(?P<scheme>https?{_COLON})?(?P<slashes>[/\\]*)(?:[^\s/\\?#@]*@)*(?P<host>\[[0-9a-f:.]+\]|[^\s/\\?#:]*)"
)


def links(allow: Sequence[str], deny: Sequence[str], *, images_only: bool) -> tuple[Pattern, ...]:
    """Returns the patterns of the links that lead to a host that is denied, or not allowed."""
    check = partial(_forbidden, tuple(allow), tuple(deny))
    shown = (_MARKDOWN, _REFERENCE, _HTML, _CSS)
    expressions = shown if images_only else (_BARE, *shown)
    return tuple(
        Pattern("link", expression, _TAIL, check, batch="link", needs=_MARKS, opens=_MARKS)
        for expression in expressions
    )


def may_lead_to(url: str, allow: Sequence[str], deny: Sequence[str]) -> bool:
    """Whether `url` leads to a host that is allowed. Data URLs and relative ones lead nowhere else; one that
    is written so that its host cannot be read is not allowed."""
    if url[:5].lower() == "data:":
        return True
    parts = _PARTS.match(url)
    if parts is None or url.startswith("&"):
        return False
    if parts["scheme"] is None and len(parts["slashes"]) < 2:
        return True
    host = parts["host"].rstrip(".").lower()
    if not host or any(_is(host, name) for name in deny):
        return False
    return not allow or any(_is(host, name) for name in allow)


def _forbidden(allow: Sequence[str], deny: Sequence[str], url: str) -> tuple[int, int] | None:
    return None if may_lead_to(url, allow, deny) else (0, len(url))


def _is(host: str, name: str) -> bool:
    name = name.lower()
    if name.startswith("*."):
        return host == name[2:] or host.endswith(name[1:])
    return host == name
