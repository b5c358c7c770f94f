"""Opening a request: its body, its shape, its pool."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import orjson
import pytest
from standby.proxy.asgi import Message
from standby.proxy.config import Routes
from standby.proxy.dialects.registry import OPERATIONS, operation_named
from standby.proxy.errors import ClientGone, Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.http.body import Body
from standby.proxy.http.opened import opened, resolve

from tests.proxy.harness import routes_to

__all__: list[str] = []

ROUTES: Final = routes_to("http://127.0.0.1:9/v1", pool='serves = ["support", "gpt-4.1"]')
ANTHROPIC: Final = routes_to("http://127.0.0.1:9", dialect="anthropic")
ASKED: Final = MappingProxyType[str, dict[str, Any]](
    {
        "chat": {"messages": [{"role": "user", "content": "Hi"}]},
        "responses": {"input": "Hi"},
        "embeddings": {"input": "Hi"},
        "messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
        "count_tokens": {"messages": [{"role": "user", "content": "Hi"}]},
    }
)


async def _deaf() -> Message:
    raise AssertionError("the body has been read")


def asked(operation: str, routes: Routes | None = ROUTES, **fields: Any) -> tuple[Exchange, Body]:
    """An exchange that has entered, and its body; a field that is None is left out."""
    exchange = Exchange(
        id="req_1", began=0.0, headers=(), routes=routes, operation=operation_named(operation)
    )
    document = {"model": "support", **ASKED[operation], **fields}
    return exchange, Body(
        orjson.dumps({key: value for key, value in document.items() if value is not None}), _deaf
    )


def code_of(exchange: Exchange, body: Body) -> tuple[str, int, str | None]:
    """What the request is refused with."""
    with pytest.raises(Refusal) as caught:
        resolve(exchange, body)
    return caught.value.code, caught.value.status, caught.value.param


@pytest.mark.parametrize("model", ["support", "gpt-4.1"])
def test_the_pool_is_found_by_every_name_it_serves(model: str) -> None:
    """A request belongs to the pool that serves its model."""
    exchange, body = asked("chat", model=model)
    resolve(exchange, body)
    assert exchange.pool is ROUTES.pools["support"]
    assert (exchange.model, exchange.streamed, exchange.bound) == (model, False, False)


@pytest.mark.parametrize(("stream", "streamed"), [(True, True), (False, False), (None, False)])
def test_streams(stream: bool | None, streamed: bool) -> None:
    """A request that says so wants a stream."""
    exchange, body = asked("chat", stream=stream)
    resolve(exchange, body)
    assert exchange.streamed is streamed


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("chat", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        ("responses", {"previous_response_id": "resp_1"}),
    ],
)
def test_bound_requests(operation: str, fields: dict[str, Any]) -> None:
    """A request whose state lives at one provider is marked."""
    exchange, body = asked(operation, **fields)
    resolve(exchange, body)
    assert exchange.bound


@pytest.mark.parametrize(
    "model", ["Support", "support ", "support\x00", "", "a/b", "http://evil/x", "x" * 10_000]
)
def test_unknown_models(model: str) -> None:
    """Names are compared byte by byte, and none is repeated in the answer."""
    code, status, param = code_of(*asked("chat", model=model))
    assert (code, param) == ("unknown_model", "model")
    assert status in {400, 404}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_model_is_required(operation: str) -> None:
    """No operation goes on without one."""
    assert code_of(*asked(operation, model=None)) == ("invalid_request", 400, "model")


@pytest.mark.parametrize("model", [1, True, ["support"], {"a": 1}])
def test_a_model_is_a_string(model: object) -> None:
    """Nothing else names one."""
    assert code_of(*asked("chat", model=model))[0] == "unknown_model"


@pytest.mark.parametrize("operation", ["messages", "count_tokens"])
def test_a_pool_of_the_other_dialect(operation: str) -> None:
    """A pool is asked in the dialect that its targets speak."""
    assert code_of(*asked(operation)) == ("operation_not_supported", 400, "model")
    exchange, body = asked(operation, ANTHROPIC)
    resolve(exchange, body)
    assert exchange.pool is ANTHROPIC.pools["support"]


@pytest.mark.anyio
async def test_the_second_time_nothing_is_done() -> None:
    """Each middleware may open the request; the body is read once, and the first pool stays."""
    exchange, body = asked("chat", stream=True)
    scope: dict[str, Any] = {"standby": exchange}
    assert await opened(scope, body) is body
    pool = exchange.pool
    body.document.value["model"] = "other"
    assert await opened(scope, body) is body
    assert exchange.pool is pool
    assert exchange.model == "support"


@pytest.mark.anyio
async def test_a_client_that_leaves_while_it_sends() -> None:
    """It is noted in the exchange, so that nobody answers."""
    exchange, _ = asked("chat")

    async def left() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        await opened({"standby": exchange}, left)
    assert exchange.client_gone


def test_without_routes_only_the_shape_is_checked() -> None:
    """On a foreign stack any model will do, but a body must be one."""
    exchange, body = asked("chat", None, model="any", stream=True)
    resolve(exchange, body)
    assert (exchange.pool, exchange.model, exchange.streamed) == (None, "any", True)
    assert code_of(*asked("chat", None, messages=None))[0] == "invalid_request"


def test_what_is_no_operation_is_left_alone() -> None:
    """The body of a request that no provider is asked is not looked at."""
    exchange = Exchange(id="req_1", began=0.0, headers=(), routes=ROUTES)
    resolve(exchange, Body(b"not JSON", _deaf))
    assert exchange.pool is None
