"""The gateway's process: `python -m tests.soak.process SETTINGS`, the settings as one JSON object.

The gateway runs as `standby serve` runs it, with the `routes.toml` that it is given on its input. Beside it
the process answers what `resources` describes, and its first line of output is the port.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
import uvloop
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.classify.faults import Fault
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import Health, Permit
from standby.proxy.server import Parser, configuration
from standby.proxy.upstream.http1.pool import Pool
from starlette.applications import Starlette
from starlette.routing import Mount
from typing_extensions import override

from .loop_monitor import LoopMonitor
from .resources import CALM, COLLECTED, RESOURCES, Resources

__all__ = ["DESCRIPTORS", "Settings", "allow_descriptors", "main"]

DESCRIPTORS: Final = 4096
"""Files that a process of the soak may hold open: 500 streams need two each, and many systems give 1024."""

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run it. `haste` is how much faster than time the breakers' rests pass."""

    parser: Parser = "httptools"
    mount: str = ""
    graceful_seconds: int = 20
    haste: float = 1.0


class _Recalling(Health):
    """Health that also remembers each fault it was told of: a success makes it forget those that count."""

    def __init__(self, haste: float) -> None:
        super().__init__(clock=lambda: time.monotonic() * haste)
        self.fault_counts = Counter[str]()

    @override
    def record(self, permit: Permit, fault: Fault | None, *, proved: bool, refused: bool = False) -> None:
        if fault is not None:
            self.fault_counts[fault.kind] += 1
        super().record(permit, fault, proved=proved, refused=refused)


class _Watched:
    """An app, and beside it the figures of its process."""

    def __init__(self, app: ASGIApp, gateway: Gateway, health: _Recalling) -> None:
        self._app = app
        self._gateway = gateway
        self._health = health
        self._monitor = LoopMonitor()
        self.server: uvicorn.Server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with self._monitor.beating():
                await self._app(scope, receive, send)
        elif scope["path"].startswith(RESOURCES):
            await self._tell(scope["path"], send)
        else:
            await self._app(scope, receive, send)

    async def _tell(self, path: str, send: Send) -> None:
        objects: int | None = None
        if path == COLLECTED:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            objects = len(gc.get_objects())
        body = orjson.dumps(asdict(self._look(objects)))
        if path == CALM:
            _forget_peak()
            self._monitor.calm()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _look(self, objects: int | None) -> Resources:
        pools = tuple(_pools(self._gateway))
        health: Any = self._health
        rests = (*health._breakers.values(), *health._cooldowns.values())
        callers: Any = self.server.server_state.connections
        memory = _memory()
        return Resources(
            tasks=len(asyncio.all_tasks()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            callers=len(callers),
            clogged=sum(caller.flow.write_paused for caller in callers),
            pooled=sum(pool.slots.connections for pool in pools),
            active=sum(pool.slots.connections - pool.slots.idle for pool in pools),
            asked=sum(pool.slots.busy + pool.slots.waiting for pool in pools),
            faults=dict(health.fault_counts),
            marked=len(rests),
            resting=sum(rest.until is not None and rest.until > health.clock() for rest in rests),
            probing=sum(rest.probing for rest in rests),
            objects=objects,
            resident=memory["VmRSS"],
            peak=memory["VmHWM"],
            stall=self._monitor.stall,
            lateness=self._monitor.lateness,
        )


class _Announced(uvicorn.Server):
    """A server that prints its port as soon as it listens."""

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def _pools(gateway: Gateway) -> Iterator[Pool]:
    """The transports' own pools of connections."""
    for upstream in gateway.transports:
        if isinstance(upstream.transport, Pool):
            yield upstream.transport


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in sizes}


def allow_descriptors() -> None:
    """Let this process open as many files as the soak needs, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))


async def _serve(settings: Settings, routes: str) -> None:
    gateway = Gateway(parse_routes(routes))
    gateway.health = health = _Recalling(settings.haste)
    app: ASGIApp = gateway
    if settings.mount:
        app = Starlette(routes=[Mount(settings.mount, gateway)], lifespan=gateway.lifespan)
    watched = _Watched(app, gateway, health)
    server = watched.server = _Announced(
        configuration(
            watched,
            port=0,
            parser=settings.parser,
            graceful_seconds=settings.graceful_seconds,
            log_level="warning",
        )
    )
    await server.serve()


def main() -> None:
    """Serve until terminated."""
    allow_descriptors()
    uvloop.run(_serve(Settings(**orjson.loads(sys.argv[1])), sys.stdin.read()))


if __name__ == "__main__":
    main()
