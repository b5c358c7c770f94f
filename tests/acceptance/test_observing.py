"""`standby serve`, observed as an operator observes it: Jaeger, metrics, status, alerts, the decision log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any, Final

import httpx2
import openai
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families
from standby.proxy.keys.credentials import digests
from standby.proxy.rehearsal.simulator import Simulator, Status

from tests.collector import Behaviour, attributes_of, collecting
from tests.jaeger import jaeger_or_reason, running_jaeger
from tests.programs import STANDBY, Program, running

__all__: list[str] = []

pytestmark = pytest.mark.anyio

KEY: Final = "sk-standby-checkout-0123456789abcdef"
ROUTES: Final = """
stack = ["trace", "auth", "budget", "route_select", "failover"]
{more}

[providers]
a = {{ dialect = "openai", base_url = "{a}", region = "us", key = "env:SECRET_A" }}
b = {{ dialect = "openai", base_url = "{b}", region = "eu", key = "env:SECRET_B" }}
c = {{ dialect = "openai", base_url = "{c}", region = "eu", key = "env:SECRET_C" }}
[targets]
us = {{ provider = "a", model = "model-a", price = {{ input = "1.00", output = "2.00" }} }}
eu = {{ provider = "b", model = "model-b", price = {{ input = "1.00", output = "2.00" }} }}
small = {{ provider = "c", model = "model-c", price = {{ input = "1.00", output = "2.00" }} }}
[pools.support]
prefer = ["us", "eu"]
alternates = [{{ target = "small", for = ["outage"] }}]
[teams.web]
[keys.checkout]
hash = "{digest}"
pools = ["*"]
team = "web"
regions = ["eu"]
budget = [{{ limit = "5.00", window = "month" }}]
[admin]
listen = "127.0.0.1:{admin}"
"""
SECRETS: Final = {f"SECRET_{name}": f"canary-secret-of-{name}" for name in "ABC"}
PROMPT: Final = "canary-of-the-prompt"


@dataclass
class Observed:
    """A running gateway whose key may only go to b and c, and what it writes."""

    program: Program
    providers: dict[str, Simulator]
    admin: str
    folder: Path

    async def ask(self, count: int = 1) -> None:
        """Ask through the real SDK."""
        address = await self.program.address()
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client:
            for _ in range(count):
                stream = await client.chat.completions.create(
                    model="support", messages=[{"role": "user", "content": PROMPT}], stream=True
                )
                assert [chunk async for chunk in stream]

    async def get(self, path: str) -> httpx2.Response:
        """Ask the admin listener."""
        async with httpx2.AsyncClient(base_url=self.admin) as client:
            return await client.get(path)

    async def value(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        for family in text_string_to_metric_families((await self.get("/metrics")).text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    async def until(self, name: str, holds: Callable[[float], bool]) -> None:
        """Scrape until the metric is as wanted."""
        async with asyncio.timeout(30):
            while not holds(await self.value(name)):  # noqa: ASYNC110  it is in another process
                await asyncio.sleep(0.05)


@asynccontextmanager
async def observed(
    folder: Path, *options: str, more: str = "", tables: str = "", **environ: str
) -> AsyncGenerator[Observed]:
    """A gateway in a process of its own, in front of three simulated providers."""
    with create_server(("127.0.0.1", 0)) as free:
        admin = free.getsockname()[1]
    async with Simulator("a") as a, Simulator("b") as b, Simulator("c") as c:
        text = ROUTES.format(a=a.url, b=b.url, c=c.url, digest=digests(KEY, None)[0], admin=admin, more=more)
        (folder / "routes.toml").write_text(text + tables, encoding="utf-8")
        command = (STANDBY, "serve", "--port", "0", *options)
        async with running(*command, folder=folder, environ={**SECRETS, **environ}) as program:
            await program.address()
            yield Observed(program, {"a": a, "b": b, "c": c}, f"http://127.0.0.1:{admin}", folder)


async def test_a_trace_in_jaeger(tmp_path: Path) -> None:
    """Jaeger shows one request, the decision with every reason, and two calls of which the first failed."""
    jaeger = jaeger_or_reason()
    if not isinstance(jaeger, Path):
        pytest.skip(jaeger)
    with running_jaeger(jaeger) as backend:
        trace = f'[trace]\nendpoint = "{backend.otlp}"\n'
        async with observed(tmp_path, tables=trace, OTEL_BSP_SCHEDULE_DELAY="50") as gateway:
            gateway.providers["b"].fault = Status(503)
            await gateway.ask()
            spans = await _from_jaeger(backend.query, 5)
    kinds = [(_tags(span)["span.kind"], span["operationName"]) for span in spans]
    assert kinds == [
        ("server", "POST /v1/chat/completions"),
        ("internal", "standby.auth"),
        ("internal", "standby.budget"),
        ("internal", "route support"),
        ("client", "chat model-b"),
        ("client", "chat model-c"),
    ]
    server, _, _, route, failed, served = spans
    assert json.loads(_tags(route)["standby.route.candidates"]) == [
        "us:policy.residency",
        "eu:tried",
        "small:tried",
    ]
    assert (_tags(failed)["error"], _tags(failed)["error.type"]) == (True, "overloaded")
    assert "error" not in _tags(served)
    assert _tags(served)["standby.replaces"] == 1
    follows = [each["spanID"] for each in served["references"] if each["refType"] == "FOLLOWS_FROM"]
    assert follows == [failed["spanID"]]
    children = [each for span in spans[1:] for each in span["references"] if each["refType"] == "CHILD_OF"]
    assert {each["spanID"] for each in children} == {server["spanID"]}
    assert _tags(server)["standby.degraded"] is True


async def _from_jaeger(query: str, least: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(30), httpx2.AsyncClient(base_url=query) as client:
        while True:
            found = (await client.get("/api/traces", params={"service": "standby"})).json()["data"]
            if found and len(found[0]["spans"]) > least:
                spans: list[dict[str, Any]] = found[0]["spans"]
                return sorted(spans, key=lambda span: span["startTime"])
            await asyncio.sleep(0.02)


def _tags(span: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


async def test_a_trace_over_the_wire(tmp_path: Path) -> None:
    """What is exported has the kinds, parents and links of the tree, under the service's name; no secret and
    no word of a prompt is in it, nor in the metrics, logs and answers for the operator."""
    async with collecting() as collector:
        tables = f'[trace]\nendpoint = "{collector.url}"\nservice = "gate"\nmetrics = true\n'
        tables += '[decisions]\nto = "decisions.jsonl"\n'
        environ = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
        options = ("--log-level", "debug", "--log-format", "json")
        async with observed(tmp_path, *options, tables=tables, **environ) as gateway:
            gateway.providers["b"].fault = Status(503)
            await gateway.ask()
            spans = {span.name: span for span in await collector.until_spans(6)}
            counted = await collector.until_metric("standby.failovers")
            shown = [(await gateway.get(path)).text for path in ("/metrics", "/status.json")]
            assert await gateway.program.terminate() == 0
    assert {service for service, _ in collector.spans} == {"gate"}
    server, failed, served = (
        spans[name] for name in ("POST /v1/chat/completions", "chat model-b", "chat model-c")
    )
    assert (server.kind, served.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert all(span.parent_span_id == server.span_id for span in spans.values() if span is not server)
    assert [link.span_id for link in served.links] == [failed.span_id]
    assert failed.status.code == 2  # ERROR
    assert attributes_of(served)["gen_ai.usage.output_tokens"] == 5
    [point] = counted.sum.data_points
    assert attributes_of(point) == {
        "pool": "support",
        "source": "eu",
        "destination": "small",
        "reason": "overloaded",
    }
    decisions = (tmp_path / "decisions.jsonl").read_text(encoding="utf-8")
    [decision] = map(json.loads, decisions.splitlines())
    assert decision["trace_id"] == server.trace_id.hex()
    for line in gateway.program.output.splitlines():
        json.loads(line)
    everything = "\n".join([*shown, decisions, gateway.program.output, collector.raw.decode("latin-1")])
    for canary in (*SECRETS.values(), KEY, PROMPT, "all is well"):
        assert canary not in everything


@pytest.mark.parametrize("behaviour", ["refuses", "silent", "dead"])
async def test_a_collector_that_fails(behaviour: Behaviour | str, tmp_path: Path) -> None:
    """Requests are answered whatever the collector does; what it does not take is counted as dropped, and the
    gateway still ends when it is told to."""
    async with collecting("refuses" if behaviour == "dead" else behaviour) as collector:  # type: ignore[arg-type]
        url = "http://127.0.0.1:9" if behaviour == "dead" else collector.url
        environ = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "20"}
        if behaviour != "refuses":
            environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"  # seconds, that the exporter waits or tries again
        tables = f'[trace]\nendpoint = "{url}"\n'
        async with observed(tmp_path, tables=tables, **environ) as gateway:
            await gateway.ask(20)
            await gateway.until("standby_spans_dropped_total", lambda value: value > 0)
            assert await gateway.value("standby_requests_total", outcome="served") == 20
            assert await gateway.program.terminate() == 0
    assert gateway.program.output.count("Traceback") <= 1


async def test_workers_answer_as_one(tmp_path: Path) -> None:
    """Whichever worker is asked answers with the sum of all, and counts survive the worker that counted."""
    async with observed(tmp_path, "--workers", "3") as gateway:
        await asyncio.gather(*(gateway.ask() for _ in range(12)))
        for _ in range(10):
            await gateway.until("standby_requests_total", lambda value: value == 12)
        status = (await gateway.get("/status.json")).json()
        async with asyncio.timeout(20):
            while len(status["workers"]) < 3:  # the last one may still be starting
                await asyncio.sleep(0.1)
                status = (await gateway.get("/status.json")).json()
        assert sum(target["in_flight"] for target in status["targets"].values()) == 0


async def test_an_alert(tmp_path: Path) -> None:
    """An outage that lasts fires one alert, with pool, target, cause and since, though three workers see it;
    its end is told once."""
    async with _hooked() as hook:
        (tmp_path / "hook").write_text(hook.url, encoding="utf-8")
        tables = '[alerts]\nwebhook = "file:hook"\nafter = "100ms"\nresolve_after = "100ms"\n'
        async with observed(tmp_path, "--workers", "3", tables=tables) as gateway:
            gateway.providers["b"].fault = Status(503)
            async with asyncio.timeout(30):
                while not hook.messages:
                    await gateway.ask(3)
            gateway.providers["b"].fault = None
            async with asyncio.timeout(50):
                while hook.messages[-1]["status"] != "resolved":
                    await asyncio.gather(*(gateway.ask() for _ in range(10)))
                    await asyncio.sleep(0.2)
    assert [message["status"] for message in hook.messages] == ["firing", "resolved"]
    fired = hook.messages[0]
    assert (fired["alert"], fired["pool"], fired["target"]) == ("pool_degraded", "support", "eu")
    assert fired["cause"] == "overloaded"
    assert fired["since"] <= fired["at"]


@dataclass
class _Hook:
    url: str
    messages: list[dict[str, Any]]


@asynccontextmanager
async def _hooked() -> AsyncGenerator[_Hook]:
    messages: list[dict[str, Any]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        messages.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield _Hook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts", messages)
    finally:
        server.close()
