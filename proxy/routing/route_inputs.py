"""Collects the inputs of routing for one request from its exchange and its document. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..asgi import header
from ..config import Pool, Provider, Target, targets_of
from ..dialects.base import Operation, RequestDocument
from ..dialects.json_values import text, within
from ..exchange import Exchange
from .requirements import Requirements, needs_of

if TYPE_CHECKING:
    from ..keys.principal import Principal

__all__ = ["RouteInputs", "domains_of", "holder_of", "route_inputs"]

_MAX_KEY_LENGTH: Final = 256
"""Characters of a caller's identifier that are used; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class RouteInputs:
    """The inputs of routing for one request.

    `share` is the used part of the caller's fullest budget (1.0 is all of it). `estimates` is the estimated
    cost at each target in nano-dollars, where Budget has made one. `holder` is the provider that holds the
    state to which this request refers, and `home` the domain that signed its reasoning, which is only
    `presumed` if the issuer of the reasoning is unknown. `seconds` is the caller's time limit. `key` is the
    sticky key, and `caller` identifies the caller for the canary. Targets in `down` count as ejected and
    those in `slow` as too slow for the pool, to explain what would happen.
    """

    pool: Pool
    needs: Requirements
    streamed: bool = False
    principal: Principal | None = None
    share: float = 0.0
    estimates: Mapping[str, int] = field(default_factory=dict[str, int])
    holder: str | None = None
    home: str | None = None
    presumed: bool = False
    seconds: float | None = None
    key: str | None = None
    caller: str = ""
    down: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()

    def issued_by(self, target: Target) -> bool:
        """Whether the request refers to something that only `target` and its like have issued."""
        provider = target.provider
        return provider.name == self.holder or (
            self.home is not None and provider.signature_domain == self.home
        )


def route_inputs(
    exchange: Exchange, pool: Pool, document: RequestDocument, needs: Requirements | None = None
) -> RouteInputs:
    """Returns the routing inputs of a request to `pool`. `exchange.operation` should be set.

    `needs` are its requirements, if they are known already.
    """
    operation, principal, value = exchange.operation, exchange.principal, document.value
    if needs is None:
        needs = needs_of(document, "" if operation is None else operation.name)
    holder = holder_of(exchange, pool, document, needs.signatures) if exchange.bound else None
    home, presumed = _home_of(exchange, pool, needs, holder) if needs.signatures else (None, False)
    key = None if principal is None else principal.name("key")
    user = (None if principal is None else principal.name("user")) or key or _own_user(value)
    return RouteInputs(
        pool,
        needs,
        streamed=exchange.streamed,
        principal=principal,
        share=exchange.share,
        estimates=exchange.estimates,
        holder=holder,
        home=home,
        presumed=presumed,
        seconds=exchange.time_limit,
        key=None if pool.sticky is None else _sticky_key(exchange, pool.sticky, user, key),
        caller=key or user or exchange.id,
    )


def holder_of(
    exchange: Exchange, pool: Pool, document: RequestDocument, signatures: Sequence[str] = ()
) -> str:
    """Returns the name of the provider that holds the state to which a bound request refers.

    This is the provider that issued the newest of it, or else the newest of `signatures`, as far as that is
    known (see `find_issuers`); else that of the pool's first target that has the operation.
    """
    operation = exchange.operation
    references = () if operation is None else operation.references(document)
    for key in (*reversed([key for key, _ in references]), *reversed(signatures)):
        if (issuer := _issuer_of(exchange, key)) is not None:
            return issuer.name
    return _first_that_has(pool, operation).provider.name


def domains_of(exchange: Exchange, needs: Requirements) -> dict[str, str]:
    """Returns the domain of the issuer of each signature in the prompt, as far as it is known, by its key."""
    issuers = ((key, _issuer_of(exchange, key)) for key in needs.signatures)
    return {key: issuer.signature_domain for key, issuer in issuers if issuer is not None}


def _home_of(exchange: Exchange, pool: Pool, needs: Requirements, holder: str | None) -> tuple[str, bool]:
    """Returns the domain that signed the reasoning in the prompt, and whether that is only presumed.

    This is the domain of the newest of it whose issuer is known, else that of the holder of the request's
    other state, else that of the pool's first target that has the operation.
    """
    for key in reversed(needs.signatures):
        if (issuer := _issuer_of(exchange, key)) is not None:
            return issuer.signature_domain, False
    known = None if holder is None or exchange.routes is None else exchange.routes.providers.get(holder)
    return (known or _first_that_has(pool, exchange.operation).provider).signature_domain, True


def _first_that_has(pool: Pool, operation: Operation | None) -> Target:
    """Returns the pool's first target that has the operation itself: state was issued in its own format."""
    first = pool.prefer[0]
    if operation is None or operation.name in first.operations:
        return first
    return next((target for target in targets_of(pool) if operation.name in target.operations), first)


def _issuer_of(exchange: Exchange, key: str) -> Provider | None:
    """Returns the provider that issued `key`; None if it is unknown or was removed from the configuration."""
    issued = None if exchange.affinity is None else exchange.affinity.issuer_of(key)
    return (
        None if issued is None or exchange.routes is None else exchange.routes.providers.get(issued.provider)
    )


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
