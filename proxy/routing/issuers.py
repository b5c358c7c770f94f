"""Who issued the state to which a request refers: found out before the plan, remembered after an answer."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Provider
from ..dialects.base import RequestDocument
from ..dialects.state_key import is_id
from ..errors import Refusal
from ..exchange import Exchange
from ..stores.store import StoreDown

__all__ = ["find_issuers", "remember_issuer"]


async def find_issuers(exchange: Exchange, document: RequestDocument, signatures: Sequence[str] = ()) -> None:
    """Load the issuers of everything that `document` refers to into the exchange's `affinity`.

    `signatures` are the keys of `Requirements`. Raises Refusal `unknown_state` for an id that was issued to
    another API key, and `state_unavailable` if the store that may know it does not answer.
    """
    affinity, operation = exchange.affinity, exchange.operation
    if affinity is None or operation is None:
        return
    references = list(operation.references(document)) if exchange.bound else []
    references += [(key, "input") for key in signatures if is_id(key)]
    owner = exchange.owner
    try:
        await affinity.look_up([key for key, _ in references] + [*signatures], exchange.store)
    except StoreDown:
        # Where it must go can be guessed, but not whether it belongs to this caller.
        if owner and any(affinity.issuer_of(key) is None for key, _ in references):
            raise Refusal("state_unavailable", retry_after=1.0, retryable=True) from None
    for key, param in references:
        issued = affinity.issuer_of(key)
        if issued is not None and owner and issued.owner not in {"", owner}:
            raise Refusal("unknown_state", param=param)


def remember_issuer(exchange: Exchange, provider: Provider, issued: Sequence[str]) -> None:
    """Remember that `provider` issued the keys in `issued` with the answer to this request."""
    routes, owner = exchange.routes, exchange.owner
    if exchange.affinity is None or routes is None:
        return
    others = any(
        other.dialect == provider.dialect and other.name != provider.name
        for other in routes.providers.values()
    )
    # If there is no other provider, only the owner of an id matters.
    keys = issued if others else tuple(filter(is_id, issued))
    exchange.affinity.remember(keys, provider.name, owner, exchange.store if others or owner else None)
