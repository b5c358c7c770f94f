"""The raw head of a request, judged before any parser sees it. Bytes in, verdict out; no I/O.

h11 and httptools repair different things: bare line feeds, folded lines, control characters, fragments, two
hosts. What passes here is read alike by both, byte for byte, so the rest of the gateway meets one request.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..arrival import MAX_HEADERS, body_length, check_host
from ..errors import Refusal
from ..paths import route
from .limits import Limits

__all__ = ["Head", "check_part", "read_head"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_HEAD: Final = re.compile(
    # Possessive throughout: each byte is looked at once, whatever was sent. No value ends in a blank, as
    # llhttp would keep it and h11 would not; `_tidied` takes those away.
    rb"(%b{1,32}+) ([\x21-\x7e\x80-\xff]++) HTTP/1\.([01])\r\n"
    rb"(?:%b++:[\t\x20-\x7e\x80-\xff]*+(?<![\t ])\r\n){0,%d}+\r\n" % (_TOKEN, _TOKEN, MAX_HEADERS)
)
_TOLD: Final = re.compile(
    rb"\n(content-length|expect|host|transfer-encoding|upgrade|http2-settings):[\t ]*([^\r]*)"
)
_BROKEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")

_PARSED: Final = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE"})
"""Methods that both parsers read alike. Of the others llhttp knows some and h11 all."""

_AROUND_TARGET: Final = 32 + len(b"  HTTP/1.1")


class Head(NamedTuple):
    """A sound head. `raw` is what the parser is to be given for its `end` bytes, `length` that of the body,
    or arrival.CHUNKED; `expects` says that the client waits to be asked for the body."""

    raw: bytes
    end: int
    method: bytes
    length: int
    expects: bool


def read_head(data: bytes, limits: Limits) -> Head | None:
    """The head at the start of `data`, None while it may still become one.

    Raises Refusal: `malformed_request`, `ambiguous_framing`, `bad_host`, `uri_too_long`, `headers_too_large`,
    and what `paths.route` says of a method that the parsers would not read alike.
    """
    match = _HEAD.match(data)
    if match is None:
        return _tidied(data, limits)
    method, target, minor = match.groups()
    end = match.end()
    if len(target) > limits.target_bytes:
        raise Refusal("uri_too_long", close=True)
    if end > limits.head_bytes:
        raise Refusal("headers_too_large", close=True)

    raw = data[:end]
    told: dict[bytes, bytes] = {}
    again: dict[bytes, bytes] = {}
    for name, value in _TOLD.findall(raw.lower()):
        (again if name in told else told)[name] = value
    version = "1.1" if minor == b"1" else "1.0"
    length = body_length(version, told.get(b"content-length"), told.get(b"transfer-encoding"), again)
    check_host(version, told.get(b"host"), again)
    if method not in _PARSED or target[0] != 0x2F or not target.isascii() or b"#" in target:
        _refuse(method, target)

    expects = False
    if len(told) > 2:
        expects = version == "1.1" and told.get(b"expect") == b"100-continue"
        raw = _without(raw, told, expects=expects)
    return Head(raw, end, method, length, expects)


def check_part(data: bytes | bytearray, start: int, limits: Limits) -> None:
    """Raise Refusal if `data`, the beginning of a head, cannot become one. It was checked up to `start`."""
    if _BROKEN.search(data, max(0, start - 1)):
        raise Refusal("malformed_request", close=True)
    longest = limits.target_bytes + _AROUND_TARGET
    if len(data) > longest and data.find(b"\r", 0, longest) < 0:
        raise Refusal("uri_too_long", close=True)
    if len(data) > limits.head_bytes:
        raise Refusal("headers_too_large", close=True)


def _tidied(data: bytes, limits: Limits) -> Head | None:
    """`read_head` of what is incomplete, too long, broken, or has blanks at the end of a line."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        check_part(data, 0, limits)
        return None
    check_part(data[:end], 0, limits)
    first, *lines = data[: end - 4].split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise Refusal("headers_too_large", close=True)
    folded = any(line[:1] in {b" ", b"\t"} for line in lines)
    tidy = b"\r\n".join([first, *(line.rstrip(b"\t ") for line in lines), b"", b""])
    if folded or len(tidy) == end or (head := read_head(tidy, limits)) is None:
        raise Refusal("malformed_request", close=True)
    return head._replace(end=end)


def _without(raw: bytes, told: dict[bytes, bytes], *, expects: bool) -> bytes:
    """The head without offers that nobody takes up: llhttp stops reading at an upgrade, and uvicorn answers
    `100 Continue` to HTTP/1.0, which knows none."""
    taken = {b"upgrade", b"http2-settings", *(() if expects else (b"expect",))}
    if taken.isdisjoint(told):
        return raw
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in taken)


def _refuse(method: bytes, target: bytes) -> None:
    """Say of a method or a target that the parsers would not read alike what Hygiene would say of it."""
    if target[0] != 0x2F or b"#" in target:
        raise Refusal("malformed_request", close=True)
    if not target.isascii():
        raise Refusal("unknown_route", close=True)
    route(method.decode(), target.partition(b"?")[0].decode())
