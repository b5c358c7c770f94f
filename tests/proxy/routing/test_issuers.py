"""Who issued what a request refers to, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from standby.proxy.config import Key
from standby.proxy.dialects.registry import operation_named
from standby.proxy.errors import Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.health.state_affinity import StateAffinity
from standby.proxy.http.json_document import Document
from standby.proxy.keys.principal import Principal
from standby.proxy.routing.issuers import find_issuers, remember_issuer
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import Issued
from standby.proxy.stores.store import StoreDown
from typing_extensions import override

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CONTINUED = {"previous_response_id": "resp_1"}


class Down(Memory):
    """A shared store that does not answer."""

    shared = True

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        raise StoreDown("down")


def exchange_of(key: str | None = "ann") -> Exchange:
    exchange = Exchange("req_1", 0.0, (), operation=operation_named("responses"), bound=True)
    if key is not None:
        exchange.principal = Principal.of(Key(name=key, hash=("sha256:" + "0" * 64,), pools=("*",)))
    exchange.affinity = StateAffinity()
    return exchange


async def refusal(
    exchange: Exchange, value: dict[str, Any], *signatures: str
) -> tuple[str, str | None] | None:
    try:
        await find_issuers(exchange, Document(value, frozenset()), signatures)
    except Refusal as error:
        return error.code, error.param
    return None


@pytest.mark.parametrize(
    ("owner", "key", "expected"),
    [
        ("ann", "ann", None),
        ("ben", "ann", ("unknown_state", "previous_response_id")),
        ("", "ann", None),
        ("ben", None, None),
    ],
)
async def test_whose_id_it_is(owner: str, key: str | None, expected: tuple[str, str] | None) -> None:
    """An id is known to the key that it was issued to, and to all where there were or are no keys."""
    exchange = exchange_of(key)
    assert exchange.affinity is not None
    exchange.affinity.remember(["resp_1"], "p", owner)
    assert await refusal(exchange, CONTINUED) == expected


async def test_reasoning_items_and_signatures() -> None:
    """The id of a reasoning item has an owner; a signature has none, since its content comes with it."""
    exchange = exchange_of()
    assert exchange.affinity is not None
    exchange.affinity.remember(["rs_1", "sig_1"], "p", "ben")
    assert await refusal(exchange, {}, "rs_1") == ("unknown_state", "input")
    assert await refusal(exchange, {}, "sig_1") is None


async def test_a_store_that_does_not_answer() -> None:
    """An id that may be another's is refused; a signature, and any id without keys, is merely unknown."""
    exchange = exchange_of()
    exchange.store = Down()
    assert await refusal(exchange, CONTINUED) == ("state_unavailable", None)
    assert await refusal(exchange, {}, "sig_1") is None
    exchange = exchange_of(None)
    exchange.store = Down()
    assert await refusal(exchange, CONTINUED) is None


@pytest.mark.parametrize(
    ("urls", "key", "kept"),
    [(1, None, []), (1, "ann", ["resp_1"]), (2, None, ["resp_1", "sig_1"]), (2, "ann", ["resp_1", "sig_1"])],
)
async def test_what_is_written(urls: int, key: str | None, kept: list[str]) -> None:
    """With one provider only ids of keys are written, since there is nobody else to go to."""
    exchange = exchange_of(key)
    exchange.routes = routes_to(*["http://127.0.0.1:9/v1"] * urls)

    class Shared(Memory):
        shared = True

    store = exchange.store = Shared()
    assert exchange.affinity is not None
    remember_issuer(exchange, exchange.routes.providers["at-a"], ("resp_1", "sig_1"))
    await exchange.affinity.aclose()
    assert [issued.key for issued in await store.issuers(["resp_1", "sig_1"])] == kept
