"""However a request ends, it leaves no connection, no slot and no memory behind."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Final

import httpx2
import pytest

from tests.proxy.upstream.http1.peer import (
    OK,
    Cancelling,
    Peer,
    fetch,
    inside,
    open_response,
    peer,
    pool_to,
    respond_with,
    turn_until,
    until_idle,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "as_it_comes"])
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("name", [False, True], ids=["address", "name"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
async def test_cancelled_at_every_wait(tls: bool, name: bool, late: bool, reused: bool) -> None:
    """Wherever a request is cancelled, nothing of it is left, and the next one is served."""
    parts = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", b"\r\no", b"k"]

    async def slowly(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await listening.read_request(reader)
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.001)

    async with peer(slowly, tls=tls) as listening:
        host = "localhost" if name else "127.0.0.1"
        url = httpx2.URL(f"{listening.scheme}://{host}:{listening.port}/v1/chat")
        async with pool_to(listening, connections=1, url=url) as pool:
            waits = 0
            for number in range(100):
                waits = number
                if reused:
                    assert await fetch(pool, listening, url=url) == (200, b"ok")
                before = asyncio.all_tasks()
                cancelling = Cancelling(fetch(pool, listening, url=url), number, late=late)
                task = asyncio.create_task(_run(cancelling))
                with suppress(asyncio.CancelledError):
                    await task
                await until_idle(pool)
                if not reused and cancelling.reached:
                    await listening.wait_for(lambda: listening.open == pool.slots.idle)
                left = asyncio.all_tasks() - before - {task}
                assert not [each for each in left if "dial" in repr(each) or "fetch" in repr(each.get_coro())]
                if not reused:
                    for connection in tuple(inside(pool.slots)._idle):
                        connection.abort()
                if not cancelling.reached:
                    break
            assert waits > 2 - reused
            assert await fetch(pool, listening, url=url) == (200, b"ok")


async def _run(what: Cancelling) -> None:
    await what


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "as_it_comes"])
async def test_cancelled_while_waiting_for_a_connection(late: bool) -> None:
    """A connection assigned to a request that was just cancelled goes to the next one."""
    async with peer(respond_with(OK)) as listening, pool_to(listening, connections=1) as pool:
        for _ in range(3):
            held = await open_response(pool, listening)
            first = asyncio.create_task(_run(Cancelling(fetch(pool, listening), 0, late=late)))
            await turn_until(lambda: pool.slots.waiting)
            second = asyncio.create_task(fetch(pool, listening))
            await turn_until(lambda: pool.slots.waiting >= 1 + late)
            await held.aread()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await second == (200, b"ok")
            await until_idle(pool)
        assert listening.accepted == 1


async def test_nothing_for_the_collector() -> None:
    """A request creates no reference cycles, because collecting them costs more than sending the request."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        await fetch(pool, listening)
        gc.collect()
        gc.disable()
        try:
            for _ in range(200):
                await fetch(pool, listening)
            assert gc.collect() < 20
        finally:
            gc.enable()


_PROMPT: Final = ContextVar[object]("prompt", default=None)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_no_request_is_kept(tls: bool) -> None:
    """An idle connection keeps nothing of the request that opened it, nor of one with a slow reader."""

    class Prompt:
        pass

    big = b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 2_000_000

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await listening.read_request(reader)
            writer.write(big)

    async with peer(serve, tls=tls) as listening, pool_to(listening) as pool:

        async def one() -> weakref.ref[Prompt]:
            prompt = Prompt()
            _PROMPT.set(prompt)
            response = await open_response(pool, listening)
            await asyncio.sleep(0.02)  # so that the connection is paused
            assert len(await response.aread()) == 2_000_000
            return weakref.ref(prompt)

        for _ in range(2):
            kept = await asyncio.create_task(one(), context=copy_context())
            await asyncio.sleep(0.01)
            gc.collect()
            assert pool.slots.idle == 1
            assert kept() is None


@pytest.mark.timeout(30)
async def test_ten_thousand_requests_with_drops() -> None:
    """After closes, resets, garbage, truncation and cancellations no connection or slot is lost."""
    chance = random.Random(7)
    answers: list[bytes] = [OK] * 12
    answers += [b"", OK[:-1], b"HTTP/1.1 200 OK\r\nx", b"nonsense", OK + b"\r\n"]

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await listening.read_request(reader)
            answer = chance.choice(answers)
            writer.write(answer)
            if answer != OK:
                writer.close()
                return

    async with peer(serve) as listening, pool_to(listening, connections=20) as pool:
        served = 0

        async def asking(count: int) -> None:
            nonlocal served
            for _ in range(count):
                try:
                    if chance.random() < 0.05:
                        async with asyncio.timeout(chance.random() * 0.002):
                            await fetch(pool, listening)
                    elif chance.random() < 0.05:
                        await (await open_response(pool, listening)).aclose()
                    else:
                        assert await fetch(pool, listening) == (200, b"ok")
                    served += 1
                except (httpx2.TransportError, TimeoutError):
                    pass

        await asyncio.gather(*(asking(250) for _ in range(40)))
        assert served > 5000
        await until_idle(pool)
        assert pool.slots.idle <= 20
        await listening.wait_for(lambda: listening.open == pool.slots.idle)
        answers.clear()
        answers.append(OK)
        assert await fetch(pool, listening) == (200, b"ok")
