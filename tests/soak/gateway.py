"""The gateway as the tests see it: a process of its own, asked for its figures and awaited by condition."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from .caller import Caller
from .process import Settings
from .resources import CALM, COLLECTED, RESOURCES, Resources

__all__ = ["PATIENCE", "Served", "routes", "served"]

PATIENCE: Final = 20.0
"""Seconds after which a condition counts as never coming true. Only a failing test waits for so long."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_ROUTES: Final = """
stack = ["failover"]
[providers.one]
dialect = "openai"
base_url = "{url}"
[targets.main]
provider = "one"
model = "m"
connections = {connections}
[pools.soak]
prefer = ["main"]
timeouts = {{ first_token = "20s", stall = "{stall}", total = "{total}" }}
"""


def routes(url: str, *, connections: int = 10, stall: str = "20s", total: str = "240s") -> str:
    """A pool of one target. Its clocks run long, so that a busy machine does not make them part of a test."""
    return _ROUTES.format(url=url, connections=connections, stall=stall, total=total)


class Served:
    """A running gateway."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self._port = port
        self._callers = set[Caller]()

    @property
    def log(self) -> str:
        """Everything it has complained of."""
        return self._log.read_text(encoding="utf-8")

    async def caller(self, *, buffer: int | None = None) -> Caller:
        """A new connection to it, closed at the end of the test if it is still open then."""
        return await Caller.to(self._port, self._callers, buffer=buffer)

    def leave(self) -> None:
        """All callers hang up."""
        for caller in tuple(self._callers):
            caller.hang_up()

    async def resources(self, path: str = RESOURCES) -> Resources:
        """Its figures now."""
        caller = await self.caller()
        try:
            await caller.ask(f"GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode())
            assert caller.complete, f"the gateway does not say how it is\n{self.log}"
            document: dict[str, Any] = orjson.loads(caller.body)
        finally:
            caller.hang_up()
        return Resources(**document)

    async def calm(self) -> Resources:
        """Its figures now, from where peaks and worst cases are counted."""
        return await self.resources(CALM)

    async def collected(self) -> Resources:
        """Its figures after a garbage collection."""
        return await self.resources(COLLECTED)

    async def until(self, condition: Callable[[Resources], bool]) -> Resources:
        """Its figures as soon as they meet the condition."""
        due = time.monotonic() + PATIENCE
        while not condition(found := await self.resources()):
            assert time.monotonic() < due, f"{found}\n{self.log}"
            await asyncio.sleep(0.01)
        return found

    async def terminate(self) -> float:
        """Send SIGTERM, and return how many seconds it took to end."""
        began = time.monotonic()
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), 2 * PATIENCE)
        return time.monotonic() - began


@asynccontextmanager
async def served(settings: Settings, routes: str, folder: Path) -> AsyncGenerator[Served]:
    """A gateway that listens, ended at the end. What it complains of goes to a file in `folder`."""
    log = folder / "gateway.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.process", orjson.dumps(asdict(settings))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=_ROOT,
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(routes.encode())
        process.stdin.close()
        port = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        assert port, log.read_text(encoding="utf-8")
        gateway = Served(process, int(port), log)
        try:
            yield gateway
        finally:
            gateway.leave()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
