"""A small complete `routes.toml`, and a helper that returns the problems of a text."""

from __future__ import annotations

from typing import Final

from standby.proxy.config import parse_routes
from standby.proxy.errors import ConfigError

__all__ = ["ENVIRON", "ROUTES", "problems_in"]

ENVIRON: Final[tuple[tuple[str, str], ...]] = (
    ("OPENAI_KEY", "sk-canary-1"),
    ("ANTHROPIC_KEY", "sk-canary-2"),
)

ROUTES: Final = """\
[providers.openai]
dialect = "openai"
base_url = "https://openai.example/v1"
key = "env:OPENAI_KEY"

[providers.anthropic]
dialect = "anthropic"
base_url = "https://anthropic.example/v1"
key = "env:ANTHROPIC_KEY"

[targets.main]
provider = "openai"
model = "gpt-4.1"

[targets.small]
provider = "openai"
model = "gpt-4.1-mini"

[targets.claude]
provider = "anthropic"
model = "claude"

[pools.support]
serves = ["support", "gpt-4.1"]
prefer = ["main"]
alternates = [{ target = "small", for = ["outage", "slow"] }]
"""


def problems_in(text: str) -> list[str]:
    """The problems that `parse_routes` reports for a text, one line each."""
    try:
        parse_routes(text, environ=dict(ENVIRON))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []
