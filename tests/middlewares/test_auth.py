"""Authentication of callers, and what they may use."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from standby.middlewares.auth import Auth
from standby.proxy.config import Key, Secret, parse_routes, settings
from standby.proxy.errors import ConfigError
from standby.proxy.exchange import Attempt, Candidate, Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests
from standby.proxy.keys.principal import Principal
from standby.proxy.stores.records import KeyRecord

from tests.middlewares.auth_helpers import (
    LATE,
    LOST,
    NARROW,
    NEAR,
    OFF,
    OWN,
    ROOT,
    STORED,
    answering,
    bearer,
    call,
    code,
    nothing,
    routes,
    scripted_as,
    sent,
    with_store,
)
from tests.proxy.harness import ASK, Caller, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.fixture
def gateway() -> Gateway:
    """A gateway whose providers all answer "Hello"."""
    return answering(Gateway(routes()))


# -------------------------------------------------------------------------------------------- authentication


@pytest.mark.parametrize(
    "header", [bearer(OWN), (b"x-api-key", OWN.encode()), (b"x-goog-api-key", OWN.encode())]
)
async def test_a_key_opens_what_it_grants(gateway: Gateway, header: tuple[bytes, bytes]) -> None:
    """The key is accepted in each of the three headers, and is not sent to a provider."""
    caller = await call(gateway, header)
    assert (caller.status, b"Hello" in caller.body) == (200, True)
    (request,) = scripted_as(gateway, "a").requests
    assert OWN not in str(request.headers.raw)
    assert request.headers.get("authorization") is request.headers.get("x-api-key") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), "invalid_api_key"),
        ((bearer("sk-stranger"),), "invalid_api_key"),
        ((bearer(OWN.upper()),), "invalid_api_key"),
        ((bearer(digests(OWN)[0]),), "invalid_api_key"),
        ((bearer(OFF),), "api_key_disabled"),
        ((bearer(LATE),), "api_key_expired"),
        ((bearer(NEAR),), "ip_not_allowed"),
        ((bearer(OWN), (b"x-api-key", b"other")), "ambiguous_credentials"),
        ((bearer("x" * 10_000),), "invalid_api_key"),
        ((bearer(OWN), (b"connection", b"authorization")), "invalid_header"),
    ],
)
async def test_whoever_may_not_call_is_told_why(
    gateway: Gateway, headers: tuple[tuple[bytes, bytes], ...], expected: str
) -> None:
    """Each reason has its own code. The body is not read, and no provider receives a request."""
    caller = await call(gateway, *headers)
    assert code(caller) == expected
    assert (caller.received, sent(gateway)) == (0, {})
    if caller.status == 401 and len(headers) < 2 and len(str(headers)) < 1000:
        assert caller.headers[b"www-authenticate"] == b"Bearer"


async def test_a_key_works_where_its_caller_may_be(gateway: Gateway) -> None:
    """A key's `ips` are checked against the address of the connection."""
    assert (await call(gateway, bearer(NEAR), client=("10.1.2.3", 1))).status == 200
    assert code(await call(gateway, bearer(NEAR), client=None)) == "ip_not_allowed"


async def test_the_exchange_knows_the_caller(gateway: Gateway) -> None:
    """The principal in the exchange has the whole chain of scopes."""
    scope = scope_of(headers=[bearer(OWN)], client=("192.0.2.1", 1))
    caller = Caller(json.dumps(ASK).encode())
    await gateway(scope, caller.receive, caller.send)
    principal = Exchange.of(scope).principal
    assert principal is not None
    assert [scope.kind for scope in principal.scopes] == ["team", "user", "key"]


async def test_health_needs_no_key_and_models_do(gateway: Gateway) -> None:
    """The probes need no key, but the list of models does."""
    assert (await call(gateway, path="/healthz", method="GET")).status == 200
    assert code(await call(gateway, path="/v1/models", method="GET")) == "invalid_api_key"


# ----------------------------------------------------------------------------------------- authorisation


