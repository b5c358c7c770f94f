"""Who may ask the admin listener, and what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standby.proxy.asgi import Scope
from standby.proxy.config import Admin, Secret
from standby.proxy.server.admin import admin_app
from standby.proxy.server.reporting import Reporting
from standby.proxy.server.worker_board import WorkerBoard

from tests.middlewares.scene import Scene
from tests.proxy.harness import Caller, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio

OPEN = Admin()
GUARDED = Admin(listen="0.0.0.0:8081", token=Secret("env:TOKEN", "let-me-in"))
JSON = (b"content-type", b"application/json")


def asked(
    path: str, method: str = "GET", host: str = "127.0.0.1:8081", *headers: tuple[bytes, bytes]
) -> Scope:
    """The scope of a request to the listener."""
    scope = scope_of(path, method=method)
    return {**scope, "headers": [(b"host", host.encode()), *headers]}


async def answer(admin: Admin, scope: Scope, body: bytes = b"", scene: Scene | None = None) -> Caller:
    """What the listener of a gateway with two targets answers."""
    gateway = (scene or Scene(2)).gateway
    caller = Caller(body)
    await admin_app(Reporting(gateway, WorkerBoard(None)), admin)(scope, caller.receive, caller.send)
    return caller


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 200),
        ("localhost", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        ("evil.example:8081", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
async def test_without_a_token_only_a_loopback_name_is_answered(host: str, status: int) -> None:
    """A page in a browser that makes its own name lead here learns nothing."""
    assert (await answer(OPEN, asked("/status.json", host=host))).status == status


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        (b"Bearer let-me-in", 200),
        (b"Bearer let-me", 401),
        (b"Basic let-me-in", 401),
        (b"", 401),
        (b"\xff", 401),
    ],
)
async def test_the_token_is_asked_for_everywhere(credential: bytes, status: int) -> None:
    """With a token nothing is answered without it, whatever the host; the answer never shows it."""
    for path in ("/metrics", "/status.json", "/explain"):
        method = "POST" if path == "/explain" else "GET"
        scope = asked(path, method, "anything", (b"authorization", credential), JSON)
        caller = await answer(GUARDED, scope, b'{"pool": "support"}')
        assert caller.status == status
        assert b"let-me-in" not in caller.body


async def test_nothing_else_is_there() -> None:
    """Other paths and methods are refused; the API is not served here."""
    assert (await answer(OPEN, asked("/v1/models"))).status == 404
    assert (await answer(OPEN, asked("/metrics", "POST"))).status == 405


async def test_the_status_of_a_pool() -> None:
    """Pools and targets are listed with their states, and why a target rests."""
    scene = Scene(2)
    scene["a"].say(b"", status=401)
    for _ in range(3):
        await scene.ask()
    status = (await answer(OPEN, asked("/status.json"), scene=scene)).json
    assert status["pools"] == {"support": {"state": "healthy"}}
    target = status["targets"]["a chat"]
    assert (target["state"], target["reasons"]) == ("cooldown", ["upstream_auth"])
    assert 0 < target["ready_in_s"] <= 300
    assert status["now"]["standby.requests.open"] == 0


async def test_an_explanation_knows_the_health_of_now() -> None:
    """A target that rests is passed over in the explanation as it would be for a request."""
    scene = Scene(2)
    scene["a"].say(b"", status=429, headers=((b"retry-after", b"60"),))
    await scene.ask()
    caller = await answer(OPEN, asked("/explain", "POST", "localhost", JSON), b'{"pool": "support"}', scene)
    assert (caller.json["first"], caller.json["plan"][0]["rejected"]) == ("b", "health.cooldown")
    assert scene.asked == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"pool": "suport"}, 404, "unknown_name"),
        ({"pool": "support", "key": "nobody"}, 404, "unknown_name"),
        ({"pool": "support", "operation": "sing"}, 404, "unknown_name"),
        ({"pool": "support", "down": ["z"]}, 404, "unknown_name"),
        ({"pool": 1}, 400, "invalid_request"),
        ({"pool": "support", "wishes": 1}, 400, "invalid_request"),
        ({"pool": "support", "budget_used": 2}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ],
)
async def test_a_question_that_makes_no_sense(body: object, status: int, code: str) -> None:
    """It is refused with a code and what is wrong."""
    caller = await answer(OPEN, asked("/explain", "POST", "localhost", JSON), json.dumps(body).encode())
    assert (caller.status, caller.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", b"application/json", 400),
        (b"[" * 100_000, b"application/json", 400),
        (b"x" * 300_000, b"application/json", 413),
        (b"{}", b"text/plain", 415),
    ],
)
async def test_hostile_questions(body: bytes, kind: bytes, status: int) -> None:
    """Broken, deep, large and disguised bodies are refused."""
    scope = asked("/explain", "POST", "localhost", (b"content-type", kind))
    assert (await answer(OPEN, scope, body)).status == status


async def test_a_request_that_the_gateway_would_refuse() -> None:
    """The explanation is the refusal."""
    body: dict[str, Any] = {"pool": "support", "request": {"messages": "none"}}
    caller = await answer(OPEN, asked("/explain", "POST", "localhost", JSON), json.dumps(body).encode())
    assert (caller.status, caller.json["refusal"]) == (200, "invalid_value")
