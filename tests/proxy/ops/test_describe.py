"""What `standby check` prints of a configuration."""

from __future__ import annotations

from standby.proxy.config import NANO, Card, Price, Tier, parse_routes
from standby.proxy.ops.describe import describe

from tests.proxy.config.documents import ENVIRON, ROUTES

__all__: list[str] = []


def test_the_chain_of_every_pool_is_told() -> None:
    """Names, targets in order, alternates with their causes and all timeouts are printed in columns."""
    text = ROUTES.replace('base_url = "https://openai', 'region = "eu"\nbase_url = "https://openai')
    text += """timeouts = { first_token = "8s", stall = "250ms" }

[pools.writing]
prefer = ["claude"]
"""
    description = describe(parse_routes(text, environ=dict(ENVIRON)))
    assert (
        description
        == """\
routes.toml: 2 providers, 3 targets, 2 pools
stack: hygiene -> route_select -> failover -> relay

pool support (openai)
  serves      support, gpt-4.1
  prefer      1  main   openai/gpt-4.1       eu
  alternates  2  small  openai/gpt-4.1-mini  eu  for outage, slow
  timeouts    connect 3s  first_token 8s  answer 8s  stall 250ms  total 4m  (answer follows from first_token)

pool writing (anthropic)
  serves      writing
  prefer      1  claude  anthropic/claude  -
  timeouts    connect 3s  first_token 15s  answer 1m  stall 30s  total 4m"""
    )


def test_prices_and_what_they_are_measured_against_are_told() -> None:
    """Each price with its source and date, and every budget and limit that a request to the pool may meet."""
    text = f"""stack = ["auth", "budget", "failover"]
store = "env:STORE"
{ROUTES}budget = [{{ limit = "50.00", window = "month", rolling = true }}]
at_budget = {{ 0.8 = "cheapest" }}
[organisations.acme]
budget = [{{ limit = 5, unit = "requests", window = "day", timezone = "Europe/Paris" }}]
[teams.other]
pools = ["writing"]
limits = {{ concurrent = 5 }}
[keys.checkout]
hash = "sha256:{"a" * 64}"
pools = ["*"]
limits = {{ requests_per_minute = 6, concurrent = 5 }}
[pools.writing]
prefer = ["claude"]
"""
    text = text.replace(
        '"gpt-4.1"\n\n', '"gpt-4.1"\nprice = { input = "2.00", output = "8.00", per_image = "0.01" }\n'
    )
    environ = {**dict(ENVIRON), "STORE": "redis://:canary@cache.example/0"}
    tier = Tier(tokens=200_000, input=9 * NANO)
    card = Card(Price(input=400_000_000, output=0, above=(tier,)), "list", "2026-01-01")
    routes = parse_routes(
        text, environ=environ, prices=lambda target: card if target.name == "small" else None
    )
    head, pool, writing = describe(routes).split("\n\n")
    assert (
        head
        == """\
routes.toml: 2 providers, 3 targets, 2 pools, 1 organisation, 1 team, 1 key
stack: hygiene -> auth -> budget -> failover -> relay
store: redis://cache.example/0"""
    )
    assert (
        "\n".join(pool.splitlines()[5:])
        == """\
  prices      main   input 2.00  output 8.00  per_image 0.01      (this file)
              small  input 0.40  above 200000 tokens: input 9.00  (list, 2026-01-01)
  budgets     pool               50.00 per month (rolling)
              organisation acme  5 requests per day (Europe/Paris)
  limits      key checkout  requests_per_minute 6  concurrent 5
  at budget   from 0.8 on: cheapest"""
    )
    assert "prices" not in writing
    assert "limits      team other    concurrent 5\n              key checkout" in writing


def test_no_secret_is_told() -> None:
    """The description contains no secrets."""
    assert "canary" not in describe(parse_routes(ROUTES, environ=dict(ENVIRON)))
