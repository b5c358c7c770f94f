"""docs/mounting.md, where it says what happens: hosts of several kinds, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest
from standby.middlewares.failover import Failover
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.exchange import Attempt
from standby.proxy.gateway import Gateway
from standby.proxy.http.hygiene import Hygiene
from standby.proxy.rehearsal.simulator import Byte, Cut, Framed, Simulator, Status
from starlette.applications import Starlette

from tests.docs.conftest import ENVIRON
from tests.docs.documents import blocks
from tests.programs import STANDBY, running

__all__: list[str] = []

pytestmark = pytest.mark.anyio

QUESTION: Final = {"model": "support", "messages": [{"role": "user", "content": "hello"}]}
CHAT: Final = "/v1/chat/completions"

HOST: Final = """\
import uvicorn
from fastapi import FastAPI
from standby.proxy.gateway import Gateway

app = FastAPI()
{middleware}
app.mount("/llm", Gateway("routes.toml"))
uvicorn.run(app, port=0)
"""
TAGGED: Final = """
@app.middleware("http")
async def tagged(request, call_next):
    return await call_next(request)
"""


async def raw_answer(address: str) -> bytes:
    """All bytes that come back for one question, to the end of the connection."""
    url = urlsplit(address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    body = json.dumps(QUESTION).encode()
    head = (
        f"POST /llm{CHAT} HTTP/1.1\r\nhost: host\r\nconnection: close\r\ncontent-type: application/json\r\n"
    )
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(("middleware", "whole"), [("", False), (TAGGED, True)], ids=["plain", "tagged"])
async def test_what_ends_a_broken_answer(
    middleware: str, whole: bool, folder: Path, alpha: Simulator
) -> None:
    """An unstreamed answer that breaks is cut by the gateway, and made whole by a `BaseHTTPMiddleware`."""
    alpha.words = ("x" * 400_000,)
    alpha.fault = Framed("chunked") & Cut(after=Byte(300_000), reset=False)
    (folder / "host.py").write_text(HOST.format(middleware=middleware))
    async with running(sys.executable, "host.py", folder=folder, environ=ENVIRON) as program:
        answer = await raw_answer(await program.address())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"0\r\n\r\n") is whole


async def test_a_middleware_of_yours_joins_the_stack(folder: Path, alpha: Simulator) -> None:
    """The documented class and table, put where they belong, label an answer that failed over."""
    (rules,) = [block for block in blocks("python") if "class HouseRules" in block.text]
    (table,) = [block for block in blocks("toml") if "house_rules:HouseRules" in block.text]
    (folder / "house_rules.py").write_text(rules.text)
    routes = folder / "routes.toml"
    routes.write_text(table.text + routes.read_text())
    alpha.fault = Status(503)

    environ = {**ENVIRON, "PYTHONPATH": str(folder)}
    async with (
        running(STANDBY, "serve", "--port", "0", folder=folder, environ=environ) as program,
        httpx2.AsyncClient(base_url=await program.address(), trust_env=False) as client,
    ):
        answer = await client.post(CHAT, json=QUESTION)
    assert answer.headers["x-standby-target"] == "local"
    assert answer.headers["content-language"] == "fr"


@asynccontextmanager
async def by_hand(gateway: Gateway) -> AsyncGenerator[None]:
    """Close it explicitly."""
    yield
    await gateway.aclose()


def by_lifespan(gateway: Gateway) -> AbstractAsyncContextManager[object]:
    """Give it to the host as a lifespan."""
    app = Starlette(lifespan=gateway.lifespan)
    return app.router.lifespan_context(app)


def by_block(gateway: Gateway) -> AbstractAsyncContextManager[object]:
    """Enter it as a block."""
    return gateway


@pytest.mark.parametrize("way", [by_lifespan, by_block, by_hand])
async def test_each_way_to_stop_closes_every_connection(
    way: Callable[[Gateway], AbstractAsyncContextManager[object]],
    folder: Path,
    alpha: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a lifespan, a block or `aclose` no connection to a provider is left."""
    monkeypatch.setenv(*next(iter(ENVIRON.items())))
    gateway = Gateway(folder / "routes.toml")
    async with way(gateway):
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(gateway), base_url="http://host"
        ) as client:
            assert (await client.post(CHAT, json=QUESTION)).status_code == 200
        assert alpha.open == 1
    await alpha.wait_for(lambda: alpha.open == 0)


async def test_hygiene_around_failover_adds_the_headers() -> None:
    """`Hygiene(Failover(app))` tells who answered and why, and refuses what is not a path of the gateway."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        attempt = Attempt.of(scope)
        assert attempt is not None
        status = 503 if attempt.candidate.name == "paris" else 200
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        message = {"role": "assistant", "content": "hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        await send({"type": "http.response.body", "body": json.dumps({"choices": choices}).encode()})

    stack = Hygiene(Failover(app, targets=("paris", "dublin")))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(stack), base_url="http://host") as client:
        answer = await client.post(CHAT, json=QUESTION)
        unknown = await client.post("/elsewhere", json=QUESTION)
    assert answer.headers["x-standby-target"] == "dublin"
    assert answer.headers["x-standby-degraded"] == "overloaded"
    assert unknown.status_code == 404
