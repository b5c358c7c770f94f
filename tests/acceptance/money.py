"""What stands where money is counted: two keys, two providers with prices and bills, and a store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from standby.proxy.budget.accounts import Accounts
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import Health
from standby.proxy.rehearsal.simulator import Simulator
from standby.proxy.rehearsal.simulator.bill import Billed
from standby.proxy.stores.records import LedgerEntry
from standby.proxy.stores.store import Store, StoreDown

from tests.acceptance.scene import Forgetful
from tests.acceptance.serving import Front
from tests.chaos.caller import Asked, CallResult, Path, ask
from tests.chaos.setting import Card

__all__ = ["CARDS", "SECRETS", "Shop", "hashed", "priced", "shop", "written"]

SECRETS: Final[Mapping[str, str]] = MappingProxyType(
    {"checkout": "sk-standby-of-the-checkout", "search": "sk-standby-of-the-search"}
)
CARDS: Final[Mapping[str, Card]] = MappingProxyType(
    # beta is dearer, and the prices are such that no two sums are equal by accident.
    {"alpha": Card(2_000_000_007, 8_000_000_011, 0), "beta": Card(3_000_000_019, 15_000_000_023, 0)}
)

_ROUTES: Final = """
store = "{store}"
{stack}
[providers.alpha]
dialect = "openai"
base_url = "{alpha}"
[providers.beta]
dialect = "openai"
base_url = "{beta}"
[providers.alpha_claude]
dialect = "anthropic"
base_url = "{alpha}"
[providers.beta_claude]
dialect = "anthropic"
base_url = "{beta}"
{targets}
[pools.gpt]
prefer = ["alpha", "beta"]
timeouts = {timeouts}
{pool}
[pools.claude]
prefer = ["alpha_claude", "beta_claude"]
timeouts = {timeouts}
{pool}
[teams.shop]
{team}
[keys.checkout]
hash = ["{checkout}"]
pools = ["gpt", "claude"]
team = "shop"
{key}
[keys.search]
hash = ["{search}"]
pools = ["gpt", "claude"]
team = "shop"
{other}
{budget_table}
{budget}
[failover]
deadline = "10s"
"""
_TARGET: Final = """
[targets.{name}]
provider = "{name}"
model = "model-of-{name}"
{more}
"""


def hashed(secret: str) -> str:
    """How `[keys]` spells a secret."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def priced(card: Card) -> str:
    """How `[targets]` spells a price."""
    spelled = {"input": card.input, "output": card.output, "per_request": card.request}
    inside = ", ".join(f'{name} = "{nano / 10**9:.9f}"' for name, nano in spelled.items())
    return f"price = {{ {inside} }}"


def written(
    alpha: str,
    beta: str,
    *,
    store: str = "memory:",
    cards: Mapping[str, Card] = CARDS,
    targets: Mapping[str, str] = MappingProxyType({}),
    **parts: str,
) -> str:
    """The text of a routes.toml. `targets` has more lines for each target, `parts` for other tables."""
    usual = {
        "stack": 'stack = ["auth", "budget", "failover"]',
        "timeouts": '{ first_token = "400ms", stall = "400ms" }',
        "key": 'budget = [{ limit = "1.00", window = "month" }]',
        "budget_table": "[budget]",
        **dict.fromkeys(("team", "pool", "other", "budget"), ""),
    }
    text = "".join(
        _TARGET.format(name=name + suffix, more=targets.get(name, priced(cards[name])))
        for name in ("alpha", "beta")
        for suffix in ("", "_claude")
    )
    hashes = {name: hashed(secret) for name, secret in SECRETS.items()}
    return _ROUTES.format(**{**usual, **parts}, **hashes, store=store, alpha=alpha, beta=beta, targets=text)


@dataclass
class Shop:
    """A gateway behind `front` with `alpha` before `beta`, both of which keep their bills."""

    front: Front
    gateway: Gateway
    alpha: Simulator
    beta: Simulator
    asked: int = field(default=0, init=False)

    @property
    def store(self) -> Store:
        """The gateway's store."""
        store = self.gateway.store
        assert store is not None
        return store

    async def ask(
        self, path: Path = "/v1/chat/completions", key: str = "checkout", **more: Any
    ) -> CallResult:
        """One request of one of the keys."""
        self.asked += 1
        model = "claude" if path == "/v1/messages" else "gpt"
        asked = Asked(ticket=f"t{self.asked}", secret=SECRETS[key], model=model, path=path)
        return await ask(self.front.port, replace(asked, **more))

    async def settled(self) -> list[LedgerEntry]:
        """The ledger, once nothing is under way and nothing is held."""
        async with asyncio.timeout(5):
            while self.front.under_way or await self.store.held():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return [entry async for entry in self.store.entries()]

    async def reachable(self) -> bool:
        """Whether the store answers."""
        try:
            await self.store.held()
        except StoreDown:
            return False
        return True

    async def spent(self) -> int:
        """What the month's budget of the checkout's key says is spent or held, in nano-dollars."""
        key = self.gateway.routes.keys["checkout"]
        account = Accounts().of("key", key, self.store.now())[0]
        return (await self.store.used([account.line]))[0]

    def billed(self) -> list[tuple[str, Billed]]:
        """Both bills, each line with the provider's name."""
        return [(each.name, line) for each in (self.alpha, self.beta) for line in each.bill]

    def due(self, cards: Mapping[str, Card] = CARDS) -> int:
        """What both bills come to, in nano-dollars."""
        return sum(cards[name].cost(line.input, line.output) for name, line in self.billed())

    def forget(self) -> None:
        """Forget what is known of the targets' health."""
        self.gateway.health = Health()

    def forgetful(self) -> None:
        """Try every target again and again, whatever it did."""
        self.gateway.health = Forgetful()


@asynccontextmanager
async def shop(front: Front, **parts: Any) -> AsyncGenerator[Shop]:
    """Two providers and a gateway that counts money; all of it ends with the block."""
    async with Simulator("alpha") as alpha, Simulator("beta") as beta:
        known = parse_routes(written(alpha.url, beta.url, **parts))
        async with Gateway(known) as gateway:
            front.app = gateway
            try:
                yield Shop(front, gateway, alpha, beta)
            finally:
                front.app = None
