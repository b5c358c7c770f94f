"""The demo with providers that use tools: `python -m tests.clients.able_demo`.

The providers of `standby demo` answer in words, whatever tools they are offered. These call the
first tool until they are sent a result.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.rehearsal.demo import ROUTES
from standby.proxy.rehearsal.simulator import Answer, Received, Simulator
from standby.proxy.server import configuration
from typing_extensions import override

__all__ = ["AbleProvider", "run"]


class AbleProvider(Simulator):
    """A simulated provider that calls a tool until it has the result."""

    @override
    def _good(self, received: Received) -> Answer:
        self.calls_tools = not any(map(_is_result, _parts(received.json)))
        return super()._good(received)


def _parts(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The turns of a request in any dialect, and the blocks of their contents."""
    turns: str | list[dict[str, Any]] = request.get("messages") or request.get("input") or []
    if isinstance(turns, str):
        return
    for turn in turns:
        yield turn
        content: str | list[dict[str, Any]] | None = turn.get("content")
        if isinstance(content, list):
            yield from content


def _is_result(part: dict[str, Any]) -> bool:
    """Whether a part is what came of a tool."""
    return part.get("role") == "tool" or part.get("type") in {"function_call_output", "tool_result"}


async def run() -> None:
    """Run the providers and the gateway until stopped."""
    async with (
        AbleProvider("alpha") as alpha,
        AbleProvider("beta") as beta,
        AbleProvider("gamma") as gamma,
    ):
        text = ROUTES.format(alpha=alpha.url, beta=beta.url, gamma=gamma.url)
        gateway = Gateway(parse_routes(text, "the demo's routes.toml"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            print(f"Standby listens on http://{host}:{port}", flush=True)
            config = configuration(gateway, graceful_seconds=5, log_level="warning")
            await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(run())
