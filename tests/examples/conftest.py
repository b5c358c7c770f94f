"""Two simulated providers, and a `routes.toml` that leads to both in either dialect."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator

__all__ = ["EXAMPLES", "PYTHON", "folder"]

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
PYTHON: Final = sys.executable

_ROUTES: Final = """\
[providers]
alpha = {{ dialect = "openai", base_url = "{alpha}" }}
beta = {{ dialect = "openai", base_url = "{beta}" }}
alpha-messages = {{ dialect = "anthropic", base_url = "{alpha}" }}
beta-messages = {{ dialect = "anthropic", base_url = "{beta}" }}
[targets]
first = {{ provider = "alpha", model = "large" }}
second = {{ provider = "beta", model = "large" }}
third = {{ provider = "alpha-messages", model = "large" }}
fourth = {{ provider = "beta-messages", model = "large" }}
[pools.support]
prefer = ["first", "second"]
[pools.drafting]
prefer = ["third", "fourth"]
"""


@pytest.fixture
def folder(tmp_path: Path, alpha: Simulator, beta: Simulator) -> Path:
    """Where the examples find their `routes.toml`."""
    (tmp_path / "routes.toml").write_text(_ROUTES.format(alpha=alpha.url, beta=beta.url))
    return tmp_path
