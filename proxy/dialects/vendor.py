"""Header conventions of each vendor's API: how a key is sent, and which of a caller's headers are forwarded.

Any header that is not listed here is not forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..asgi import Headers

__all__ = ["ANTHROPIC", "OPENAI", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A vendor's conventions for headers.

    `key_header` and `key_prefix` define the header with the credential. `forwards` is the allowlist (in lower
    case) of a caller's headers that may reach a provider. It has no credentials, no cookies, no organization
    or project (the operator sets these), no trace context or baggage (they leak internal names), no addresses
    of the caller, and no `x-stainless-*`: they describe the caller's machine and its retries to the gateway.
    `defaults` are sent unless the caller sends a header of the same name. `merges` is the header whose values
    of the operator and of the caller are joined, since each switches on other features.
    """

    name: str
    key_header: bytes
    key_prefix: bytes
    forwards: frozenset[bytes]
    defaults: Headers = ()
    merges: bytes | None = None

    def credential(self, secret: str, scheme: str | None = None) -> Headers:
        """Returns the headers that authenticate with `secret` at a provider.

        `scheme` is "bearer" or the name of a header, for a provider that does not do as its dialect does.
        """
        key = secret.encode()
        if scheme == "bearer":
            return ((b"authorization", b"Bearer " + key),)
        return ((scheme.encode(), key),) if scheme else ((self.key_header, self.key_prefix + key),)

    def forwarded(self, headers: Headers) -> Headers:
        """Returns the caller's `headers` (names in lower case) that may be forwarded, and the defaults."""
        forwards = self.forwards
        kept = tuple([(name, value.strip(b" \t")) for name, value in headers if name in forwards])
        if not self.defaults:
            return kept
        names = {name for name, _ in kept}
        return kept + tuple(pair for pair in self.defaults if pair[0] not in names)


OPENAI: Final = Dialect(
    name="openai",
    key_header=b"authorization",
    key_prefix=b"Bearer ",
    forwards=frozenset({b"openai-beta", b"user-agent"}),
)

ANTHROPIC: Final = Dialect(
    name="anthropic",
    key_header=b"x-api-key",
    key_prefix=b"",
    forwards=frozenset({b"anthropic-beta", b"anthropic-version", b"user-agent"}),
    # The API rejects a request without a version; this is the only stable one that its SDKs have ever sent.
    defaults=((b"anthropic-version", b"2023-06-01"),),
    merges=b"anthropic-beta",
)
