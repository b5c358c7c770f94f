"""API keys: reading one from a request's headers, generating one, and hashing it. No I/O.

A key is opaque: it is never parsed, and only its hash is looked up, compared or stored.
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
"""The maximum length of a key in bytes. The longest vendor keys have fewer than 200."""

PREFIX: Final = "sk-standby-"
"""The prefix of every generated key, by which scanners for leaked secrets can find it."""

_RANDOM_BYTES: Final = 32
"""The number of random bytes in a key. 256 bits cannot be guessed, so a plain, unsalted hash is safe."""

_BEARER: Final = re.compile(rb"(?i:bearer) ([\x21-\x7e]{1,%d})" % MAX_KEY)
_KEY: Final = re.compile(rb"([\x21-\x7e]{1,%d})" % MAX_KEY)

CREDENTIALS: Final = MappingProxyType(
    {b"authorization": _BEARER, b"x-api-key": _KEY, b"x-goog-api-key": _KEY}
)
"""The headers that may carry a key, and their formats: those of the OpenAI, Anthropic and Google SDKs."""
_READ: Final = frozenset({b"connection", *CREDENTIALS})


def credential(headers: Headers) -> str | None:
    """Returns the key in a request's headers, or None if there is none.

    Raises Refusal with the code `invalid_api_key` for a malformed key, `ambiguous_credentials` for several
    different keys, and `invalid_header` if `Connection` names a credential header. Such a header is meant for
    one hop only, so not every reader of the request would see the same credential.
    """
    credentials: set[bytes] = set()
    for name, value in [pair for pair in headers if pair[0] in _READ]:
        pattern = CREDENTIALS.get(name)
        if pattern is not None:
            match = pattern.fullmatch(value.strip(b" \t"))
            if match is None:
                raise Refusal("invalid_api_key")
            credentials.add(match[1])
        elif not CREDENTIALS.keys().isdisjoint(token.strip(b" \t").lower() for token in value.split(b",")):
            raise Refusal("invalid_header", param="connection")
    if len(credentials) > 1:
        raise Refusal("ambiguous_credentials")
    return credentials.pop().decode() if credentials else None


def new_secret() -> str:
    """Returns a new random key. It is shown to the operator once; only its hash is stored."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digests(secret: str, pepper: str | None = None) -> tuple[str, ...]:
    """Returns the hashes to look up for `secret`, in the format of routes.toml. The first one is for storing.

    A pepper is a secret that is kept apart from the store. With it, a copy of the store is not enough to
    check a guessed key. The plain hash is returned as well, for keys that were created without a pepper.
    """
    raw = secret.encode()
    plain = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if pepper is None:
        return (plain,)
    return f"hmac-sha256:{hmac.digest(pepper.encode(), raw, 'sha256').hex()}", plain


def same(digest: str, other: str) -> bool:
    """Whether two hashes are equal, compared in constant time."""
    return hmac.compare_digest(digest, other)
