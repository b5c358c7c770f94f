"""Collects the inputs of routing for one request from its exchange and its document. No I/O."""

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

_MAX_KEY_LENGTH: Final = 256
"""Characters of a caller's identifier that are used; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class RouteInputs:
    """The inputs of routing for one request.

    `share` is the used part of the caller's fullest budget (1.0 is all of it). `estimates` is the estimated
    cost at each target in nano-dollars, where Budget has made one. `holder` is the provider that holds the
    state to which this request refers, and `home` the domain that signed its reasoning. `seconds` is the
    caller's time limit. `key` is the sticky key, and `caller` identifies the caller for the canary. Targets
    in `down` count as ejected and those in `slow` as too slow for the pool, to explain what would happen.
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
    slow: frozenset[str] = frozenset()


def route_inputs(exchange: Exchange, pool: Pool, document: RequestDocument) -> RouteInputs:
    """Returns the routing inputs of a request to `pool`. `exchange.operation` should be set."""
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
        key=None if pool.sticky is None else _sticky_key(exchange, pool.sticky, user, key),
        caller=key or user or exchange.id,
    )


def holder_of(exchange: Exchange, pool: Pool, value: dict[str, Any]) -> str:
    """Returns the name of the provider that holds the state to which a bound request refers.

    This is the provider that issued the previous response, if it is remembered, else that of the pool's first
    target.
    """
    previous_id = value.get("previous_response_id")
    issuer = None
    if exchange.affinity is not None and isinstance(previous_id, str):
        issuer = exchange.affinity.provider_of(previous_id)
        if exchange.routes is not None and issuer not in exchange.routes.providers:
            issuer = None  # it was removed from the configuration
    return issuer or pool.prefer[0].provider.name


def _home_of(exchange: Exchange, pool: Pool, needs: Requirements) -> str | None:
    """Returns the domain that signed the reasoning in the prompt, None without a signature.

    This is the domain of the remembered provider, else that of the pool's first target.
    """
    if needs.signature is None:
        return None
    signer = None if exchange.affinity is None else exchange.affinity.provider_of(needs.signature)
    provider = None if signer is None or exchange.routes is None else exchange.routes.providers.get(signer)
    return (provider or pool.prefer[0].provider).signature_domain


def _sticky_key(exchange: Exchange, sticky: str, user: str | None, key: str | None) -> str | None:
    """Returns the key that keeps this caller at one target, or None if only the balance decides."""
    if sticky == "user":
        return user
    if sticky == "key":
        return key
    value = header(exchange.headers, sticky.removeprefix("header:").encode())
    return value[:_MAX_KEY_LENGTH].decode("latin-1") if value else None


def _own_user(value: dict[str, Any]) -> str | None:
    """Returns the end user that the application names in the document, in the field of either dialect."""
    fields = (value.get("safety_identifier"), value.get("user"), within(value.get("metadata"), "user_id"))
    user = next((each for each in map(text, fields) if each), None)
    return None if user is None else user[:_MAX_KEY_LENGTH]
