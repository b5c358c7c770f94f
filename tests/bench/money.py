"""What auth and budget cost a request, for each store, with and without escrow.

In one process, without sockets to callers or providers, over a transport that answers from memory. CPU time
of the whole process counts, so that of SQLite's thread does too; what a Redis server takes is told apart.
Gateways without and with the two middlewares take turns in batches, of which the fastest of each counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from standby.proxy.config import Routes, parse_routes
from standby.proxy.gateway import Gateway

from tests.redis_server import RedisServer

from .gateways import bench_routes
from .inside import one
from .meters import cpu_seconds
from .payloads import REQUEST_HEADERS, chat_body

__all__ = ["lines"]

_BATCHES: Final = 25
_REQUESTS: Final = 192
_TOGETHER: Final = 16
"""Requests under way at a time, where there are several."""
_SECRET: Final = dict(REQUEST_HEADERS)["authorization"].removeprefix("Bearer ")
_MONEY: Final = """
[teams.bench]
budget = [{{ limit = "900000.00", window = "month" }}]
limits = {{ requests_per_minute = 100_000_000 }}
[keys.bench]
hash = ["sha256:{digest}"]
pools = ["*"]
team = "bench"
budget = [
  {{ limit = "900000.00", window = "month" }},
  {{ limit = "900000.00", window = "day", rolling = true }},
]
[budget]
escrow = {escrow}
"""


@dataclass(slots=True)
class _Row:
    """CPU µs that a request costs more, and how long one waits more; one at a time and several at once."""

    name: str
    alone: float
    wait: float
    together: float
    server: float | None


def lines() -> Iterator[str]:
    """The table."""
    yield "A budget and a rate of a team, two budgets of a key: four lines are held and settled each time."
    yield f"Added to the same gateway without auth and budget; fastest of {_BATCHES} batches of {_REQUESTS}."
    yield ""
    yield f"| store | CPU µs, one at a time | wait µs | CPU µs, {_TOGETHER} at once | CPU µs of the server |"
    yield "|---|---|---|---|---|"
    for row in _rows():
        server = "-" if row.server is None else f"{row.server:.0f}"
        yield f"| {row.name} | {row.alone:.0f} | {row.wait:.0f} | {row.together:.0f} | {server} |"


def _rows() -> Iterator[_Row]:
    for kind in ("memory", "sqlite", "redis"):
        for escrow in (False, True):
            with TemporaryDirectory(prefix="standby-bench-") as name, ExitStack() as stack:
                url, pid = "memory:", None
                if kind == "sqlite":
                    url = f"sqlite:///{Path(name) / 'bench.db'}"
                elif kind == "redis":
                    server = stack.enter_context(RedisServer())
                    url, pid = server.url, server.pid
                label = f"{kind}, escrow" if escrow else kind
                yield uvloop.run(_measured(label, url, pid, escrow=escrow))


def _routes(url: str, *, escrow: bool) -> Routes:
    plain = bench_routes(1, transport=f"{__package__}.inside:memory").source
    text = plain.replace('stack = ["failover"]', f'stack = ["auth", "budget", "failover"]\nstore = "{url}"')
    priced = text.replace(", connections =", ', price = { input = "2.00", output = "8.00" }, connections =')
    assert "auth" in priced
    assert "price" in priced
    digest = hashlib.sha256(_SECRET.encode()).hexdigest()
    return parse_routes(priced + _MONEY.format(digest=digest, escrow=str(escrow).lower()))


async def _measured(name: str, url: str, pid: int | None, *, escrow: bool) -> _Row:
    plain = Gateway(bench_routes(1, transport=f"{__package__}.inside:memory"))
    counted = Gateway(_routes(url, escrow=escrow))
    body = chat_body()
    alone, wait, together = ([float("inf")] * 2 for _ in range(3))
    async with plain, counted:
        spent, asked = 0.0, 0
        for _ in range(_BATCHES):
            for place, app in enumerate((plain, counted)):
                before = cpu_seconds(pid) if pid is not None else 0.0
                cpu, seconds = await _batch(app, body, 1)
                alone[place], wait[place] = min(alone[place], cpu), min(wait[place], seconds)
                together[place] = min(together[place], (await _batch(app, body, _TOGETHER))[0])
                if app is counted and pid is not None:
                    spent, asked = spent + cpu_seconds(pid) - before, asked + 2 * _REQUESTS
    return _Row(
        name,
        alone[1] - alone[0],
        wait[1] - wait[0],
        together[1] - together[0],
        None if pid is None else spent / asked * 1e6,
    )


async def _batch(app: Gateway, body: bytes, together: int) -> tuple[float, float]:
    """CPU and waiting µs a request; what is settled behind it counts as CPU too."""
    began, clock = time.process_time(), time.perf_counter()
    for _ in range(_REQUESTS // together):
        await asyncio.gather(*[asyncio.create_task(one(app, body)) for _ in range(together)])
    waited = time.perf_counter() - clock
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - what is settled, by tasks that nobody else waits for
        await asyncio.sleep(0.000_2)
    return (time.process_time() - began) / _REQUESTS * 1e6, waited / _REQUESTS * 1e6
