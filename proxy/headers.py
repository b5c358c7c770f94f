"""Which headers cross the gateway, in either direction. No I/O.

Both ways an allowlist: what is not known to be harmless stays where it is. Framing is never copied from the
other side, cookies and organisation ids never cross, and a name or value that could end a line is dropped.
"""

from __future__ import annotations

from typing import Final

from .dialects.dialect import Dialect
from .exchange import Headers

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
_PRINTABLE: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_DIGITS: Final = 15
"""No body has a length of more digits."""


def upstream(own: Headers, caller: Headers, dialect: Dialect, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of a request to a provider: `own`, the operator's, and of the caller's what may go."""
    said = dict(own)
    forwarded = [pair for pair in dialect.forwarded(caller) if pair[0] not in said]
    return [*own, (b"content-length", b"%d" % length), *forwarded]


def downstream(provider: Headers, *, streamed: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a caller: what of the provider's may pass. Names are lower case."""
    headers: list[tuple[bytes, bytes]] = []
    length: bytes | None = None
    chunked = False
    for name, value in provider:
        if name in _DOWN or name.startswith(_DOWN_FAMILIES):
            if not value.translate(None, _PRINTABLE):
                headers.append((name, value))
        elif name == b"content-length":
            length = value if length is None or length == value else b"?"
        elif name == b"transfer-encoding":
            chunked = True
    if streamed:
        # Proxies on the way must not collect a stream before they pass it on.
        headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
    elif length is not None and not chunked and length.isdigit() and len(length) <= _DIGITS:
        headers.append((b"content-length", length))
    return headers
