"""What two providers of one vendor's API have in common: how a key is shown, and which of a caller's headers
may reach them. Everything not named here stays at the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..asgi import Headers

__all__ = ["ANTHROPIC", "OPENAI", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A vendor's conventions for headers.

    `forwards` is an allowlist (lower case) of what a caller may say to a provider. It holds no credential,
    no cookie, no organization or project (they are the operator's), no trace context or baggage (they leak
    internal names), nothing about the caller's address, and no `x-stainless-*`: those tell of the caller's
    machine and of its own retries, which are not the provider's to count. `defaults` are sent where the
    caller says nothing.
    """

    name: str
    key_header: bytes
    key_prefix: bytes
    forwards: frozenset[bytes]
    defaults: Headers = ()

    def credential(self, secret: str) -> Headers:
        """The headers that show `secret` to a provider."""
        return ((self.key_header, self.key_prefix + secret.encode()),)

    def forwarded(self, headers: Headers) -> Headers:
        """What of a caller's `headers` (names in lower case) may reach a provider, and the defaults."""
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
    # The API refuses a request without a version; this is the only stable one its SDKs have ever sent.
    defaults=((b"anthropic-version", b"2023-06-01"),),
)
