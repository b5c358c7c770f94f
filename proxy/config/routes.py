"""`routes.toml`, read and resolved: who is served, by which targets, through which middlewares."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, cast

from pydantic import ValidationError

from ..errors import ConfigError, Problem
from .chain import read_stack
from .report import Report
from .settings import as_json
from .tables import Pool, Provider, Table, Target
from .values import KeyPath, Surroundings, quoted

__all__ = ["Routes"]

T = TypeVar("T", bound=Table)

_SYNTAX: Final = re.compile(r"(.*) \(at (?:line (\d+), (column \d+)|end of document)\)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Routes:
    """One configuration, complete and checked. It never changes; a reload makes another."""

    file: str
    source: str = field(repr=False)
    """The text of the file, so that what is validated later can still name its line."""
    stack: tuple[str, ...]
    """Names of middlewares, outermost first."""
    providers: Mapping[str, Provider] = field(repr=False)
    targets: Mapping[str, Target] = field(repr=False)
    pools: Mapping[str, Pool] = field(repr=False)
    tables: Mapping[str, Mapping[str, object]] = field(repr=False)
    """The table of each middleware of the stack, and of "hygiene", as written; empty when there is none."""
    _served: Mapping[str, Pool] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        served = {name: pool for pool in self.pools.values() for name in pool.serves}
        object.__setattr__(self, "_served", MappingProxyType(served))

    def pool_for(self, model: str) -> Pool | None:
        """The pool that serves exactly this name."""
        return self._served.get(model)

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        """The error for what turns out wrong later, when the stack is built, with the value at `path`."""
        report = Report(self.file, self.source)
        report.add(path, message, hint)
        return ConfigError(report.problems)

    @classmethod
    def load(cls, path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Self:
        """Read a file. Raises `ConfigError` with everything that is wrong."""
        file = os.fspath(path)
        problem = None
        source = ""
        try:
            source = Path(path).read_bytes().decode("utf-8-sig")
        except OSError as error:
            problem = Problem(file, None, "", f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            problem = Problem(file, line, "", "not UTF-8 text")
        if problem is not None:
            raise ConfigError([problem])
        return cls.parse(source, file, environ)

    @classmethod
    def parse(
        cls,
        text: str,
        file: str = "routes.toml",
        environ: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> Self:
        """Read a text. Only secrets are looked up outside it: in `environ`, and in files under `folder`.

        `folder` defaults to the one that holds `file`. Raises `ConfigError` with everything that is wrong.
        """
        document = _document(text, file)
        report = Report(file, text)
        folder = Path(file).parent if folder is None else folder
        providers = _section(report, document, Provider, Surroundings(environ, folder))
        targets = _section(report, document, Target, Surroundings(environ, folder, providers))
        pools = _section(report, document, Pool, Surroundings(environ, folder, providers, targets))
        if not document.get("pools"):
            report.add(("pools",), "there must be at least one pool", "write [pools.NAME]")
        _check_served(report, document, _complete(pools))
        stack, tables = read_stack(report, document)
        report.finish()
        return cls(file, text, stack, _complete(providers), _complete(targets), _complete(pools), tables)


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(file, None, "", "nested too deeply")
    except ValueError as error:
        problem = _syntax(str(error), text, file)
    raise ConfigError([problem])


def _syntax(said: str, text: str, file: str) -> Problem:
    """Say where the syntax breaks; tomllib tells it in words only."""
    match = _SYNTAX.fullmatch(said)
    if match is None:
        return Problem(file, None, "", "not TOML: a number is too large")
    what, line, column = match.groups()
    message = f"not TOML: {what[:1].lower()}{what[1:]}"
    if line is None:
        return Problem(file, text.rstrip("\n").count("\n") + 1, "", f"{message}, at the end of the file")
    return Problem(file, int(line), "", f"{message}, at {column}")


def _section(
    report: Report, document: Mapping[str, Any], kind: type[T], around: Surroundings
) -> Mapping[str, T | None]:
    """Validate every table of one kind; None stands for one that is wrong."""
    title = f"{kind.__name__.lower()}s"
    found: dict[str, T | None] = {}
    section = document.get(title, {})
    if not isinstance(section, dict):
        report.add((title,), "must be a table", f"write [{title}.NAME]")
        return found
    for name, table in cast("dict[str, object]", section).items():
        found[name] = None
        if not isinstance(table, dict):
            report.add((title, name), "must be a table", f"write [{title}.NAME]")
            continue
        raw = cast("dict[str, Any]", table)
        if "name" in raw:
            report.add((title, name, "name"), "unknown key", f"the name stands in [{title}.NAME]")
        try:
            found[name] = kind.model_validate_json(
                as_json({**raw, "name": name}), strict=True, context=around, by_alias=True, by_name=False
            )
        except ValidationError as error:
            report.take(error, kind, (title, name), {key: raw[key] for key in raw if key != "name"})
    return found


def _complete(section: Mapping[str, T | None]) -> Mapping[str, T]:
    return MappingProxyType({name: table for name, table in section.items() if table is not None})


def _check_served(report: Report, document: Mapping[str, Any], pools: Mapping[str, Pool]) -> None:
    owners: dict[str, str] = {}
    for pool in pools.values():
        for i, name in enumerate(pool.serves):
            owner = owners.setdefault(name, pool.name)
            if owner != pool.name:
                own = "serves" in document["pools"][pool.name]
                at = ("pools", pool.name, "serves", i) if own else ("pools", pool.name)
                message = f"{quoted(name)} is served by pools {quoted(owner)} and {quoted(pool.name)}"
                report.add(at, message, "a name leads to one pool")
