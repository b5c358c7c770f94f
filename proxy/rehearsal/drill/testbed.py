"""What stands during a drill: a simulator for each provider, and a server on loopback before the gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import uvicorn

from ...asgi import ASGIApp, Receive, Scope, Send
from ...config import Pool, Provider, Routes, targets_of
from ...server import configuration
from ..simulator import Fault, Received, Reports, Simulator
from .replacement import Replacement, replacement
from .scenarios import Scenario

__all__ = ["Testbed", "testbed"]


@dataclass(eq=False)
class Testbed:
    """One place where a cell of the drill can run. Cells follow each other on it.

    `app` is what the server runs now.
    """

    simulators: Mapping[str, Simulator]
    configured: Replacement
    port: int = 0
    app: ASGIApp | None = None
    busy: dict[str, int] = field(default_factory=dict[str, int])
    """The most requests that each target has had at once."""

    def set(self, scenario: Scenario, pool: Pool) -> None:
        """Forget what the simulators were asked, and let those targets fail that the scenario names."""
        self.busy.clear()
        failing = {
            (target.provider.name, target.model): scenario.fault
            for target in targets_of(pool)
            if target.name in scenario.fails(pool) or scenario.failing == "nobody"
        }
        for name, simulator in self.simulators.items():
            simulator.requests.clear()
            simulator.count = 0

            def fault(received: Received, name: str = name) -> Fault | None:
                self._count(name, received)
                model = str(received.json.get("model")) if received.is_object else ""
                chosen = failing.get((name, model))
                return None if chosen is None else chosen(received)

            simulator.fault = fault

    def received(self, routes: Routes) -> dict[str, list[Received]]:
        """Returns what each target was sent."""
        return {
            target.name: [
                each
                for each in self.simulators[target.provider.name].requests
                if each.is_object and each.json.get("model") == target.model
            ]
            for target in routes.targets.values()
        }

    def _count(self, provider: str, received: Received) -> None:
        """Count how many requests to the same model are under way, this one included."""
        model = received.json.get("model") if received.is_object else ""
        open_now = sum(
            1
            for each in self.simulators[provider].requests
            if each.is_object and each.json.get("model") == model and not (each.done or each.gone)
        )
        key = f"{provider} {model}"
        self.busy[key] = max(self.busy.get(key, 0), open_now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.app is not None:
            await self.app(scope, receive, send)
            return
        while (message := await receive())["type"].startswith("lifespan"):
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def _reports(provider: Provider) -> Reports:
    """Returns when the provider's vendor reports the usage of a stream: some refuse to be asked for it."""
    vendor = provider.known_as
    return "end" if vendor is not None and "stream_options" in vendor.leaves_out else "asked"


@asynccontextmanager
async def testbed(routes: Routes) -> AsyncGenerator[Testbed]:
    """A testbed for `routes`; all of it ends with the block."""
    async with AsyncExitStack() as running:
        simulators = {
            name: await running.enter_async_context(Simulator(f"p{at}", reports=_reports(provider)))
            for at, (name, provider) in enumerate(routes.providers.items())
        }
        urls = {name: simulator.url for name, simulator in simulators.items()}
        made = Testbed(simulators, replacement(routes, urls))
        config = configuration(made, graceful_seconds=1, log_level="critical", log_config=None)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        held = socket.create_server(("127.0.0.1", 0))
        made.port = held.getsockname()[1]
        await server.startup(sockets=[held])  # not `serve`, which would take the signals
        try:
            yield made
        finally:
            await asyncio.shield(server.shutdown(sockets=[held]))
