"""How `routes.toml` is read: from a file or a text to `Routes`, and from a store's table to a key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast

from pydantic import ValidationError

from ..errors import ConfigError, Problem
from .agreement import check_effect, check_hashes, check_prices, check_served
from .chain import read_stack
from .pools import Pool
from .price import Card
from .report import Report
from .routes import Routes
from .scopes import Key, Organisation, Team, User
from .settings import as_json
from .storage import read_store
from .table import Table
from .tables import Provider, Target
from .values import Surroundings

__all__ = ["PriceLookup", "load_routes", "parse_routes", "stored_key"]

T = TypeVar("T", bound=Table)

_SYNTAX: Final = re.compile(r"(.*) \(at (?:line (\d+), (column \d+)|end of document)\)", re.DOTALL)


PriceLookup: TypeAlias = Callable[[Target], Card | None]
"""Finds the card of a target that has none, without any I/O but the reading of what is installed."""


def load_routes(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] = os.environ,
    prices: PriceLookup | None = None,
) -> Routes:
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
    return parse_routes(source, file, environ, prices=prices)


def parse_routes(
    text: str,
    file: str = "routes.toml",
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    prices: PriceLookup | None = None,
) -> Routes:
    """Read a text. Only secrets are looked up outside it: in `environ`, and in files under `folder`.

    `folder` defaults to the one that holds `file`. `prices` finds the cards of targets without a price.
    Raises `ConfigError` with everything that is wrong.
    """
    document = _document(text, file)
    report = Report(file, text)
    folder = Path(file).parent if folder is None else folder
    tables: dict[str, Mapping[str, Table | None]] = {}
    around = Surroundings(environ, folder, tables)
    store = read_store(report, document, around)
    tables["providers"] = providers = _section(report, document, Provider, around)
    targets = _section(report, document, Target, around)
    cards = _looked_up(targets, prices)
    tables["targets"] = targets = {**targets, **_priced(targets, cards)}
    tables["pools"] = pools = _section(report, document, Pool, around)
    if not document.get("pools"):
        report.add(("pools",), "there must be at least one pool", "write [pools.NAME]")
    check_served(report, document, _complete(pools))
    tables["organisations"] = organisations = _section(report, document, Organisation, around)
    tables["teams"] = teams = _section(report, document, Team, around)
    tables["users"] = users = _section(report, document, User, around)
    keys = _section(report, document, Key, around)
    stack, settings = read_stack(report, document)
    routes = Routes(
        *(file, text, stack, _complete(providers), _complete(targets), _complete(pools), settings),
        store=store,
        organisations=_complete(organisations),
        teams=_complete(teams),
        users=_complete(users),
        keys=_complete(keys),
        cards=MappingProxyType(cards),
    )
    check_hashes(report, routes)
    check_effect(report, routes)
    check_prices(report, routes)
    report.finish()
    return routes


def stored_key(routes: Routes, name: str, table: Mapping[str, Any], *, strict: bool = False) -> Key:
    """The key that a store keeps as `table`, which is what `[keys.NAME]` would hold.

    Raises ConfigError for one that is not valid here, as it names a team that this file has not. Pools,
    regions and providers that are gone from this file grant nothing; a new key is `strict`: they are
    errors, and so is whatever would make this file not load if the key stood in it.
    """
    tables: dict[str, Mapping[str, object]]
    tables = {"organisations": routes.organisations, "teams": routes.teams, "users": routes.users}
    if strict:
        tables |= {"pools": routes.pools, "providers": routes.providers}
    report = Report(routes.file, "")
    keys = _section(report, {"keys": {name: table}}, Key, Surroundings({}, routes.folder, tables))
    if strict and not report.problems:
        whole = replace(routes, keys=_complete(keys))
        check_hashes(report, whole)
        check_effect(report, whole)
        check_prices(report, whole)
    report.finish()
    return _complete(keys)[name]


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(file, None, "", "nested too deeply")
    except ValueError as error:
        problem = _syntax(str(error), text, file)
    raise ConfigError([problem])


def _syntax(message: str, text: str, file: str) -> Problem:
    """Say where the syntax breaks; tomllib tells it in words only."""
    match = _SYNTAX.fullmatch(message)
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
    tables: dict[str, T | None] = {}
    section = document.get(title, {})
    if not isinstance(section, dict):
        report.add((title,), "must be a table", f"write [{title}.NAME]")
        return tables
    for name, table in cast("dict[str, object]", section).items():
        tables[name] = None
        if not isinstance(table, dict):
            report.add((title, name), "must be a table", f"write [{title}.NAME]")
            continue
        raw = cast("dict[str, Any]", table)
        if "name" in raw:
            report.add((title, name, "name"), "unknown key", f"the name stands in [{title}.NAME]")
        try:
            tables[name] = kind.model_validate_json(
                as_json({**raw, "name": name}), strict=True, context=around, by_alias=True, by_name=False
            )
        except ValidationError as error:
            report.take(error, kind, (title, name), {key: raw[key] for key in raw if key != "name"})
    return tables


def _complete(section: Mapping[str, T | None]) -> Mapping[str, T]:
    return MappingProxyType({name: table for name, table in section.items() if table is not None})


def _looked_up(targets: Mapping[str, Target | None], prices: PriceLookup | None) -> dict[str, Card]:
    unpriced = (target for target in targets.values() if target is not None and target.price is None)
    tables = ((target.name, prices(target)) for target in unpriced) if prices is not None else ()
    return {name: card for name, card in tables if card is not None}


def _priced(targets: Mapping[str, Target | None], cards: Mapping[str, Card]) -> dict[str, Target]:
    tables = ((card, targets[name]) for name, card in cards.items())
    return {
        target.name: target.model_copy(update={"price": card.price})
        for card, target in tables
        if target is not None
    }
