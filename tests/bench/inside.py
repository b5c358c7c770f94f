"""What Standby's own code costs, in one process without sockets: a figure that nobody else's work disturbs.

The bare pass-through and the gateway are called as a server calls them, over a transport that answers from
memory. Batches of both alternate, and the fastest of each counts: whatever disturbs a batch makes it slower.
Caches stay warm here, so a request costs less than over sockets: it is for comparing versions of the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic, process_time
from typing import Any, Final

import httpx2
import orjson
import uvloop
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from standby.middlewares.trace import Trace
from standby.proxy.asgi import ASGIApp, Message, Scope
from standby.proxy.config import parse_routes
from standby.proxy.dialects.registry import operation_named
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import Health
from standby.proxy.http.body import Body
from standby.proxy.http.opened import resolve
from standby.proxy.routing.balance import Balancer
from standby.proxy.routing.planning import plan
from standby.proxy.routing.route_inputs import route_inputs
from typing_extensions import override

from tests.proxy.harness import routes_to

from .gateways import Bare, bench_routes
from .payloads import ANSWER, DONE, PATH, REQUEST_HEADERS, RESPONSE_HEADERS, chat_body, chunk, stream_body
from .profile import functions
from .sampler import Samples, sampling

__all__ = ["Memory", "added", "lines", "memory", "messages", "one", "scope_of"]

_CHUNKS: Final = 100
_BATCHES: Final = 100
_TARGETS: Final = 10
_PROFILED: Final = 8.0  # seconds
_HEADERS: Final = tuple((name.encode(), value.encode()) for name, value in RESPONSE_HEADERS)
_UNARY: Final = (
    [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER)), *_HEADERS],
    (ANSWER,),
)
_STREAM: Final = (
    [(b"content-type", b"text/event-stream; charset=utf-8"), (b"transfer-encoding", b"chunked"), *_HEADERS],
    (
        chunk({"role": "assistant", "content": ""}),
        *(_CHUNKS - 2) * (chunk({"content": " order"}),),
        chunk({}, finish="stop") + DONE,
    ),
)


_TRANSLATED: Final = f"""
stack = ["failover"]
[providers.messages]
dialect = "anthropic"
base_url = "http://127.0.0.1:1/v1"
transport = "{__name__}:messages"
[providers.chat]
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
[targets]
first = {{ provider = "messages", model = "claude" }}
other = {{ provider = "chat", model = "gpt" }}
[pools.bench]
prefer = ["first", "other"]
"""
"""A pool whose first target speaks Messages, for callers of Chat Completions."""


class _Parts(httpx2.AsyncByteStream):
    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self._parts = parts

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(0)  # as a socket would: the loop runs once for each
            yield part


class Memory(httpx2.AsyncBaseTransport):
    """A transport that answers every chat completion from memory, a streamed one with `events`."""

    def __init__(self, events: tuple[bytes, ...] = _STREAM[1]) -> None:
        self._stream = _STREAM[0], events
        self._unary = _UNARY

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        headers, parts = self._stream if b'"stream":true' in asked else self._unary
        await asyncio.sleep(0)
        return httpx2.Response(200, headers=headers, stream=_Parts(parts))


def memory() -> httpx2.AsyncBaseTransport:
    """A transport, as a provider in routes.toml may name one."""
    return Memory()


def messages() -> httpx2.AsyncBaseTransport:
    """A transport that answers in the format of Messages, with as many words and events."""
    return _Messages()


def _event(data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), orjson.dumps(data))


class _Messages(Memory):
    """Answers every request for a message from memory."""

    def __init__(self) -> None:
        usage = {"input_tokens": 300, "output_tokens": _CHUNKS}
        message: dict[str, Any] = {
            "id": "msg_0123456789",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "usage": usage,
        }
        word = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " order"}}
        end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        super().__init__(
            (
                _event({"type": "message_start", "message": message}),
                _event(
                    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
                ),
                *(_CHUNKS - 4) * (_event(word),),
                _event({"type": "content_block_stop", "index": 0}),
                _event(end) + _event({"type": "message_stop"}),
            )
        )
        text: str = orjson.loads(ANSWER)["choices"][0]["message"]["content"]
        whole = {**message, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
        body = orjson.dumps(whole)
        self._unary = (
            [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *_HEADERS],
            (body,),
        )


def lines() -> Iterator[str]:
    """What the gateway adds to a request and to a chunk, and which of its functions take it."""
    bare = Bare(1, Memory())
    gateway = Gateway(bench_routes(1, transport=f"{__name__}:memory"))
    asked, streamed = chat_body(), stream_body(_CHUNKS, 0)
    routed = Gateway(bench_routes(1, transport=f"{__name__}:memory", stack='["route_select", "failover"]'))
    request = uvloop.run(added(bare, gateway, asked, 200))
    stream = uvloop.run(added(bare, gateway, streamed, 20))
    yield f"CPU µs the gateway adds to a request, in one process: {request:.1f}"
    yield f"CPU µs it adds to a chunk: {(stream - request) / _CHUNKS:.2f}"
    yield f"CPU µs that route_select adds to a request: {uvloop.run(added(gateway, routed, asked, 200)):.1f}"
    yield f"CPU µs of one plan for a pool of {_TARGETS} targets: {_planned():.1f}"
    across = Gateway(parse_routes(_TRANSLATED, environ={}))
    request = uvloop.run(added(gateway, across, asked, 200))
    stream = uvloop.run(added(gateway, across, streamed, 20))
    yield f"CPU µs that a translation of dialects adds to a request: {request:.1f}"
    yield f"CPU µs that it adds to a chunk: {(stream - request) / _CHUNKS:.2f}"
    yield from _traced(gateway, asked)
    for unit, body, per in (("request", asked, 1), ("chunk", streamed, _CHUNKS)):
        yield ""
        yield from uvloop.run(_profiled(gateway, body, unit, per))


def _traced(gateway: Gateway, body: bytes) -> Iterator[str]:
    """What `trace` adds to a request: three spans, without and with encoding them, and when it keeps none."""
    finished = InMemorySpanExporter()
    for words, provider, table in (
        ("without an OpenTelemetry SDK", None, ""),
        ("with 1 % in the sample", TracerProvider(sampler=ALWAYS_ON), "sample = 0.01"),
        ("with all in the sample", TracerProvider(sampler=ALWAYS_ON), "sample = 1.0"),
    ):
        routes = bench_routes(1, transport=f"{__name__}:memory", stack='["trace", "failover"]', trace=table)
        traced = Gateway(routes)
        trace = traced.middleware("trace")
        assert isinstance(trace, Trace)
        trace.provider = provider
        cost = uvloop.run(added(gateway, traced, body, 200))
        yield f"CPU µs that trace adds to a request {words}: {cost:.1f}"
        if table == "sample = 1.0" and provider is not None:
            provider.add_span_processor(SimpleSpanProcessor(finished))
            uvloop.run(_batch(traced, body, 100))
    spans = finished.get_finished_spans()
    fastest = float("inf")
    for _ in range(_BATCHES):
        began = process_time()
        encode_spans(spans).SerializeToString()
        fastest = min(fastest, (process_time() - began) / 100 * 1e6)
    yield f"CPU µs of encoding the spans of a request, in the exporter's thread: {fastest:.1f}"


def _planned() -> float:
    """CPU µs of reading a request's needs and ordering the targets of a pool, all of them healthy."""
    url = "http://127.0.0.1:9/v1"
    routes = routes_to(*[url] * _TARGETS, top='stack = ["route_select", "failover"]')
    exchange = Exchange("req_1", 0.0, (), routes=routes, operation=operation_named("chat"))
    body = Body(orjson.dumps({**orjson.loads(chat_body()), "model": "support"}), _nothing)
    resolve(exchange, body)
    pool, health, balancer = routes.pools["support"], Health(), Balancer()
    fastest = float("inf")
    for _ in range(_BATCHES):
        began = process_time()
        for _ in range(100):
            plan(route_inputs(exchange, pool, body.document), health, balancer)
        fastest = min(fastest, (process_time() - began) * 1e4)
    return fastest


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def added(bare: ASGIApp, gateway: ASGIApp, body: bytes, requests: int) -> float:
    """CPU µs that a request costs more at `gateway` than at `bare`, in batches of so many requests."""
    fastest = [float("inf"), float("inf")]
    for _ in range(_BATCHES):
        for place, app in enumerate((bare, gateway)):
            fastest[place] = min(fastest[place], await _batch(app, body, requests))
    return fastest[1] - fastest[0]


async def _profiled(gateway: ASGIApp, body: bytes, unit: str, per: int) -> list[str]:
    fastest = float("inf")
    until = monotonic() + _PROFILED
    samples = Samples()
    with sampling(samples, 0.0005):
        while monotonic() < until:
            fastest = min(fastest, await _batch(gateway, body, 20))
    seen = samples.stacks()
    return list(functions(seen, fastest / per / seen.total(), unit))


async def _batch(app: ASGIApp, body: bytes, requests: int) -> float:
    """CPU µs a request."""
    began = process_time()
    for _ in range(requests):
        await asyncio.create_task(one(app, body))  # a task for each, as uvicorn has it
    return (process_time() - began) / requests * 1e6


async def one(app: ASGIApp, body: bytes) -> None:
    """One request."""
    arrived = False

    async def receive() -> Message:
        nonlocal arrived
        if arrived:
            await asyncio.Event().wait()
        arrived = True
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope_of(body), receive, _ignore)


async def _ignore(message: Message) -> None:
    del message


def scope_of(body: bytes) -> Scope:
    """The scope of a request with this body."""
    headers = [(b"host", b"127.0.0.1:1"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in REQUEST_HEADERS]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }
    return scope
