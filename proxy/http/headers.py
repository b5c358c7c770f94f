"""Which headers cross the gateway, in either direction. No I/O.

Both ways an allowlist: what is not known to be harmless stays where it is. Framing is never copied from the
other side, cookies and organisation ids never cross, and a name or value that could end a line is dropped.
"""

from __future__ import annotations

from typing import Final

from ..asgi import Headers
from ..dialects.vendor import Dialect

__all__ = ["downstream", "upstream"]

_DOWN: Final = frozenset(
    {
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"openai-model",
        b"openai-processing-ms",
        b"openai-version",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"x-should-retry",
    }
)
_DOWN_FAMILIES: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")
_USUAL: Final = _DOWN | {
    b"x-ratelimit-%b-%b" % (what, of)
    for what in (b"limit", b"remaining", b"reset")
    for of in (b"requests", b"tokens")
}
"""Most of what passes; only for the rest it is looked at how it begins."""
_PRINTABLE: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_DIGITS: Final = 15
"""No body has a length of more digits."""


def upstream(own: Headers, caller: Headers, dialect: Dialect, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of a request to a provider: `own`, the operator's, and of the caller's what may go."""
    names = dict(own)
    forwarded = [pair for pair in dialect.forwarded(caller) if pair[0] not in names]
    return [*own, (b"content-length", b"%d" % length), *forwarded]


def downstream(provider: Headers, *, streamed: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a caller: what of the provider's may pass. Names are lower case."""
    headers = [pair for pair in provider if pair[0] in _USUAL or pair[0].startswith(_DOWN_FAMILIES)]
    if not _is_printable(b"".join([value for _, value in headers])):  # all at once, since nearly all are
        headers = [pair for pair in headers if _is_printable(pair[1])]
    if streamed:
        # Proxies on the way must not collect a stream before they pass it on.
        headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
    elif (length := _length(provider)) is not None:
        headers.append((b"content-length", length))
    return headers


def _is_printable(value: bytes) -> bool:
    return not value.translate(None, _PRINTABLE)


def _length(provider: Headers) -> bytes | None:
    """How long the answer says that it is, if it says so once and in one way."""
    framing = [pair for pair in provider if pair[0] in _FRAMING]
    if not framing or any(pair != framing[0] for pair in framing[1:]):
        return None
    name, value = framing[0]
    return value if name == b"content-length" and value.isdigit() and len(value) <= _DIGITS else None
