"""The repository, held to the rules of the house."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from tests.house import rules

__all__ = ["breaks", "held"]

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = tuple(sorted((*ROOT.glob("proxy/**/*.py"), *ROOT.glob("middlewares/**/*.py"))))
TESTS: Final = tuple(sorted(ROOT.glob("tests/**/*.py")))

_MADE: Final = frozenset({"__pycache__", "build", "dist", "node_modules"})
"""Folders that tools make; like all dot folders but .ci they are not part of the repository."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _module(path: Path) -> str:
    return "standby." + _name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _longest_known(name: tuple[str, ...], modules: Container[str]) -> str:
    """The module that an imported name is, or is in; empty when it is none of ours."""
    prefixes = (".".join(name[:end]) for end in range(len(name), 0, -1))
    return next((prefix for prefix in prefixes if prefix in modules), "")


Rule = Callable[[str, str], list[str]]

_OF_SOURCES: Final[tuple[Rule, ...]] = (
    rules.layer_breaks,
    rules.banned_names,
    rules.unexported,
    rules.mutable_globals,
    rules.length_breaks,
)
_OF_TESTS: Final[tuple[Rule, ...]] = (rules.length_breaks, rules.untold_tests)

Breaks = dict[Rule, list[str]]
Imports = dict[str, set[str]]


@pytest.fixture(scope="module")
def held() -> tuple[Breaks, Imports]:
    """The breaks of each rule, and what each module needs, from one look at each file."""
    found: Breaks = {rule: [] for rule in (*_OF_SOURCES, *_OF_TESTS)}
    graph: Imports = {}
    files = {_module(path): path for path in SOURCES}
    for path, applied in (*((path, _OF_SOURCES) for path in SOURCES), *((path, _OF_TESTS) for path in TESTS)):
        source = path.read_text(encoding="utf-8")
        for rule in applied:
            found[rule] += rule(source, _name(path))
        module = _module(path)
        if module in files:
            package = ("standby", *_name(path.parent).split("/"))
            needs = {_longest_known(name, files) for _, name in rules.imports(source, package)}
            graph[module] = {need for need in needs if need and need != module}
    return found, graph


@pytest.fixture
def breaks(held: tuple[Breaks, Imports]) -> Breaks:
    """The breaks of each rule in the tree."""
    return held[0]


def _all_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in _MADE
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name == ".ci")
        ]
        yield from (Path(folder, name) for name in files)


def test_there_is_something_to_hold() -> None:
    """The walk finds the sources and the tests, so that no rule holds for want of files."""
    assert {"proxy/exchange.py", "middlewares/failover.py"} <= set(map(_name, SOURCES))
    assert _name(Path(__file__)) in set(map(_name, TESTS))


def test_imports_run_one_way(breaks: Breaks) -> None:
    """Each room imports itself and the layers below its own; middlewares are imported by name only."""
    assert breaks[rules.layer_breaks] == []


def test_imports_run_in_no_circle(held: tuple[Breaks, Imports]) -> None:
    """No two modules need each other, not even inside one room or for types."""
    _, graph = held
    assert len(graph) == len(SOURCES)
    TopologicalSorter(graph).prepare()


def test_banned_names_stay_out(breaks: Breaks) -> None:
    """Neither BaseHTTPMiddleware nor plain httpx is used."""
    assert breaks[rules.banned_names] == []


def test_every_module_says_what_it_offers(breaks: Breaks) -> None:
    """Every module has an `__all__`, in order, of names it has."""
    assert breaks[rules.unexported] == []


def test_no_module_holds_state(breaks: Breaks) -> None:
    """No module global is mutable: two apps in one process share nothing by accident."""
    assert breaks[rules.mutable_globals] == []


def test_files_stay_short(breaks: Breaks) -> None:
    """A file past 400 lines says at its top why."""
    assert breaks[rules.length_breaks] == []


def test_every_test_states_its_rule(breaks: Breaks) -> None:
    """Every test function has a docstring."""
    assert breaks[rules.untold_tests] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    """The repository reads the same wherever it was written and wherever its packages come from."""
    found: list[str] = []
    for path in _all_files():
        try:
            found += rules.leaks(path.read_text(encoding="utf-8"), _name(path))
        except UnicodeDecodeError:
            continue
    assert "\n".join(found) == ""


def test_the_lock_is_one() -> None:
    """requirements.lock pins every package by version and hash and names no source."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert rules.lock_breaks(lock) == []
    assert "starlette==" in lock


@pytest.mark.parametrize("folder", ["middlewares", "proxy"])
def test_every_package_is_shipped(folder: str) -> None:
    """pyproject.toml lists every package of the tree, or an installed Standby would lack it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = {name for name in project["tool"]["setuptools"]["packages"] if name.split(".")[1] == folder}
    packages = {path.parent for path in SOURCES if _name(path).startswith(f"{folder}/")}

    assert listed == {f"standby.{_name(package).replace('/', '.')}" for package in packages}
    assert [_name(package) for package in packages if not (package / "__init__.py").is_file()] == []
    assert (ROOT / folder / "py.typed").is_file()