@pytest.mark.parametrize("model", ["writing", "claude", "no-such-model", "c"])
async def test_what_is_not_granted_might_not_exist(gateway: Gateway, model: str) -> None:
    """A model that is not granted gets the same response as an unknown one, in any dialect."""
    caller = await call(gateway, bearer(OWN), model=model)
    assert code(caller) == "model_not_allowed"
    assert {**caller.json["error"], "request_id": ""} == {
        "message": f"The API key does not grant a model of this name: {model}.",
        "type": "permission_error",
        "code": "model_not_allowed",
        "param": "model",
        "request_id": "",
    }
    assert sent(gateway) == {}


async def test_who_may_use_everything_is_told_what_there_is(gateway: Gateway) -> None:
    """A key for all pools gets the exact error of an unknown model."""
    assert code(await call(gateway, bearer(ROOT), model="no-such-model")) == "unknown_model"
    assert code(await call(gateway, bearer(ROOT), model="claude")) == "operation_not_supported"
    assert (await call(gateway, bearer(ROOT), model="writing")).status == 200


async def test_a_region_holds_for_every_attempt(gateway: Gateway) -> None:
    """Targets outside the key's regions are not tried."""
    caller = await call(gateway, bearer(NARROW))
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"b")
    assert sent(gateway) == {"b": 1}
    assert caller.headers[b"x-standby-attempts"] == b"1"


async def test_a_region_holds_when_its_targets_fail(gateway: Gateway) -> None:
    """If the allowed target fails, no request is sent to the other one."""
    scripted_as(gateway, "b").say(status=503, headers=())
    caller = await call(gateway, bearer(NARROW))
    assert caller.status >= 500
    assert sent(gateway) == {"b": 1}
    assert {each["target"]: each["fault"] for each in caller.json["error"]["attempts"]} == {
        "b": "overloaded",
        "a": "policy.residency",
    }


async def test_what_no_target_could_satisfy_is_refused_at_once(gateway: Gateway) -> None:
    """If no target is allowed, the refusal has the code of the reason, and there is no attempt."""
    assert code(await call(gateway, bearer(LOST))) == "provider_not_allowed"
    text = gateway.routes.source.replace('regions = ["us"]', 'regions = ["mars"]').replace(
        "[providers.at-c]", '[providers.at-c]\nregion = "mars"'
    )
    martian = answering(Gateway(parse_routes(text, environ={})))
    assert code(await call(martian, bearer(NARROW))) == "region_not_allowed"
    assert sent(martian) == {}


async def test_models_are_those_granted(gateway: Gateway) -> None:
    """The list has the models that the caller may use, and does not reveal the others."""

    async def listed(secret: str, path: str = "/v1/models", *headers: tuple[bytes, bytes]) -> Caller:
        return await call(gateway, bearer(secret), *headers, path=path, method="GET")

    names = {each["id"] for each in (await listed(OWN)).json["data"]}
    assert names == {"support", "gpt"}
    assert {each["id"] for each in (await listed(ROOT)).json["data"]} == {*names, "writing"}
    anthropic = await listed(ROOT, "/v1/models", (b"anthropic-version", b"2023-06-01"))
    assert {each["id"] for each in anthropic.json["data"]} == {"claude"}
    assert (await listed(LOST)).json["data"] == []
    assert (await listed(OWN, "/v1/models/gpt")).json["id"] == "gpt"
    for name in ("writing", "no-such-model"):
        assert code(await listed(OWN, f"/v1/models/{name}")) == "model_not_allowed"
    assert code(await listed(ROOT, "/v1/models/no-such-model")) == "unknown_model"


