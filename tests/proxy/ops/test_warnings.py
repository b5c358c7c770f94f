"""What `standby check` warns of."""

from __future__ import annotations

from typing import Final

import pytest
from standby.proxy.config import parse_routes
from standby.proxy.ops.warnings import warnings

__all__: list[str] = []

HEAD: Final = """
stack = ["budget", "route_select", "failover"]
[providers]
one = { dialect = "openai", base_url = "http://127.0.0.1:1/v1" }
two = { dialect = "openai", base_url = "http://127.0.0.1:2/v1" }
[targets]
a = { provider = "one", model = "m", context = 1000, price = { input = "1", output = "1" } }
b = { provider = "two", model = "m", context = 1000, price = { input = "1", output = "1" } }
c = { provider = "two", model = "n", context = 9000, price = { input = "1", output = "1" } }
good = { provider = "one", model = "m", quality = 9, price = { input = "1", output = "1" } }
low = { provider = "two", model = "m", quality = 1, price = { input = "1", output = "1" } }
free = { provider = "two", model = "m" }
off = { provider = "two", model = "n", disabled = true, price = { input = "1", output = "1" } }
[pools.p]
"""
BUDGET: Final = 'budget = [{ limit = "1", window = "day" }]\n'
NEVER: Final = "pool p: alternate b can never be used: "


def pool(prefer: str, target: str = "", causes: str = "") -> str:
    """A pool, with one alternate if a target is given."""
    alternates = f'alternates = [{{ target = "{target}", for = [{causes}] }}]' if target else ""
    return f"prefer = [{prefer}]\n{alternates}"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (pool('"a"', "b", '"outage"'), []),
        (pool('"a", "b"'), []),
        (pool('"b", "c"'), ["pool p: depends on provider two alone; if it fails, so does the pool"]),
        (
            pool('"a"', "b", '"context"'),
            [f"{NEVER}for context, it needs a larger `context` than a preferred target"],
        ),
        (pool('"a"', "c", '"context"'), []),
        (pool('"a"', "b", '"context", "slow"'), []),
        (
            pool('"a"', "b", '"budget"'),
            [f"{NEVER}for budget, nothing that may use the pool has a budget"],
        ),
        (BUDGET + pool('"a"', "b", '"budget"'), []),
        (
            pool('"a", "b"', "off", '"outage"'),
            ["pool p: alternate off can never be used: it is disabled"],
        ),
        (
            'balance = "cheapest"\n' + pool('"a", "free"'),
            ["pool p: without a price, free cannot be the cheapest and comes last"],
        ),
        (pool('"off"'), ["pool p: all its targets are disabled"]),
        (
            pool('"off"', "a", '"slow"'),
            [
                "pool p: depends on provider one alone; if it fails, so does the pool",
                "pool p: no target can answer even a short request: off disabled, a has no cause",
            ],
        ),
        ('min_quality = 5\nwhen_exhausted = "degrade"\n' + pool('"good"', "low", '"context"'), []),
    ],
)
def test_pools(table: str, expected: list[str]) -> None:
    """A pool of one provider and an alternate that no cause can open are named, with the reason."""
    lines = warnings(parse_routes(HEAD + table, environ={}))
    assert [line for line in lines if line.startswith("pool")] == expected


def test_what_nothing_uses() -> None:
    """Targets that no pool uses and providers that no target uses are named."""
    third = 'three = { dialect = "openai", base_url = "http://127.0.0.1:3/v1" }\n[targets]'
    text = HEAD.replace("[targets]", third) + pool('"a", "b"')
    assert warnings(parse_routes(text, environ={})) == [
        *(f"target {name}: no pool uses it" for name in ("c", "good", "low", "free", "off")),
        "provider three: no target uses it",
    ]
