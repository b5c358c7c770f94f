"""How alerts reach their webhooks, and what happens when those do not take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.server.alerting import Alerting
from standby.proxy.server.reporting import Reporting
from standby.proxy.server.worker_board import WorkerBoard
from standby.proxy.telemetry import names

from tests.proxy.harness import rest, routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

QUOTA = Fault("quota", 429)


class Hook:
    """A webhook that answers as it is told to, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self._answers = list(answers)
        self.asked = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        self.asked.set()
        writer.close()


TAKEN = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def hooked(*answers: bytes) -> AsyncGenerator[Hook]:
    """A webhook on a loopback port."""
    hook = Hook(*answers)
    server = await asyncio.start_server(hook.accept, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path"
    async with server:
        yield hook


def gateway_with(folder: Path, url: str, *, slack: str | None = None) -> Gateway:
    """A gateway whose target "a" has no quota left, and which tells that at once."""
    text = routes_to("http://127.0.0.1:9/v1").source
    text += '\n[alerts]\nwebhook = "env:HOOK"\nafter = "1ms"\nresolve_after = "1ms"\n'
    environ = {"HOOK": url}
    if slack is not None:
        text += 'slack = "env:SLACK"\n'
        environ["SLACK"] = slack
    gateway = Gateway(parse_routes(text, str(folder / "routes.toml"), environ))
    rest(gateway.health, "a", QUOTA)
    return gateway


def counted(gateway: Gateway, result: str) -> float:
    """How many messages about the quota had this result."""
    values = {
        sample.labels: sample.value for sample in gateway.metrics.samples() if sample.metric == names.ALERTS
    }
    return values.get(("quota_exhausted", result), 0)


async def until_counted(gateway: Gateway, result: str) -> None:
    """Wait until a message had this result."""
    async with asyncio.timeout(10):
        while not counted(gateway, result):  # noqa: ASYNC110  counters raise no event
            await asyncio.sleep(0.005)


async def test_a_message_is_sent_again(tmp_path: Path) -> None:
    """A webhook that fails at first gets the same message again, and it counts once."""
    async with hooked(FAILED, FAILED, TAKEN) as hook:
        gateway = gateway_with(tmp_path, hook.url)
        reporting = Reporting(gateway, WorkerBoard(None))
        async with Alerting(reporting, waits=(0.001, 0.001, 0.001)) as alerting:
            await alerting.review(1e10)
            await until_counted(gateway, "sent")
        assert len(hook.bodies) == 3
        assert len(set(hook.bodies)) == 1
        assert counted(gateway, "sent") == 1
    await gateway.aclose()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://nobody.invalid/x", "http://[::1]:1/x"])
async def test_a_dead_webhook(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and logged without its URL, and does not keep the other one from its message."""
    async with hooked(TAKEN) as hook:
        gateway = gateway_with(tmp_path, url, slack=hook.url)
        reporting = Reporting(gateway, WorkerBoard(None))
        with caplog.at_level(logging.ERROR, "standby.alerts"):
            async with Alerting(reporting, waits=()) as alerting:
                await alerting.review(1e10)
                await until_counted(gateway, "sent")
                await until_counted(gateway, "failed")
        assert b"no quota or credit left" in hook.bodies[0]
        [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.getMessage() == "the alert quota_exhausted provider at-a could not be sent to env:HOOK"
    await gateway.aclose()


async def test_an_answer_without_end(tmp_path: Path) -> None:
    """Of an answer only the status counts: one that goes on for ever is taken."""
    async with hooked(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 1000
    ) as hook:
        gateway = gateway_with(tmp_path, hook.url)
        async with Alerting(Reporting(gateway, WorkerBoard(None)), waits=()) as alerting:
            await alerting.review(1e10)
            await until_counted(gateway, "sent")
    await gateway.aclose()


async def test_time_alone_does_not_resolve_a_used_up_quota(tmp_path: Path) -> None:
    """The alert lasts until an attempt at the target has succeeded."""
    now = 0.0
    async with hooked(TAKEN) as hook:
        gateway = gateway_with(tmp_path, hook.url)
        gateway.health.clock = lambda: now
        async with Alerting(Reporting(gateway, WorkerBoard(None)), waits=()) as alerting:
            await alerting.review(1e10)
            now = 1e6
            await alerting.review(1e10 + 1000)
            await alerting.review(1e10 + 2000)
            await until_counted(gateway, "sent")
        assert len(hook.bodies) == 1
    await gateway.aclose()
