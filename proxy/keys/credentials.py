"""The key that a caller shows: where it is found in a request, how it is made, and how it is kept. No I/O.

A key is opaque bytes: nothing is read from it, and only its hash is ever looked up, compared or stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from types import MappingProxyType
from typing import Final

from ..asgi import Headers
from ..errors import Refusal

__all__ = ["CREDENTIALS", "MAX_KEY", "PREFIX", "credential", "digests", "new_secret", "same"]

MAX_KEY: Final = 512
"""Bytes; the longest vendor keys are under 200."""

PREFIX: Final = "sk-standby-"
"""Of every key that is made here, so that scanners for leaked secrets can find one."""

_RANDOM: Final = 32
"""Bytes: 256 bits, which nobody guesses, so that a plain hash of them protects them."""

_BEARER: Final = re.compile(rb"(?i:bearer) ([\x21-\x7e]{1,%d})" % MAX_KEY)
_KEY: Final = re.compile(rb"([\x21-\x7e]{1,%d})" % MAX_KEY)

CREDENTIALS: Final = MappingProxyType(
    {b"authorization": _BEARER, b"x-api-key": _KEY, b"x-goog-api-key": _KEY}
)
"""The headers that may carry a key, and how: OpenAI's SDK, Anthropic's, Google's."""


def credential(headers: Headers) -> str | None:
    """The one key that a request carries, or None.

    Raises Refusal: `invalid_api_key` for what can be no key, `ambiguous_credentials` for several that differ,
    and `invalid_header` when `Connection` calls a credential a matter of this hop, which would make it
    depend on who reads the request whether there is one.
    """
    shown: set[bytes] = set()
    for name, value in headers:
        shape = CREDENTIALS.get(name)
        if shape is not None:
            match = shape.fullmatch(value.strip(b" \t"))
            if match is None:
                raise Refusal("invalid_api_key")
            shown.add(match[1])
        elif name == b"connection" and not CREDENTIALS.keys().isdisjoint(
            token.strip(b" \t").lower() for token in value.split(b",")
        ):
            raise Refusal("invalid_header", param="connection")
    if len(shown) > 1:
        raise Refusal("ambiguous_credentials")
    return shown.pop().decode() if shown else None


def new_secret() -> str:
    """A new key. It is shown once; what is kept is its hash."""
    return PREFIX + secrets.token_urlsafe(_RANDOM)


def digests(secret: str, pepper: str | None = None) -> tuple[str, ...]:
    """The hashes by which `secret` may be known, as `routes.toml` spells them; the one to store comes first.

    With a pepper, which is kept apart from the store, a copy of the store does not even tell whether a guess
    is right. Keys made before there was one are known by their plain hash still.
    """
    raw = secret.encode()
    plain = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if pepper is None:
        return (plain,)
    return f"hmac-sha256:{hmac.digest(pepper.encode(), raw, 'sha256').hex()}", plain


def same(digest: str, other: str) -> bool:
    """Whether two hashes are equal, in a time that does not tell how far they agree."""
    return hmac.compare_digest(digest, other)
