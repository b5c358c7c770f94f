"""Mistakes of configurations that a drill, or `standby check`, must find: each in a copy of the example."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from standby.proxy.budget.metering.price_card import lookup
from standby.proxy.cli import main
from standby.proxy.config import load_routes
from standby.proxy.errors import ConfigError
from standby.proxy.gateway import Gateway
from standby.proxy.ops.coverage import gaps
from standby.proxy.ops.warnings import warnings

__all__: list[str] = []

EXAMPLE: Final = Path(__file__).parents[4] / "routes.toml"
MISTAKES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        each["name"]: each
        for each in tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text(encoding="utf-8"))[
            "mistake"
        ]
    }
)


def replaced(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The text with each old part replaced by its new one; each must be there exactly once."""
    for old, new in pairs:
        assert text.count(old) == 1, f"{text.count(old)} times in the file: {old!r}"
        text = text.replace(old, new)
    return text


def copies(name: str) -> tuple[str, str]:
    """The example without the mistake of this name, and with it."""
    mistake = MISTAKES[name]
    sound = replaced(EXAMPLE.read_text(encoding="utf-8"), mistake["sound"])
    return sound, replaced(sound, mistake["wrong"])


def said(text: str, folder: Path) -> list[str]:
    """All that a drill, or `standby check`, says is wrong with a configuration, without trying it."""
    file = folder / "routes.toml"
    file.write_text(text, encoding="utf-8")
    try:
        routes = Gateway(load_routes(file, prices=lookup, lenient=True)).routes
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return [*warnings(routes), *gaps(routes)]


def matching(name: str, lines: list[str]) -> list[str]:
    """The lines that say what must be said of a mistake."""
    return [line for line in lines if re.search(MISTAKES[name]["says"], line)]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_once(name: str, tmp_path: Path) -> None:
    """Each mistake has one line, with what to change, and the copy without the mistake does not have it."""
    sound, wrong = copies(name)
    before, after = said(sound, tmp_path), said(wrong, tmp_path)
    assert len(matching(name, after)) == 1, "\n".join(after)
    assert matching(name, before) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_adds_nothing_else(name: str, tmp_path: Path) -> None:
    """What a mistake makes `check` say in addition is all about the same pool, key or rule."""
    sound, wrong = copies(name)
    before = said(sound, tmp_path)
    new = [line for line in said(wrong, tmp_path) if line not in before]
    subject = matching(name, new)[0].split(":")[0]
    assert [line for line in new if not line.startswith(subject.split(",")[0])] == []


def test_the_command_prints_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`standby drill` prints the line of a mistake under "unprotected", beside a drill that passes."""
    name = "a fallback without tools"
    sound, wrong = copies(name)
    file = tmp_path / "routes.toml"
    for text, times in ((sound, 0), (wrong, 1)):
        file.write_text(text, encoding="utf-8")
        assert main(["drill", str(file), "--fault", "outage", "--seed", "1"]) == 0
        output = capsys.readouterr().out
        unprotected = output.partition("\nunprotected\n")[2].splitlines()
        assert len(matching(name, unprotected)) == times, output


def test_a_fallback_without_a_price_stops_the_drill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that could not be served is not drilled: exit status 1, and the file and the line."""
    file = tmp_path / "routes.toml"
    file.write_text(copies("a fallback without a price")[1], encoding="utf-8")
    assert main(["drill", str(file), "--fault", "outage"]) == 1
    reply = capsys.readouterr()
    assert reply.out == ""
    assert re.search(rf"{re.escape(str(file))}:\d+: .*\"gpt-mini\" has no price", reply.err), reply.err
