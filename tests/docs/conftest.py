"""Where the documents' code runs: a folder with the README's `routes.toml`, its providers simulated."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator

from tests.docs.documents import blocks

__all__ = ["ENVIRON", "folder"]

ENVIRON: Final = MappingProxyType(
    {"OPENAI_API_KEY": "key-of-the-operator", "ANTHROPIC_API_KEY": "the-other-key"}
)


@pytest.fixture
def folder(tmp_path: Path, alpha: Simulator, beta: Simulator) -> Path:
    """An otherwise empty folder with the README's `routes.toml`, of which only the addresses are changed."""
    routes = blocks("toml")[0].text
    for address, provider in (("https://api.openai.com/v1", alpha), ("http://127.0.0.1:9000/v1", beta)):
        assert routes.count(address) == 1
        routes = routes.replace(address, provider.url)
    (tmp_path / "routes.toml").write_text(routes)
    return tmp_path
