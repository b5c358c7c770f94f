"""A gateway with a budget and scripted providers, for the tests of Budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

from standby.proxy.asgi import Scope
from standby.proxy.config import BudgetWindow, Grants, Key, Limits, Team
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.keys.principal import Principal, ScopeOf
from standby.proxy.stores.records import LedgerEntry, Line

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import ASK, SCRIPTED, Caller, Script, ask, routes_to, scope_of, scripted

__all__ = ["COST", "ESTIMATE", "PRICE", "BudgetGateway", "answer", "budget", "key", "model_event", "usage"]

URL: Final = "http://127.0.0.1:9/v1"
PRICE: Final = 'price = { input = "0", output = "1000" }'
"""One dollar per thousand output tokens, so that the estimate depends on `max_tokens` only."""
ESTIMATE: Final = 10_000_000
"""The estimate in nano-dollars of a request with ten output tokens."""
COST: Final = 4_000_000
"""The cost in nano-dollars of an answer with four output tokens."""


def usage(output: int = 4, model: str = "model-a") -> bytes:
    """Returns the usage event of a stream."""
    tokens = {"prompt_tokens": 7, "completion_tokens": output}
    return b"data: " + json.dumps({"model": model, "choices": [], "usage": tokens}).encode() + b"\n\n"


def model_event(name: str, **choice: Any) -> bytes:
    """Returns a chunk event of this target's model."""
    choice = {"index": 0, "delta": {}, **choice}
    return b"data: " + json.dumps({"model": f"model-{name}", "choices": [choice]}).encode() + b"\n\n"


def answer(name: str, output: int = 4) -> tuple[bytes, ...]:
    """Returns a complete answer as four events."""
    text = model_event(name, delta={"content": f"from {name}"})
    return text, model_event(name, finish_reason="stop"), usage(output, f"model-{name}"), b"data: [DONE]\n\n"


def budget(dollars: str = "0.05", window: str = "month", unit: str = "cost", **fields: Any) -> BudgetWindow:
    """Returns a budget window. Five requests at their estimate fit into the default one."""
    limit = int(float(dollars) * 1e9) if unit == "cost" else int(dollars)
    return BudgetWindow.model_validate({"limit": limit, "window": window, "unit": unit, **fields})


def key(
    *windows: BudgetWindow, team: Iterable[BudgetWindow] = (), limits: Limits | None = None, **fields: Any
) -> Principal:
    """Returns the principal of a key "checkout" of the team "search"."""
    digest = "sha256:" + "0" * 64
    own = Key(
        name="checkout", hash=(digest,), pools=("*",), budget=windows, limits=limits or Limits(), **fields
    )
    whole: Grants = Team(name="search", budget=tuple(team))
    return Principal((ScopeOf("team", whole), ScopeOf("key", own)))


class BudgetGateway:
    """A gateway with providers "a", "b" and so on that answer successfully, and a store that can fail."""

    def __init__(self, principal: Principal | None = None, count: int = 1, **settings: str) -> None:
        given = {"provider": SCRIPTED, "target": PRICE, **settings}
        given["top"] = 'stack = ["budget", "failover"]\n' + settings.get("top", "")
        self.gateway = Gateway(routes_to(*[URL] * count, **given))
        self.store = self.gateway.store = FailingStore()
        self.principal = principal
        self.scripts: dict[str, Script] = scripted(self.gateway)
        for name in self.scripts:
            self.say(name)

    def say(self, name: str, output: int = 4) -> None:
        """Make a provider answer successfully."""
        self.scripts[name].say(*answer(name, output))

    def __getitem__(self, name: str) -> Script:
        return self.scripts[name]

    def scope(self) -> Scope:
        """Returns the scope of a request by this principal."""
        scope = scope_of()
        Exchange.of(scope).principal = self.principal
        return scope

    async def ask(self, **fields: Any) -> Caller:
        """Send one request with at most ten output tokens."""
        scope = self.scope()
        return await ask(self.gateway, {**ASK, "max_tokens": 10, **fields}, scope)

    async def ask_raw(self, scope: Scope) -> Caller:
        """Send one request with this scope and no body."""
        caller = Caller()
        await self.gateway(scope, caller.receive, caller.send)
        return caller

    async def ask_anthropic(self) -> Caller:
        """Send one request in Anthropic's dialect."""
        scope = {**self.scope(), "path": "/v1/messages", "raw_path": b"/v1/messages"}
        return await ask(self.gateway, {**ASK, "max_tokens": 10}, scope)

    async def settled(self) -> None:
        """Let pending settlements reach the store."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def spent(self, window: str = "month", scope: str = "key/checkout", unit: str = "cost") -> int:
        """Returns the amount that is booked and held of an account in this window."""
        line = Line(f"{scope}/{unit}/{window}", "sum", 0, None, rolling=True)
        (used,) = await self.store.used((line,))
        return used

    async def ledger(self) -> list[LedgerEntry]:
        """Returns every entry of the ledger."""
        return [entry async for entry in self.store.entries()]

    @property
    def asked(self) -> dict[str, int]:
        """The number of requests that each provider has received."""
        return {name: len(script.requests) for name, script in self.scripts.items()}
