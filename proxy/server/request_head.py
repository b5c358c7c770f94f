"""The raw head of a request, judged before any parser sees it. Bytes in, verdict out; no I/O.

h11 and httptools repair different things: bare line feeds, folded lines, control characters, fragments, two
hosts. What passes here is read alike by both, byte for byte, so the rest of the gateway meets one request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ..errors import Refusal
from ..http.paths import route
from ..http.request_checks import MAX_HEADERS, body_length
from .limits import ServerLimits

__all__ = ["RequestHead", "check_part", "read_head"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_LINES: Final = rb" HTTP/1\.([01])\r\n(?:%b++:[\t\x20-\x7e\x80-\xff]*+(?<![\t ])\r\n){0,%d}+\r\n" % (
    _TOKEN,
    MAX_HEADERS,
)
# Possessive throughout: each byte is looked at once, whatever was sent. No value ends in a blank, as llhttp
# would keep it and h11 would not; `_tidied` takes those away.
_PLAIN: Final = re.compile(
    rb"(?:DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|TRACE) (/[\x21\x22\x24-\x7e]*+)" + _LINES
)
_ODD: Final = re.compile(rb"(%b{1,32}+) ([\x21-\x7e\x80-\xff]++)" % _TOKEN + _LINES)
"""Of other methods llhttp knows some and h11 all; other targets they cut differently."""

_FRAMING_HEADERS: Final = re.compile(
    rb"\n(content-length|expect|host|http2-settings|transfer-encoding|upgrade):[\t ]*([^\r]*)"
)
_OFFERS: Final = frozenset({b"expect", b"http2-settings", b"upgrade"})
"""What nobody here takes up, and so the parsers need not see: llhttp stops reading at an upgrade, and uvicorn
answers `100 Continue` even to HTTP/1.0, which knows none. Only that answer, to HTTP/1.1, is wanted."""

_NOTHING: Final[Mapping[bytes, int]] = MappingProxyType({})
_BROKEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
_AROUND_TARGET: Final = 32 + len(b"  HTTP/1.1")


class RequestHead(NamedTuple):
    """A sound head. `raw` is what the parser is to be given for its `end` bytes, `length` that of the body,
    or arrival.CHUNKED; `expects` says that the client waits to be asked for the body."""

    raw: bytes
    end: int
    length: int
    expects: bool = False


def read_head(data: bytes, limits: ServerLimits) -> RequestHead | None:
    """The head at the start of `data`, None while it may still become one.

    Raises Refusal: `malformed_request`, `ambiguous_framing`, `bad_host`, `uri_too_long`, `headers_too_large`,
    and what `paths.route` says of a method that the parsers would not read alike.
    """
    match = _PLAIN.match(data)
    if match is None:
        return _looked_into(data, limits)
    end = match.end()
    if match.end(1) - match.start(1) > limits.target_bytes:
        raise Refusal("uri_too_long", close=True)
    if end > limits.head_bytes:
        raise Refusal("headers_too_large", close=True)

    raw = data[:end]
    version, framing, length = _framed(raw, match[2])
    if _OFFERS.isdisjoint(framing):
        return RequestHead(raw, end, length)
    expects = version == "1.1" and framing.get(b"expect") == b"100-continue"
    return RequestHead(_without(raw, _OFFERS - {b"expect"} if expects else _OFFERS), end, length, expects)


def _framed(raw: bytes, minor: bytes) -> tuple[str, dict[bytes, bytes], int]:
    """The version, what the head tells of the body, and how long that is. Raises Refusal where in doubt."""
    fields: list[tuple[bytes, bytes]] = _FRAMING_HEADERS.findall(raw.lower())
    framing = dict(fields)
    again = (
        _NOTHING
        if len(framing) == len(fields)
        else Counter(name for name, _ in fields) - Counter(framing.keys())
    )
    version = "1.1" if minor == b"1" else "1.0"
    length = body_length(version, framing.get(b"content-length"), framing.get(b"transfer-encoding"), again)
    if b"host" in again or (b"host" not in framing and version == "1.1"):
        raise Refusal("bad_host", close=True)
    return version, framing, length


def check_part(data: bytes | bytearray, start: int, limits: ServerLimits) -> None:
    """Raise Refusal if `data`, the beginning of a head, cannot become one. It was checked up to `start`."""
    if _BROKEN.search(data, max(0, start - 1)):
        raise Refusal("malformed_request", close=True)
    longest = limits.target_bytes + _AROUND_TARGET
    if len(data) > longest and data.find(b"\r", 0, longest) < 0:
        raise Refusal("uri_too_long", close=True)
    if len(data) > limits.head_bytes:
        raise Refusal("headers_too_large", close=True)


def _looked_into(data: bytes, limits: ServerLimits) -> RequestHead | None:
    """`read_head` of what is incomplete, too long, odd, broken, or has blanks at the end of a line."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        check_part(data, 0, limits)
        return None
    head = data[:end]
    check_part(head, 0, limits)
    if odd := _ODD.fullmatch(head):
        _framed(head, odd[3])
        _refuse(odd[1], odd[2], limits)
    return _tidied(head, limits)


def _tidied(head: bytes, limits: ServerLimits) -> RequestHead | None:
    first, *lines = head[:-4].split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise Refusal("headers_too_large", close=True)
    folded = any(line[:1] in {b" ", b"\t"} for line in lines)
    tidy = b"\r\n".join([first, *(line.rstrip(b"\t ") for line in lines), b"", b""])
    if folded or len(tidy) == len(head):
        raise Refusal("malformed_request", close=True)
    sound = read_head(tidy, limits)
    return sound and sound._replace(end=len(head))


def _without(raw: bytes, names: frozenset[bytes]) -> bytes:
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)


def _refuse(method: bytes, target: bytes, limits: ServerLimits) -> None:
    """Say of a method or a target that the parsers would not read alike what Hygiene would say of it."""
    if len(target) > limits.target_bytes:
        raise Refusal("uri_too_long", close=True)
    if target[0] != 0x2F or b"#" in target:
        raise Refusal("malformed_request", close=True)
    if not target.isascii():
        raise Refusal("unknown_route", close=True)
    route(method.decode(), target.partition(b"?")[0].decode())
