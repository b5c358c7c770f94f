"""The scene of the chaos: who may ask for what, what it may cost, and three providers that fail by lot."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from standby.proxy.rehearsal.simulator import (
    Content,
    Cut,
    End,
    ErrorEvent,
    Fault,
    Just,
    Received,
    Reports,
    Simulator,
    Slow,
    Stall,
    Status,
)

__all__ = ["KEYS", "PRICES", "Card", "digest", "providers", "routes", "secret"]


@dataclass(frozen=True, slots=True)
class Card:
    """What a target costs, in nano-dollars: per million tokens, and per request."""

    input: int
    output: int
    request: int

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """What so many tokens cost, rounded up to a whole nano-dollar."""
        return self.request - (-(tokens_in * self.input + tokens_out * self.output) // 1_000_000)


PRICES: Final[Mapping[str, Card]] = MappingProxyType(
    {
        # Awkward on purpose: none of them divides evenly, and each fallback is dearer than the one before.
        "alpha": Card(153_700_000, 611_300_000, 0),
        "beta": Card(407_100_000, 1_603_900_000, 1_007),
        "gamma": Card(2_500_300_000, 9_999_700_000, 0),
    }
)
_REPORTS: Final[Mapping[str, Reports]] = MappingProxyType({"alpha": "asked", "beta": "never", "gamma": "end"})

KEYS: Final = ("checkout", "search", "batch", "trial")
"""checkout and search are of one team; batch and trial stand alone. trial has less than it will ask for."""

_PROVIDER: Final = """
[providers.{name}]
dialect = "openai"
base_url = "{url}"
[targets.{name}]
provider = "{name}"
model = "model-of-{name}"
price = {{ input = "{input}", output = "{output}", per_request = "{request}" }}
"""
_ROUTES: Final = """
[store_probe]
use = "tests.chaos.store_probe:StoreProbe"
[pools.cheap]
prefer = ["alpha", "beta", "gamma"]
timeouts = {{ connect = "1s", first_token = "{first_token}", stall = "400ms", total = "5s" }}
[teams.shop]
budget = [{{ limit = "{team}", window = "month" }}]
limits = {{ requests_per_minute = 1_000_000, concurrent = 500 }}
[keys.checkout]
hash = ["{checkout}"]
pools = ["cheap"]
team = "shop"
[keys.search]
hash = ["{search}"]
pools = ["cheap"]
team = "shop"
budget = [
  {{ limit = "{half}", window = "quarter" }},
  {{ unit = "requests", limit = 900_000, window = "month" }},
]
[keys.batch]
hash = ["{batch}"]
pools = ["cheap"]
limits = {{ concurrent = 6 }}
[keys.trial]
hash = ["{trial}"]
pools = ["cheap"]
budget = [{{ limit = "{trial_limit}", window = "month" }}]
[failover]
deadline = "3s"
[budget]
on_store_error = "refuse"
escrow = {escrow}
"""

_FAULTS: Final[tuple[tuple[float, Fault], ...]] = (
    (0.02, Status(503)),
    (0.01, Status(429, retry_after=0.05)),
    (0.015, Cut()),
    (0.02, Cut(after=Content(2))),
    (0.005, Stall(after=Content(1))),
    (0.005, Stall()),
    (0.015, ErrorEvent()),
    (0.02, ErrorEvent(Content(2))),
    (0.02, End(Content(2))),
    (0.01, Just()),
    (0.03, Slow(0.05)),
)
"""How likely each is, for each request at each provider; else the answer is good."""


def secret(key: str) -> str:
    """What a caller shows."""
    return f"sk-standby-{hashlib.sha256(key.encode()).hexdigest()}"


def digest(key: str) -> str:
    """How `[keys]` spells that."""
    return f"sha256:{hashlib.sha256(secret(key).encode()).hexdigest()}"


def _dollars(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09d}"


def routes(
    store: str, urls: Mapping[str, str], requests: int, *, escrow: bool = False, first_token: str
) -> str:
    """The configuration. Budgets are such that about so many requests wear three of them out."""
    text = "".join(
        _PROVIDER.format(
            name=name,
            url=urls[name],
            input=_dollars(card.input),
            output=_dollars(card.output),
            request=_dollars(card.request),
        )
        for name, card in PRICES.items()
    )
    usual = 60_000  # nano-dollars: what a request costs here, about
    hashes = {name: digest(name) for name in KEYS}
    head = f'stack = ["store_probe", "auth", "budget", "failover"]\nstore = "{store}"\n'
    return (
        head
        + text
        + _ROUTES.format(
            **hashes,
            team=_dollars(usual * requests // 2),
            half=_dollars(usual * requests // 5),
            trial_limit=_dollars(usual * requests // 12),
            escrow=str(escrow).lower(),
            first_token=first_token,
        )
    )


def _fault_for(seed: int, name: str, received: Received) -> Fault | None:
    """The same request at the same provider always meets the same fault."""
    lot = Random(f"{seed} {name} {received.json['user']}").random()
    for likely, fault in _FAULTS:
        lot -= likely
        if lot < 0:
            return fault
    return None


def _words_for(seed: int, name: str, received: Received) -> tuple[str, ...]:
    count = Random(f"{seed} {name} words {received.json['user']}").randint(1, 16)
    return tuple(f"{name}-{number} " for number in range(count))


@asynccontextmanager
async def providers(seed: int) -> AsyncGenerator[dict[str, Simulator]]:
    """The three providers, which keep their bills."""
    made = {name: Simulator(name, seed=seed, reports=_REPORTS[name], pace=0.001) for name in PRICES}
    for name, provider in made.items():
        provider.fault = lambda received, name=name: _fault_for(seed, name, received)
        provider.words = lambda received, name=name: _words_for(seed, name, received)
    async with made["alpha"], made["beta"], made["gamma"]:
        yield made
