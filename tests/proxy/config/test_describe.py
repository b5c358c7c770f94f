"""What `standby check` prints of a configuration."""

from __future__ import annotations

from standby.proxy.config import Routes, describe

from .documents import ENVIRON, ROUTES

__all__: list[str] = []


def test_the_chain_of_every_pool_is_told() -> None:
    """Names, targets in order, alternates with their causes and every limit in force stand in columns."""
    text = ROUTES.replace('base_url = "https://openai', 'region = "eu"\nbase_url = "https://openai')
    text += """timeouts = { first_token = "8s", stall = "250ms" }

[pools.writing]
prefer = ["claude"]
"""
    told = describe(Routes.parse(text, environ=dict(ENVIRON)))
    assert (
        told
        == """\
routes.toml: 2 providers, 3 targets, 2 pools
stack: hygiene -> failover -> relay

pool support (openai)
  serves      support, gpt-4.1
  prefer      1  main   openai/gpt-4.1       eu
  alternates  2  small  openai/gpt-4.1-mini  eu  for outage, slow
  timeouts    connect 3s  first_token 8s  answer 8s  stall 250ms  total 4m

pool writing (anthropic)
  serves      writing
  prefer      1  claude  anthropic/claude  -
  timeouts    connect 3s  first_token 15s  answer 1m  stall 30s  total 4m"""
    )


def test_no_secret_is_told() -> None:
    """The description may be pasted anywhere."""
    assert "canary" not in describe(Routes.parse(ROUTES, environ=dict(ENVIRON)))
