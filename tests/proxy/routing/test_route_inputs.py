"""The inputs of a request to the routing decision."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.config import Key, Pool, User, parse_routes
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.state_key import content_key, id_key
from standby.proxy.exchange import Exchange
from standby.proxy.health.state_affinity import StateAffinity
from standby.proxy.http.json_document import Document
from standby.proxy.keys.principal import Principal
from standby.proxy.routing.route_inputs import RouteInputs, route_inputs

__all__: list[str] = []

ROUTES = parse_routes(
    """
    stack = ["auth", "route_select", "failover"]
    [providers.a]
    dialect = "anthropic"
    base_url = "http://127.0.0.1:9/v1"
    [providers.b]
    dialect = "anthropic"
    base_url = "http://127.0.0.1:9/v1"
    signature_domain = "shared"
    [targets]
    a = { provider = "a", model = "m" }
    b = { provider = "b", model = "m" }
    [pools.support]
    prefer = ["a", "b"]
    [pools.sessions]
    prefer = ["a", "b"]
    sticky = "header:x-session"
    [pools.users]
    prefer = ["a", "b"]
    sticky = "user"
    [pools.keys]
    prefer = ["a", "b"]
    sticky = "key"
    """,
    environ={},
)
ANN = Principal.of(Key(name="checkout", hash=("sha256:" + "0" * 64,), pools=("*",), user=User(name="ann")))
THOUGHT = {"role": "assistant", "content": [{"type": "thinking", "thinking": "...", "signature": "sig"}]}


def ask(
    pool: str = "support", *messages: Any, principal: Principal | None = None, **fields: Any
) -> RouteInputs:
    headers = tuple(fields.pop("headers", ()))
    exchange = Exchange("req_1", 0.0, headers, routes=ROUTES, principal=principal, affinity=StateAffinity())
    exchange.operation = operation_named("responses" if "previous_response_id" in fields else "messages")
    for name in ("share", "estimates", "time_limit", "bound", "affinity"):
        if name in fields:
            setattr(exchange, name, fields.pop(name))
    value = {"messages": [{"role": "user", "content": "Hi"}, *messages], "max_tokens": 9, **fields}
    return route_inputs(exchange, of(pool), Document(value, frozenset()))


def of(pool: str) -> Pool:
    return ROUTES.pools[pool]


def test_the_facts_of_the_exchange() -> None:
    """Findings of earlier middlewares are used."""
    inputs = ask(principal=ANN, share=0.5, estimates={"a": 7}, time_limit=3.0)
    assert (inputs.principal, inputs.share, inputs.estimates, inputs.seconds) == (ANN, 0.5, {"a": 7}, 3.0)
    assert (inputs.needs.operation, inputs.needs.output_tokens) == ("messages", 9)
    assert (inputs.holder, inputs.home, inputs.key) == (None, None, None)


@pytest.mark.parametrize(
    ("pool", "principal", "fields", "key"),
    [
        ("users", ANN, {}, "ann"),
        ("users", Principal.of(Key(name="batch", hash=("sha256:" + "0" * 64,), pools=("*",))), {}, "batch"),
        ("users", None, {"metadata": {"user_id": "u-1"}}, "u-1"),
        ("users", None, {}, None),
        ("keys", ANN, {}, "checkout"),
        ("keys", None, {"metadata": {"user_id": "u-1"}}, None),
        ("sessions", ANN, {"headers": [(b"x-session", b"s-1")]}, "s-1"),
        ("sessions", ANN, {}, None),
        ("support", ANN, {"headers": [(b"x-session", b"s-1")]}, None),
    ],
)
def test_what_keeps_a_caller_at_one_target(
    pool: str, principal: Principal | None, fields: dict[str, Any], key: str | None
) -> None:
    """As the pool is configured: a header, the user, or the key; None if neither is present."""
    assert ask(pool, principal=principal, **fields).key == key


@pytest.mark.parametrize(
    ("principal", "fields", "caller"),
    [
        (ANN, {}, "checkout"),
        (None, {"metadata": {"user_id": "u-1"}}, "u-1"),
        (None, {"metadata": {"user_id": ["no"]}}, "req_1"),
        (None, {}, "req_1"),
    ],
)
def test_whom_a_canary_goes_by(principal: Principal | None, fields: dict[str, Any], caller: str) -> None:
    """The key; without one the user in the request; else the request id, so each request differs."""
    assert ask(principal=principal, **fields).caller == caller


def test_reasoning_is_at_home_where_it_was_signed() -> None:
    """The domain of the remembered provider, else of the pool's first one."""
    assert ask("support", THOUGHT).home == "a"
    affinity = StateAffinity()
    affinity.remember(content_key("sig"), "b")
    assert ask("support", THOUGHT, affinity=affinity).home == "shared"


def test_state_is_held_where_it_was_issued() -> None:
    """The remembered provider, else the pool's first one."""
    affinity = StateAffinity()
    affinity.remember(id_key("resp_1"), "b")
    assert ask(bound=True, affinity=affinity, previous_response_id="resp_1").holder == "b"
    assert ask(bound=True, previous_response_id="resp_2").holder == "a"
    affinity.remember(id_key("resp_3"), "removed by a reload")
    assert ask(bound=True, affinity=affinity, previous_response_id="resp_3").holder == "a"
