"""Who issued what a request refers to, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from standby.proxy.config import Key
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.state_key import id_key
from standby.proxy.errors import Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.health.state_affinity import StateAffinity
from standby.proxy.http.json_document import Document
from standby.proxy.keys.principal import Principal
from standby.proxy.routing.issuers import MOST, find_issuers, remember_issuer
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
    exchange.affinity.remember(id_key("resp_1"), "p", owner)
    assert await refusal(exchange, CONTINUED) == expected


async def test_reasoning_items_and_signatures() -> None:
    """The id of a reasoning item has an owner; a signature has none, since its content comes with it."""
    exchange = exchange_of()
    assert exchange.affinity is not None
    exchange.affinity.remember(id_key("rs_1"), "p", "ben")
    exchange.affinity.remember("sig_1", "p", "ben")
    item = {"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "text": "x"}]}
    assert await refusal(exchange, {"input": [item]}) == ("unknown_state", "input[0].id")
    assert await refusal(exchange, {}, "sig_1") is None


async def test_too_many_references() -> None:
    """One request cannot keep the store busy with thousands of ids; repeated ones count once."""
    item = {"type": "item_reference", "id": "msg_1"}
    assert await refusal(exchange_of(), {"input": [item] * 5_000}) is None
    items = [{**item, "id": f"msg_{number}"} for number in range(MOST + 1)]
    assert await refusal(exchange_of(), {"input": items}) == ("invalid_value", "input")
    assert await refusal(exchange_of(), {"input": items[1:]}) is None


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
    [(1, None, []), (1, "ann", ["id_1"]), (2, None, ["id_1", "sig_1"]), (2, "ann", ["id_1", "sig_1"])],
)
async def test_what_is_remembered(urls: int, key: str | None, kept: list[str]) -> None:
    """With one provider only ids of keys are remembered, since there is nobody else to go to."""
    exchange = exchange_of(key)
    exchange.routes = routes_to(*["http://127.0.0.1:9/v1"] * urls)
    for each in ("id_1", "sig_1"):
        remember_issuer(exchange, exchange.routes.providers["at-a"], each)
    assert exchange.affinity is not None
    assert [each for each in ("id_1", "sig_1") if exchange.affinity.issuer_of(each)] == kept
