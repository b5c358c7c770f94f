"""What of a request decides where it may go, read from its exchange and its document. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..asgi import header
from ..config import Pool
from ..dialects.base import RequestDocument
from ..dialects.json_values import text, within
from ..exchange import Exchange
from .requirements import Requirements, needs_of

if TYPE_CHECKING:
    from ..keys.principal import Principal

__all__ = ["RouteInputs", "holder_of", "route_inputs"]

_LONGEST_KEY: Final = 256
"""Characters of what a caller is known by; the rest of it tells nobody apart."""


@dataclass(frozen=True, slots=True)
class RouteInputs:
    """What decides where one request may go.

    `share` is how much of its fullest budget the caller has used; `estimates` is what the request may cost at
    each target, in nano-dollars, where somebody has reckoned it. `holder` is the provider that has the state
    this request names, and `home` the domain that signed its reasoning. `seconds` is how long the caller
    waits, `key` what keeps the caller at one target, and `caller` whom the pool's canary goes by. Targets
    that are `down` count as ejected, for those who only want to know what would be.
    """

    pool: Pool
    needs: Requirements
    streamed: bool = False
    principal: Principal | None = None
    share: float = 0.0
    estimates: Mapping[str, int] = field(default_factory=dict[str, int])
    holder: str | None = None
    home: str | None = None
    seconds: float | None = None
    key: str | None = None
    caller: str = ""
    down: frozenset[str] = frozenset()


def route_inputs(exchange: Exchange, pool: Pool, document: RequestDocument) -> RouteInputs:
    """What decides where a request to `pool` may go, whose operation is known."""
    operation, principal, value = exchange.operation, exchange.principal, document.value
    needs = needs_of(document, "" if operation is None else operation.name)
    key = None if principal is None else principal.name("key")
    user = (None if principal is None else principal.name("user")) or key or _own_user(value)
    return RouteInputs(
        pool,
        needs,
        streamed=exchange.streamed,
        principal=principal,
        share=exchange.share,
        estimates=exchange.estimates,
        holder=holder_of(exchange, pool, value) if exchange.bound else None,
        home=_home_of(exchange, pool, needs),
        seconds=exchange.time_limit,
        key=None if pool.sticky is None else _sticks_to(exchange, pool.sticky, user),
        caller=key or user or exchange.id,
    )


def holder_of(exchange: Exchange, pool: Pool, value: dict[str, Any]) -> str:
    """The provider that has the state a bound request names.

    That is the one known to have issued it, or else that of the pool's first target.
    """
    issuer = value.get("previous_response_id")
    issuer_provider = None
    if exchange.affinity is not None and isinstance(issuer, str):
        issuer_provider = exchange.affinity.provider_of(issuer)
    return issuer_provider or pool.prefer[0].provider.name


def _home_of(exchange: Exchange, pool: Pool, needs: Requirements) -> str | None:
    """Where the reasoning in the prompt was signed: as remembered, else where the pool's first target is."""
    if needs.signature is None:
        return None
    signer = None if exchange.affinity is None else exchange.affinity.provider_of(needs.signature)
    provider = None if signer is None or exchange.routes is None else exchange.routes.providers.get(signer)
    return (provider or pool.prefer[0].provider).signature_domain


def _sticks_to(exchange: Exchange, sticky: str, user: str | None) -> str | None:
    """What keeps this caller at one target; None where nothing is said, so that the balance decides."""
    if sticky == "user":
        return user
    value_given = header(exchange.headers, sticky.removeprefix("header:").encode())
    return value_given[:_LONGEST_KEY].decode("latin-1") if value_given else None


def _own_user(value: dict[str, Any]) -> str | None:
    """Whom the application says it asks for, in the words of either dialect."""
    named = (value.get("safety_identifier"), value.get("user"), within(value.get("metadata"), "user_id"))
    value_given = next((each for each in map(text, named) if each), None)
    return None if value_given is None else value_given[:_LONGEST_KEY]
