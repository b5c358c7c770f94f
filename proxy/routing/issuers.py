"""Who issued the state to which a request refers: found out before the plan, remembered during an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..config import Provider
from ..dialects.base import RequestDocument
from ..dialects.state_key import is_id
from ..errors import Refusal
from ..exchange import Exchange
from ..stores.store import StoreDown

__all__ = ["MOST", "find_issuers", "remember_issuer"]

MOST: Final = 1_000
"""The most ids that a request may refer to, and signatures that are looked up, the newest ones."""


async def find_issuers(exchange: Exchange, document: RequestDocument, signatures: Sequence[str] = ()) -> None:
    """Load the issuers of everything that `document` refers to into the exchange's `affinity`.

    `signatures` are the keys of `Requirements`. Raises Refusal `unknown_state` for an id that was issued to
    another API key, `state_unavailable` if the store that may know it does not answer, and `invalid_value`
    for more than MOST ids.
    """
    affinity, operation = exchange.affinity, exchange.operation
    if affinity is None or operation is None:
        return
    references = dict(operation.references(document))
    if len(references) > MOST:
        detail = f"it refers to more than {MOST} stored objects"
        raise Refusal("invalid_value", param="input", detail=detail)
    owner = exchange.owner
    try:
        await affinity.look_up([*references, *signatures[-MOST:]], exchange.store)
    except StoreDown:
        # Where it must go can be guessed, but not whether it belongs to this caller.
        if owner and any(affinity.issuer_of(key) is None for key in references):
            raise Refusal("state_unavailable", retry_after=1.0, retryable=True) from None
    for key, param in references.items():
        issued = affinity.issuer_of(key)
        if issued is not None and owner and issued.owner not in {"", owner}:
            raise Refusal("unknown_state", param=param)


def remember_issuer(exchange: Exchange, provider: Provider, key: str) -> None:
    """Remember that `provider` issued `key` with the answer to this request."""
    routes, owner = exchange.routes, exchange.owner
    if exchange.affinity is None or routes is None:
        return
    if any(
        other.dialect == provider.dialect and other.name != provider.name
        for other in routes.providers.values()
    ) or (owner and is_id(key)):
        exchange.affinity.remember(key, provider.name, owner, exchange.store)
