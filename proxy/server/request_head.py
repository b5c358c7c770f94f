"""Validates the raw head of a request before any HTTP parser sees it. No I/O.

h11 and httptools tolerate different errors: bare line feeds, folded lines, control characters, fragments, two
hosts. A head that passes here is parsed equally by both, byte for byte, so the rest of the gateway sees the
same request.
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
# All quantifiers are possessive, so that each byte is visited once, whatever the input. No value ends in a
# blank, since llhttp would keep it and h11 would not; `_normalized` strips them.
_PLAIN: Final = re.compile(
    rb"(?:DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|TRACE) (/[\x21\x22\x24-\x7e]*+)" + _LINES
)
_ODD: Final = re.compile(rb"(%b{1,32}+) ([\x21-\x7e\x80-\xff]++)" % _TOKEN + _LINES)
"""Heads with other methods or targets.

llhttp accepts some other methods and h11 all of them. They parse other targets differently."""

_FRAMING_HEADERS: Final = re.compile(
    rb"\n(content-length|expect|host|http2-settings|transfer-encoding|upgrade):[\t ]*([^\r]*)"
)
_OFFERS: Final = frozenset({b"expect", b"http2-settings", b"upgrade"})
"""Headers that are removed, since the gateway supports no upgrade and no expectation but `100-continue`.

llhttp stops parsing at an upgrade, and uvicorn answers `100 Continue` even to HTTP/1.0, which does not have
it. Only `Expect: 100-continue` of HTTP/1.1 is kept."""

_NOTHING: Final[Mapping[bytes, int]] = MappingProxyType({})
_ALLOWED: Final = bytes([*b"\t\r\n", *range(0x20, 0x7F), *range(0x80, 0x100)])
_LARGE: Final = 4096
"""Bytes from which on a head is not looked at before its end is there, since a client may begin as many as it
likes."""
_AROUND_TARGET: Final = 32 + len(b"  HTTP/1.1")


class RequestHead(NamedTuple):
    """A valid head.

    `raw` is the normalized head for the parser, in place of the first `end` bytes received. `length` is the
    length of the body in bytes, or `request_checks.CHUNKED`. `expects` is whether the client waits for
    `100 Continue` before it sends the body.
    """

    raw: bytes
    end: int
    length: int
    expects: bool = False


def read_head(data: bytes, limits: ServerLimits) -> RequestHead | None:
    """Returns the head at the start of `data`, or None while it is incomplete.

    Raises Refusal: `malformed_request`, `ambiguous_framing`, `bad_host`, `uri_too_long`, `headers_too_large`,
    and the codes of `paths.route` for a method that the parsers would treat differently.
    """
    if len(data) > _LARGE and b"\r\n\r\n" not in data:
        check_part(data, 0, limits)
        return None
    match = _PLAIN.match(data)
    if match is None:
        return _read_slowly(data, limits)
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
    """Returns the HTTP version, the framing headers, and the length of the body.

    Raises Refusal if the length is ambiguous or the host is missing or repeated.
    """
    fields: list[tuple[bytes, bytes]] = _FRAMING_HEADERS.findall(raw.lower())
    framing = dict(fields)
    repeated = (
        _NOTHING
        if len(framing) == len(fields)
        else Counter(name for name, _ in fields) - Counter(framing.keys())
    )
    version = "1.1" if minor == b"1" else "1.0"
    length = body_length(version, framing.get(b"content-length"), framing.get(b"transfer-encoding"), repeated)
    if b"host" in repeated or (b"host" not in framing and version == "1.1"):
        raise Refusal("bad_host", close=True)
    return version, framing, length


def check_part(data: bytes | bytearray, start: int, limits: ServerLimits) -> None:
    """Raise Refusal if `data`, an incomplete head, is too long or begins like none. It was checked up to
    `start`."""
    if start < _LARGE and _is_broken(data[:_LARGE], start):
        raise Refusal("malformed_request", close=True)
    longest = limits.target_bytes + _AROUND_TARGET
    if len(data) > longest and data.find(b"\r", 0, longest) < 0:
        raise Refusal("uri_too_long", close=True)
    if len(data) > limits.head_bytes:
        raise Refusal("headers_too_large", close=True)


def _is_broken(data: bytes | bytearray, start: int) -> bool:
    """Whether there is a control character or a bare CR or LF from `start` on, but for a CR at the end.

    Counting takes a tenth of the time of a regular expression.
    """
    begin = max(0, start - 1)
    part = data[begin + 1 :] if start and data[begin : begin + 1] == b"\n" else data[begin:]
    if part.translate(None, _ALLOWED):
        return True
    pairs = part.count(b"\r\n")
    returns = part.count(b"\r") - part.endswith(b"\r")
    return part.count(b"\n") != pairs or returns != pairs


def _read_slowly(data: bytes, limits: ServerLimits) -> RequestHead | None:
    """The slow path of `read_head`: incomplete, too long, unusual or invalid heads, or trailing blanks."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        check_part(data, 0, limits)
        return None
    head = data[:end]
    check_part(head, 0, limits)
    if odd := _ODD.fullmatch(head):
        _framed(head, odd[3])
        _refuse(odd[1], odd[2], limits)
    return _normalized(head, limits)


def _normalized(head: bytes, limits: ServerLimits) -> RequestHead | None:
    """Returns the head without blanks at the end of its lines. Raises Refusal if that was not the problem."""
    first, *lines = head[:-4].split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise Refusal("headers_too_large", close=True)
    folded = any(line[:1] in {b" ", b"\t"} for line in lines)
    normalized = b"\r\n".join([first, *(line.rstrip(b"\t ") for line in lines), b"", b""])
    if folded or len(normalized) == len(head):
        raise Refusal("malformed_request", close=True)
    valid = read_head(normalized, limits)
    return valid and valid._replace(end=len(head))


def _without(raw: bytes, names: frozenset[bytes]) -> bytes:
    """Returns the head without the headers of these names."""
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)


def _refuse(method: bytes, target: bytes, limits: ServerLimits) -> None:
    """Raise the Refusal that Hygiene would raise. The parsers treat such methods or targets differently."""
    if len(target) > limits.target_bytes:
        raise Refusal("uri_too_long", close=True)
    if target[0] != 0x2F or b"#" in target:
        raise Refusal("malformed_request", close=True)
    if not target.isascii():
        raise Refusal("unknown_route", close=True)
    route(method.decode(), target.partition(b"?")[0].decode())
