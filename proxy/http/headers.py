"""Selection of the headers that are forwarded, in either direction. No I/O.

Both directions use an allowlist: a header that is not known to be harmless is not forwarded. Framing headers
are never copied, cookies and organisation ids are never forwarded, and a name or value that could end a line
is dropped.
"""

from __future__ import annotations

from typing import Final

from ..asgi import Headers
from ..dialects.vendor import Dialect

__all__ = ["RequestHeaders", "downstream", "is_framed"]

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
"""The headers that pass most often. Only other names are compared with the prefixes, which is slower."""
_PRINTABLE: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_DIGITS: Final = 15
"""The most digits of a valid content length."""


class RequestHeaders:
    """The headers of the requests to one target. `own` are the operator's.

    `fixed` are those that are the same in every request.
    """

    __slots__ = ("_dialect", "_merged", "_names", "fixed")

    def __init__(self, own: Headers, dialect: Dialect) -> None:
        self._dialect = dialect
        self._names = frozenset(name for name, _ in own)
        self._merged = [value for name, value in own if name == dialect.merges]
        self.fixed = tuple(pair for pair in own if pair[0] != dialect.merges)

    def of(self, caller: Headers, length: int) -> list[tuple[bytes, bytes]]:
        """Returns the further headers of one request: the length of its body, and the forwarded ones of the
        `caller`'s."""
        names, merges = self._names, self._dialect.merges
        forwarded = [pair for pair in self._dialect.forwarded(caller) if pair[0] not in names]
        headers = [(b"content-length", b"%d" % length), *forwarded]
        if self._merged and merges is not None:
            values = [*self._merged, *(value for name, value in caller if name == merges)]
            headers.append((merges, _joined(values)))
        return headers


def downstream(provider: Headers, *, streamed: bool) -> list[tuple[bytes, bytes]]:
    """Returns the headers of an answer to a caller, from those of the provider. Names are in lower case."""
    headers = [pair for pair in provider if pair[0] in _USUAL or pair[0].startswith(_DOWN_FAMILIES)]
    if not _is_printable(b"".join([value for _, value in headers])):  # one check, since nearly all are
        headers = [pair for pair in headers if _is_printable(pair[1])]
    if streamed:
        # Proxies between the gateway and the caller must not buffer a stream.
        headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
    elif (length := _length(provider)) is not None:
        headers.append((b"content-length", length))
    return headers


def is_framed(provider: Headers) -> bool:
    """Whether an answer says where it ends, so that a broken connection cannot look like the end."""
    return any(name in _FRAMING for name, _ in provider)


def _joined(values: list[bytes]) -> bytes:
    """Returns comma-separated values as one, each part once."""
    parts = [part.strip() for value in values for part in value.split(b",")]
    return b",".join(dict.fromkeys(part for part in parts if part))


def _is_printable(value: bytes) -> bool:
    return not value.translate(None, _PRINTABLE)


def _length(provider: Headers) -> bytes | None:
    """Returns the answer's content length, or None if it is missing, invalid or contradictory."""
    framing = [pair for pair in provider if pair[0] in _FRAMING]
    if not framing or any(pair != framing[0] for pair in framing[1:]):
        return None
    name, value = framing[0]
    return value if name == b"content-length" and value.isdigit() and len(value) <= _DIGITS else None
