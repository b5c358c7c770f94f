"""Gateways as processes of their own, which may be killed and whose clocks may be moved."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.bench.processes import free_port
from tests.programs import own_environ

__all__ = ["NOTHING", "GatewayProcess", "serving", "serving_all"]

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 30.0
"""Seconds that a start or a stop may take on a busy machine."""


class GatewayProcess:
    """`standby serve` on one port, with a clock of its own. It may be started again after it has ended."""

    def __init__(self, name: str, routes: Path, port: int, workers: int, environ: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.workers = workers
        self._routes = routes
        self._log = routes.with_name(f"{name}.log")
        self._clock = routes.with_name(f"{name}.clock")
        self._environ = {**environ, "CHAOS_CLOCK": str(self._clock)}
        self._process: asyncio.subprocess.Process | None = None
        self._clock.write_bytes(struct.pack("d", 0.0))

    @property
    def origin(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start it, and return once it answers on its port."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.launcher", "serve", str(self._routes)),
                *("--port", str(self.port), "--workers", str(self.workers)),
                cwd=_ROOT,
                env={**own_environ(), "PYTHONUNBUFFERED": "1", **self._environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        async with asyncio.timeout(_PATIENCE):
            # With several workers the port is there before any of them is.
            while not await self._answers() or len(self.pids) < self.workers:
                assert self._process.returncode is None, f"{self.name} does not start:\n{self.log}"
                await asyncio.sleep(0.05)

    @property
    def pids(self) -> list[int]:
        """The processes that serve: the workers, or with one worker the process itself."""
        assert self._process is not None
        if self.workers == 1:
            return [self._process.pid] if self._process.returncode is None else []
        found: list[int] = []
        for children in Path(f"/proc/{self._process.pid}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(pid) for pid in children.read_text().split() if _is_worker(pid)]
        return found

    def move_clock(self, seconds: float) -> None:
        """Set how far its clock is ahead; negative is behind."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def kill_worker(self, place: int = 0) -> None:
        """End one of its workers with SIGKILL. Its supervisor starts another."""
        os.kill(self.pids[place], signal.SIGKILL)

    async def kill(self) -> None:
        """End all of it with SIGKILL."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def terminate(self) -> None:
        """Ask it to stop, as a supervisor does, and wait until it has."""
        assert self._process is not None
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), _PATIENCE)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            async with asyncio.timeout(1):
                writer.write(b"GET /readyz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()


def _is_worker(pid: str) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


@asynccontextmanager
async def serving(
    name: str, routes: Path, port: int, *, workers: int = 1, environ: Mapping[str, str] = NOTHING
) -> AsyncGenerator[GatewayProcess]:
    """A gateway that answers, ended at the end."""
    gateway = GatewayProcess(name, routes, port, workers, environ)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.kill()


@asynccontextmanager
async def serving_all(
    names: Sequence[str], routes: Path, *, workers: int = 1
) -> AsyncGenerator[list[GatewayProcess]]:
    """Gateways that answer, each on a port of its own: started at the same time, and ended at the end."""
    gateways = [GatewayProcess(name, routes, free_port(), workers, NOTHING) for name in names]
    try:
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        yield gateways
    finally:
        for gateway in gateways:
            await gateway.kill()
