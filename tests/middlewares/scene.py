"""A gateway with scripted providers, for the tests of Failover."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from standby.proxy.asgi import Scope
from standby.proxy.classify.faults import Rejection
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway

from tests.proxy.harness import ASK, SCRIPTED, Caller, Script, ask, chunk, routes_to, scope_of, scripted

__all__ = ["DONE", "URL", "Scene"]

URL: Final = "http://127.0.0.1:9/v1"
DONE: Final = b"data: [DONE]\n\n"


class Scene:
    """A gateway with providers "a", "b" and so on, which answer successfully unless scripted otherwise."""

    def __init__(self, count: int = 2, **settings: str) -> None:
        self.gateway = Gateway(routes_to(*[URL] * count, provider=SCRIPTED, **settings))
        self.scripts = scripted(self.gateway)
        self.exchanges: list[Exchange] = []
        for name, script in self.scripts.items():
            script.say(chunk(f"from {name}"), DONE)

    def __getitem__(self, name: str) -> Script:
        return self.scripts[name]

    @property
    def asked(self) -> dict[str, int]:
        """The number of requests that each provider has received."""
        return {name: len(script.requests) for name, script in self.scripts.items()}

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """The target and kind of each attempt of the last request."""
        return [(each.candidate.name, each.kind) for each in self.exchanges[-1].attempts]

    def on_loop_time(self) -> None:
        """Make the health of the targets use the time of the event loop."""
        self.gateway.health.clock = asyncio.get_running_loop().time

    def rejection(self, name: str = "a") -> Rejection | None:
        """Returns the current rejection of a target."""
        return self.gateway.health.rejection(name, f"at-{name}", "chat")

    async def ask(self, *headers: tuple[bytes, bytes], path: str | None = None, **fields: Any) -> Caller:
        """Send one request and wait for the response."""
        scope = self.scope(*headers, path=path)
        return await ask(self.gateway, {**ASK, **fields}, scope)

    def scope(self, *headers: tuple[bytes, bytes], path: str | None = None) -> Scope:
        """Returns the scope of a request, and keeps its exchange."""
        scope = scope_of(headers=headers) if path is None else scope_of(path, headers=headers)
        self.exchanges.append(Exchange.of(scope))
        return scope

    def begin(self, *headers: tuple[bytes, bytes], **fields: Any) -> tuple[Caller, asyncio.Task[None]]:
        """Start a request. Returns its caller and its task."""
        caller = Caller(json.dumps({**ASK, **fields}).encode())
        running = self.gateway(self.scope(*headers), caller.receive, caller.send)
        return caller, asyncio.create_task(running)
