"""Every configuration, command and link of the documents is sound."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.cli import main
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway

from tests.docs.conftest import ENVIRON
from tests.docs.documents import DOCUMENTS, ROOT, Block, blocks, links, named

__all__: list[str] = []

COMPLETION: Final = """
[providers.any]
dialect = "openai"
base_url = "http://127.0.0.1:9000/v1"
[targets.any]
provider = "any"
model = "any"
[pools.any]
prefer = ["any"]
"""
SHELL: Final = [
    (block, line)
    for block in blocks("sh")
    for line in block.text.splitlines()
    if line and not line.startswith("#")
]


def _label(value: object) -> str:
    return str(value).partition(" ")[0] if isinstance(value, Block) else ""


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_configuration_is_accepted(block: Block) -> None:
    """It loads as it stands, or, where it shows only a part, with a pool beside it."""
    text = block.text if "[pools." in block.text else block.text + COMPLETION
    assert parse_routes(text, environ=ENVIRON).pools


def test_the_annotated_example_is_accepted() -> None:
    """The repository's own `routes.toml` makes a gateway once its two keys are there."""
    keys = {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two"}
    assert Gateway(parse_routes(named("routes.toml"), environ=keys)).routes.pools


@pytest.mark.parametrize(("block", "line"), SHELL, ids=_label)
def test_a_command_exists(block: Block, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`standby` knows the subcommand and its flags, `make` the target, and `python` the file."""
    kept = re.fullmatch(r'export \w+="\$\((.*)\)"', line)
    command, *words = shlex.split(kept[1] if kept is not None else line, comments=True)
    if command == "standby":
        flags = [word for word in words[1:] if word.startswith("-")]
        with pytest.raises(SystemExit) as ended:
            main([*takewhile(str.isalpha, words[: 1 + (words[0] == "keys")]), "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert [flag for flag in flags if flag not in shown] == []
    elif command == "make":
        assert f"\n{words[0]}:" in named("Makefile")
    elif command == "python":
        assert (ROOT / words[0]).is_file() or f"`{words[0]}`:" in named(block.document)
    else:
        assert command in {"curl", "pip", "uvicorn"}, f"{block}: nobody checks {command}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_leads_somewhere(path: Path) -> None:
    """Every link into the repository leads to a file or folder that is there."""
    found = [link for link in links(path) if not (path.parent / link.partition("#")[0]).exists()]
    assert found == []
