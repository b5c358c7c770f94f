"""Which headers cross the gateway, in either direction. No I/O.

Both ways an allowlist: what is not known to be harmless stays where it is. Framing is never copied from the
other side, cookies and organisation ids never cross, and a name or value that could end a line is dropped.
"""

from __future__ import annotations

import re
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
_PRINTABLE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_DIGITS: Final = re.compile(rb"[0-9]{1,15}")


def upstream(own: Headers, caller: Headers, dialect: Dialect, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of a request to a provider: `own`, the operator's, and what of the caller's may go."""
    return [*own, (b"content-length", b"%d" % length), *dialect.forwarded(caller)]


def downstream(provider: Headers, *, streamed: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a caller: what of the provider's may pass. Names are lower case."""
    headers: list[tuple[bytes, bytes]] = []
    length: bytes | None = None
    chunked = False
    for name, value in provider:
        if name in _DOWN or name.startswith(_DOWN_FAMILIES):
            if _PRINTABLE.fullmatch(value):
                headers.append((name, value))
        elif name == b"content-length":
            length = value if length is None or length == value else b"?"
        elif name == b"transfer-encoding":
            chunked = True
    if streamed:
        # Proxies on the way must not collect a stream before they pass it on.
        headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
    elif length is not None and not chunked and _DIGITS.fullmatch(length):
        headers.append((b"content-length", length))
    return headers
