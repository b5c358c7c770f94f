"""Rules that a webhook or a function decides, over a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest
from standby.proxy.config import Secret
from standby.proxy.guardrails.external import Call, External, Undecided
from standby.proxy.guardrails.rules import Rule

__all__ = ["answers_late", "counts", "forbids", "hangs", "raises", "rewrites"]

pytestmark = pytest.mark.anyio

TEXTS: Final = ("one", "two")
CALL: Final = Call("rule", "request", TEXTS, "req_1", "support", "checkout", "main")


class Hook:
    """A webhook: `body` and `status` are what it answers after `wait` seconds, `asked` what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.body = b'{"action": "allow"}'
        self.wait = 0.0
        self.asked: list[Any] = []
        self.serving: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._answer(reader, writer)
        finally:
            self.serving.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        await asyncio.sleep(self.wait)
        location = b"location: /elsewhere\r\n" if self.status == 302 else b""
        writer.write(
            b"HTTP/1.1 %d X\r\n%scontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (self.status, location, len(self.body), self.body)
        )
        await writer.drain()


@asynccontextmanager
async def hooked(**settings: Any) -> AsyncGenerator[tuple[Hook, Rule, External]]:
    """A webhook on loopback, the rule that asks it, and what asks."""
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    external = External()
    try:
        yield hook, Rule(kind="webhook", name="rule", url=Secret("env:URL", hook.url), **settings), external
    finally:
        await external.aclose()
        server.close()
        for task in tuple(hook.serving):
            task.cancel()
        await asyncio.gather(*hook.serving, return_exceptions=True)


async def test_what_a_webhook_is_asked() -> None:
    """The texts, and who asks for what; its answer is the verdict."""
    async with hooked() as (hook, rule, external):
        assert await external.ask(rule, CALL) is True
        assert hook.asked == [
            {
                "rule": "rule",
                "stage": "request",
                "texts": ["one", "two"],
                "request_id": "req_1",
                "pool": "support",
                "key": "checkout",
                "target": "main",
            }
        ]
        hook.body = b'{"action": "block"}'
        assert await external.ask(rule, CALL) is False
        hook.body = b'{"action": "redact", "texts": ["1", "2"]}'
        assert await external.ask(rule, CALL) == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"action": "allow"}'),
        (302, b'{"action": "allow"}'),
        (200, b""),
        (200, b"yes"),
        (200, b'["allow"]'),
        (200, b'{"action": "maybe"}'),
        (200, b'{"action": "redact"}'),
        (200, b'{"action": "redact", "texts": ["1"]}'),
        (200, b'{"action": "redact", "texts": [1, 2]}'),
    ],
)
async def test_what_is_no_verdict(status: int, body: bytes) -> None:
    """An error, a redirect, and an answer that does not say what to do leave a rule undecided."""
    async with hooked() as (hook, rule, external):
        hook.status, hook.body = status, body
        with pytest.raises(Undecided):
            await external.ask(rule, CALL)
        assert len(hook.asked) == 1


async def test_a_slow_webhook() -> None:
    """It is waited for no longer than the rule's timeout."""
    async with hooked(timeout=0.05) as (hook, rule, external):
        hook.wait = 5.0
        with pytest.raises(Undecided):
            async with asyncio.timeout(2.0):
                await external.ask(rule, CALL)


async def test_too_long_a_text() -> None:
    """More text than `max_body` is not sent."""
    async with hooked(max_body=100) as (hook, rule, external):
        with pytest.raises(Undecided):
            await external.ask(rule, Call("rule", "request", ("x" * 200,), "r", None, None, None))
        assert hook.asked == []


async def test_the_breaker_of_a_webhook() -> None:
    """After five failures in a row it is not asked for ten seconds; then one call tries, and may close it."""
    now = 100.0
    async with hooked() as (hook, rule, external):
        external.clock = lambda: now
        hook.status = 500
        for _ in range(8):
            with pytest.raises(Undecided):
                await external.ask(rule, CALL)
        assert len(hook.asked) == 5
        now += 10.0
        with pytest.raises(Undecided):
            await external.ask(rule, CALL)
        with pytest.raises(Undecided):
            await external.ask(rule, CALL)
        assert len(hook.asked) == 6
        now += 10.0
        hook.status = 200
        after_reload = External(clock=lambda: now)
        after_reload.inherit(external)
        assert [await after_reload.ask(rule, CALL) for _ in range(3)] == [True] * 3
        assert len(hook.asked) == 9
        await after_reload.aclose()


async def test_a_dead_webhook() -> None:
    """One that nobody listens at leaves the rule undecided."""
    rule = Rule(kind="webhook", name="rule", url=Secret("env:URL", "http://127.0.0.1:9/"))
    external = External()
    with pytest.raises(Undecided):
        await external.ask(rule, CALL)
    await external.aclose()


def counts(call: Call) -> bool:
    """A plain function, which may block: it runs in a thread."""
    time.sleep(0.01)
    return len(call.texts) == 2


async def forbids(call: Call) -> bool:
    """A coroutine function."""
    await asyncio.sleep(0)
    return call.pool != "support"


def rewrites(call: Call) -> list[str]:
    """What it returns are the texts to go on with."""
    return [text.upper() for text in call.texts]


def raises(call: Call) -> bool:
    """One with a fault."""
    raise RuntimeError(call.texts[0])


GATE: Final = threading.Event()


def hangs(call: Call) -> bool:
    """One that does not return until it is let."""
    return GATE.wait(30.0)


async def answers_late(call: Call) -> bool:
    """One that takes longer than it may."""
    await asyncio.sleep(5.0)
    return True


@pytest.mark.parametrize(
    ("function", "expected"), [("counts", True), ("forbids", False), ("rewrites", ["ONE", "TWO"])]
)
async def test_functions(function: str, expected: object) -> None:
    """A function of the operator's, plain or not, decides as a webhook does."""
    rule = Rule(kind="callable", use=f"tests.proxy.guardrails.test_external:{function}")
    assert await External().ask(rule, CALL) == expected


@pytest.mark.parametrize("function", ["raises", "answers_late"])
async def test_functions_without_a_verdict(function: str, caplog: pytest.LogCaptureFixture) -> None:
    """One that raises or takes too long leaves the rule undecided, and the log does not repeat any text."""
    rule = Rule(kind="callable", use=f"tests.proxy.guardrails.test_external:{function}", timeout=0.05)
    with pytest.raises(Undecided):
        await External().ask(rule, CALL)
    assert "one" not in caplog.text.replace("none", "")
    assert "callable could not decide" in caplog.text


async def test_functions_that_hang() -> None:
    """They take a bounded number of threads, and once they return the function is asked again."""
    rule = Rule(kind="callable", use="tests.proxy.guardrails.test_external:hangs", timeout=0.05)
    external, before = External(), threading.active_count()
    asked = await asyncio.gather(*(external.ask(rule, CALL) for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in asked} == {Undecided}
    hanging = [each for each in threading.enumerate() if each.name == "standby-guardrail"]
    assert threading.active_count() - before <= len(hanging) == 64
    GATE.set()
    for each in hanging:
        await asyncio.to_thread(each.join, 10.0)
    assert await external.ask(rule, CALL) is True