async def test_a_key_that_ends_meanwhile_makes_no_further_attempt() -> None:
    """The clearance checks the expiry and the grants for each attempt."""
    auth = Auth(nothing, now=lambda: 100.0)
    gateway = Gateway(routes())
    exchange = Exchange.of(scope_of())
    target = gateway.routes.targets["a"]
    attempt = Attempt(1, Candidate("a", target), 0.0)
    exchange.pool = gateway.routes.pools["support"]
    for fields, expected in (
        ({}, None),
        ({"expires": datetime.fromtimestamp(100, UTC)}, "policy.expired"),
        ({"expires": datetime.fromtimestamp(101, UTC)}, None),
        ({"pools": ("writing",)}, "policy.model_not_allowed"),
        ({"regions": ("us",)}, "policy.residency"),
        ({"providers": ("at-b",)}, "policy.provider_denied"),
    ):
        given: dict[str, Any] = {"name": "k", "pools": ("*",), "hash": digests("x"), **fields}
        key = Key(**given)
        refused = await auth.clear(Principal.of(key), exchange, attempt)
        assert (refused.reason if refused is not None else None) == expected


# -------------------------------------------------------------------------------------------------- the store


async def test_keys_of_the_store_work_too(gateway: Gateway) -> None:
    """Keys in the store follow the same rules."""
    await with_store(gateway, regions=["us"])
    caller = await call(gateway, bearer(STORED))
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"b")


async def test_a_store_that_is_down_is_no_wrong_key(gateway: Gateway) -> None:
    """A key that only the store could know gets a retryable 503, not 401. Keys in the file still work."""
    store = await with_store(gateway)
    store.down = True
    caller = await call(gateway, bearer(STORED))
    assert code(caller) == "auth_unavailable"
    assert (caller.headers[b"retry-after"], b"x-should-retry" in caller.headers) == (b"1", False)
    assert (await call(gateway, bearer(OWN))).status == 200
    assert code(await call(gateway)) == "invalid_api_key"
    assert sent(gateway) == {"a": 1}


async def test_a_key_that_cannot_be_read_lets_nobody_in(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """A stored key with a missing team is an error of the gateway. The log has the reason and no secret."""
    await with_store(gateway, team="gone")
    assert code(await call(gateway, bearer(STORED))) == "auth_unavailable"
    assert 'there is no team "gone"' in caplog.text
    assert "canary" not in caplog.text


async def test_a_pepper_belongs_to_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys created with the pepper need it, and older keys still work."""
    monkeypatch.setenv("PEPPER", "salt")
    peppered = answering(Gateway(routes(auth='pepper = "env:PEPPER"')))
    store = await with_store(peppered)
    await store.put_key(
        KeyRecord(name="new", hashes={digests("new", "salt")[0]: None}, table={"pools": ["support"]})
    )
    plain = answering(Gateway(routes()))
    plain.store = store
    for gateway, secret, status in (
        (peppered, "new", 200),
        (peppered, STORED, 200),
        (peppered, OWN, 200),
        (plain, "new", 401),
        (plain, STORED, 200),
    ):
        assert (await call(gateway, bearer(secret))).status == status


def test_its_table_is_read_strictly() -> None:
    """`on_store_error` is a duration or "refuse", `pepper` is a secret, and `store` is not a setting here."""

    def read(table: Mapping[str, object]) -> dict[str, Any]:
        return settings(Auth, table, file="f", source="", name="auth", environ={"PEPPER": "salt"})

    assert read({}) == {}
    assert read({"on_store_error": "refuse"}) == {"on_store_error": "refuse"}
    assert read({"on_store_error": "5m"}) == {"on_store_error": 300.0}
    assert isinstance(read({"pepper": "env:PEPPER"})["pepper"], Secret)
    for wrong in (
        {"on_store_error": 5},
        {"on_store_error": "allow"},
        {"pepper": "salt"},
        {"store": "memory:"},
    ):
        with pytest.raises(ConfigError):
            read(wrong)


async def test_nothing_of_a_key_is_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """No part of a key is in the log or in a response, whatever the result."""
    caplog.set_level(logging.DEBUG)
    for secret in (ROOT, OWN, NARROW, OFF, LATE, NEAR, LOST, STORED, "unknown-canary"):
        caller = await call(gateway, bearer(secret))
        for text in (caplog.text, caller.body.decode(), str(caller.headers)):
            assert "canary" not in text
            assert digests(secret)[0].partition(":")[2] not in text
