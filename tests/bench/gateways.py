"""The gateways written in Python, each run as a process: `python -m tests.bench.gateways NAME ...`."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

import httpx2
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.config import Routes, load_routes, parse_routes
from standby.proxy.server import configuration, serve
from standby.proxy.upstream.transports import POOL_WAIT, pooled
from uvicorn import Config, Server

from .payloads import ANSWER, MODEL, PATH, REQUEST_HEADERS, RESPONSE_HEADERS
from .sampler import recording

__all__ = ["ALL", "MONEY", "Bare", "bench_routes", "constant", "main", "stack_routes"]

_CONNECTIONS: Final = 1000
"""More than the 500 streams need: a limit of connections is not what is measured."""

_KEY: Final = "STANDBY_BENCH_KEY"
_SECRET: Final = dict(REQUEST_HEADERS)["authorization"].removeprefix("Bearer ")
_FORWARDED: Final = frozenset({b"accept", b"authorization", b"content-type", b"user-agent"})
_FRAMING: Final = b"transfer-encoding"

_ROUTES: Final = """
stack = {stack}
[providers.bench]
dialect = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:{key}"
{transport}
[targets]
first = {{ provider = "bench", model = "gpt-4.1", connections = {connections} }}
second = {{ provider = "bench", model = "gpt-4.1-mini", connections = {connections} }}
[pools.{model}]
prefer = ["first", "second"]
"""


MONEY: Final = ("auth", "budget", "failover")
ALL: Final = ("trace", "auth", "guardrails", "budget", "route_select", "failover")
_STACK: Final = """
stack = [{stack}]
store = "{store}"
[providers.bench]
dialect = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:{key}"
[targets.first]
provider = "bench"
model = "gpt-4.1"
connections = {connections}
price = {{ input = "2.00", output = "8.00" }}
[targets.second]
provider = "bench"
model = "gpt-4.1-mini"
connections = {connections}
price = {{ input = "2.00", output = "8.00" }}
[pools.{model}]
prefer = ["first", "second"]
"""
_TABLES: Final = MappingProxyType(
    {
        "auth": """
[keys.bench]
hash = "sha256:{digest}"
pools = ["*"]
budget = [{{ limit = "900000.00", window = "month" }}]
limits = {{ requests_per_minute = 100_000_000, tokens_per_minute = 100_000_000_000 }}
""",
        "guardrails": """
[guardrails]
rules = [{{ kind = "secrets", on = "request", action = "block" }}]
""",
        "trace": """
[trace]
sample = 0.01
""",
    }
)


def stack_routes(upstream: int, stack: tuple[str, ...], store: str) -> Routes:
    """A pool of two targets, both the upstream, behind these middlewares, each with something to do."""
    os.environ[_KEY] = _SECRET
    text = _STACK.format(
        stack=", ".join(f'"{name}"' for name in stack),
        store=store,
        upstream=upstream,
        key=_KEY,
        connections=_CONNECTIONS,
        model=MODEL,
    )
    digest = hashlib.sha256(_SECRET.encode()).hexdigest()
    text += "".join(_TABLES[name].format(digest=digest) for name in stack if name in _TABLES)
    return parse_routes(text)


async def constant(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything with the upstream's answer: what a server by itself costs."""
    if scope["type"] != "http":
        await _live(receive, send)
        return
    while (await receive()).get("more_body", False):
        pass
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(ANSWER)),
        *((name.encode(), value.encode()) for name, value in RESPONSE_HEADERS),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


class Bare:
    """The least a pass-through can do on Standby's transport: no parsing, no clocks, no ear for a hang-up.

    It sends the upstream as many headers as Standby does, so that the difference is not one of headers.
    """

    def __init__(self, upstream: int, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._url = httpx2.URL(f"http://127.0.0.1:{upstream}{PATH}")
        self._own = [(b"host", self._url.netloc), (b"accept-encoding", b"identity")]
        self._extensions = {"timeout": {"connect": None, "read": None, "write": None, "pool": POOL_WAIT}}
        self._transport = transport or pooled(self._url, _CONNECTIONS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _live(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [*self._own, (b"content-length", b"%d" % len(body))]
        headers += [pair for pair in scope["headers"] if pair[0] in _FORWARDED]
        request = httpx2.Request(
            "POST",
            self._url,
            headers=headers,
            stream=httpx2.ByteStream(body),
            extensions=self._extensions,
        )
        response = await self._transport.handle_async_request(request)
        try:
            passed = [pair for pair in response.headers.raw if pair[0].lower() != _FRAMING]
            await send({"type": "http.response.start", "status": response.status_code, "headers": passed})
            async for chunk in response.stream:  # type: ignore[union-attr]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await response.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def bench_routes(
    upstream: int, *, transport: str | None = None, stack: str = '["failover"]', **tables: str
) -> Routes:
    """A pool of two targets, both the upstream, over Standby's own transport or a named one.

    `tables` are the TOML of those of middlewares.
    """
    text = _ROUTES.format(
        upstream=upstream,
        stack=stack,
        key=_KEY,
        transport=f'transport = "{transport}"' if transport else "",
        connections=_CONNECTIONS,
        model=MODEL,
    )
    os.environ[_KEY] = _SECRET
    for name, table in tables.items():
        text += f"\n[{name}]\n{table}"
    return parse_routes(text)


def _uvicorn(port: int, upstream: int) -> None:
    del upstream
    _plain(constant, port)


def _server(port: int, upstream: int) -> None:
    del upstream
    Server(configuration(constant, "127.0.0.1", port, log_level="warning")).run()


def _bare(port: int, upstream: int) -> None:
    _plain(Bare(upstream), port)


def _standby(port: int, upstream: int) -> None:
    _serve(bench_routes(upstream), port)


def _with_stack(stack: tuple[str, ...], store: str, port: int, upstream: int) -> None:
    _serve(stack_routes(upstream, stack, store), port)


def _serve(routes: Routes, port: int) -> None:
    with TemporaryDirectory(prefix="standby-bench-") as folder:
        file = Path(folder) / "routes.toml"  # `serve` watches the file of its routes
        file.write_text(routes.source, encoding="utf-8")
        serve(load_routes(file), host="127.0.0.1", port=port)


def _plain(app: ASGIApp, port: int) -> None:
    """Serve on uvicorn with the settings of Standby's server, but without what stands before its parser."""
    served: Any = app
    config = Config(
        served,
        "127.0.0.1",
        port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
    )
    Server(config).run()


_GATEWAYS: Final = MappingProxyType[str, Callable[[int, int], None]](
    {
        "uvicorn": _uvicorn,
        "server": _server,
        "bare": _bare,
        "standby": _standby,
        "money": partial(_with_stack, MONEY, "memory:"),
        "money-sqlite": partial(_with_stack, MONEY, "sqlite:///bench.db"),
        "all": partial(_with_stack, ALL, "sqlite:///bench.db"),
    }
)


def main() -> None:
    """Run one gateway until it is terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(_GATEWAYS))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True)
    parser.add_argument("--profile", type=Path, help="write a sampled profile here at the end")
    options = parser.parse_args()
    with nullcontext() if options.profile is None else recording(options.profile):
        _GATEWAYS[options.name](options.port, options.upstream)


if __name__ == "__main__":
    main()
