"""Loading of `routes.toml`: a file or text becomes `Routes`, and the table of a stored key becomes `Key`."""

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
from .operations import Admin, Alerts, Decisions
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

_TWICE: Final = re.compile(r"[Cc]annot declare (\(.*\)) twice")
_UNQUOTED: Final = re.compile(r"([A-Za-z_][\w-]*)\s*=\s*([0-9][0-9.]*(?:ms|s|m|h|B|KiB|MiB|GiB))\b")
"""A duration or a size without quotes, which is no TOML."""
_SYNTAX: Final = re.compile(r"(.*) \(at (?:line (\d+), (column \d+)|end of document)\)", re.DOTALL)


PriceLookup: TypeAlias = Callable[[Target], Card | None]
"""Returns the price card of a target without a price, or None. Its only I/O is to read installed files."""


def load_routes(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] | None = os.environ,
    prices: PriceLookup | None = None,
    *,
    lenient: bool = False,
) -> Routes:
    """Load a configuration file. Raises `ConfigError` with all problems of the file.

    `environ` has the secrets of the form "env:NAME"; if it is None, no secret is looked up, in files neither,
    and the routes can be looked at but not served. `prices` returns the cards of targets without a price.
    With `lenient`, secrets of providers, `[admin]` and `[alerts]` may be missing, for commands without need.
    """
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
    return parse_routes(source, file, environ, prices=prices, lenient=lenient)


def parse_routes(
    text: str,
    file: str = "routes.toml",
    environ: Mapping[str, str] | None = os.environ,
    folder: Path | None = None,
    prices: PriceLookup | None = None,
    *,
    lenient: bool = False,
) -> Routes:
    """Load a configuration from its text. `file` is its name in messages.

    Only secrets are read from elsewhere: from `environ`, and from files relative to `folder`, by default the
    folder of `file`. `prices` and `lenient` are those of `load_routes`. Raises `ConfigError` with all
    problems of the text.
    """
    document = _document(text, file)
    report = Report(file, text)
    folder = Path(file).parent if folder is None else folder
    tables: dict[str, Mapping[str, Table | None]] = {}
    around = Surroundings(environ, folder, tables, lenient)
    store = read_store(report, document, around)
    tables["providers"] = providers = _section(report, document, Provider, around)
    targets = _section(report, document, Target, around)
    cards = _looked_up(targets, prices)
    tables["targets"] = targets = {**targets, **_priced(targets, cards)}
    tables["pools"] = pools = _section(report, document, Pool, around)
    if not document.get("pools"):
        report.add(("pools",), "there must be at least one pool", "write [pools.NAME]")
    check_served(report, document, _valid(pools))
    tables["organisations"] = organisations = _section(report, document, Organisation, around)
    tables["teams"] = teams = _section(report, document, Team, around)
    tables["users"] = users = _section(report, document, User, around)
    keys = _section(report, document, Key, around)
    stack, settings = read_stack(report, document)
    routes = Routes(
        *(file, text, stack, _valid(providers), _valid(targets), _valid(pools), settings),
        store=store,
        organisations=_valid(organisations),
        teams=_valid(teams),
        users=_valid(users),
        keys=_valid(keys),
        cards=MappingProxyType(cards),
        admin=_single(report, document, Admin, around),
        alerts=_single(report, document, Alerts, around),
        decisions=_single(report, document, Decisions, around),
        lenient=lenient,
    )
    check_hashes(report, routes)
    check_effect(report, routes)
    check_prices(report, routes)
    report.finish()
    return routes


def stored_key(routes: Routes, name: str, table: Mapping[str, Any], *, strict: bool = False) -> Key:
    """Returns the key `name` that a store holds as `table`, in the form of a table `[keys.NAME]`.

    Raises ConfigError if the key is invalid in this configuration, for example if its team does not exist.
    Pools, regions and providers that do not exist are ignored and grant nothing. With `strict`, for new keys,
    they are errors, as is anything that would make the file invalid if the key were in it.
    """
    tables: dict[str, Mapping[str, object]]
    tables = {"organisations": routes.organisations, "teams": routes.teams, "users": routes.users}
    if strict:
        tables |= {"pools": routes.pools, "providers": routes.providers}
    report = Report(routes.file, "")
    keys = _section(report, {"keys": {name: table}}, Key, Surroundings({}, routes.folder, tables))
    if strict and not report.problems:
        combined = replace(routes, keys=_valid(keys))
        check_hashes(report, combined)
        check_effect(report, combined)
        check_prices(report, combined)
    report.finish()
    return _valid(keys)[name]


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(file, None, "", "nested too deeply")
    except ValueError as error:
        problem = _syntax(str(error), text, file)
    raise ConfigError([problem])


def _syntax(message: str, text: str, file: str) -> Problem:
    """Returns the problem for a TOML syntax error. Its line is parsed from tomllib's message."""
    match = _SYNTAX.fullmatch(message)
    if match is None:
        return Problem(file, None, "", "not TOML: a number is too large")
    reason, line, column = match.groups()
    written = text.splitlines()[int(line) - 1] if line is not None else ""
    if (twice := _TWICE.search(reason)) is not None:
        name = ".".join(re.findall(r"'([^']*)'", twice[1]))
        return Problem(file, int(line or 0), "", f"[{name}] is in the file twice", "write each table once")
    if (unquoted := _UNQUOTED.search(written)) is not None:
        key, value = unquoted.groups()
        hint = f'did you mean {key} = "{value}"?'
        return Problem(file, int(line or 0), key, "a duration or size is text", hint)
    message = f"not TOML: {reason[:1].lower()}{reason[1:]}"
    if line is None:
        return Problem(file, text.rstrip("\n").count("\n") + 1, "", f"{message}, at the end of the file")
    return Problem(file, int(line), "", f"{message}, at {column}")


def _section(
    report: Report, document: Mapping[str, Any], kind: type[T], around: Surroundings
) -> Mapping[str, T | None]:
    """Validate all tables of one kind and return them by name, with None for an invalid table."""
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


def _single(report: Report, document: Mapping[str, Any], kind: type[T], around: Surroundings) -> T | None:
    """Validate a table of which there is at most one. Returns None if it is missing or invalid."""
    title = kind.__name__.lower()
    table = document.get(title)
    if table is None:
        return None
    if not isinstance(table, dict):
        report.add((title,), "must be a table", f"write [{title}]")
        return None
    raw = cast("dict[str, Any]", table)
    try:
        return kind.model_validate_json(
            as_json(raw), strict=True, context=around, by_alias=True, by_name=False
        )
    except ValidationError as error:
        report.take(error, kind, (title,), raw)
    return None


def _valid(section: Mapping[str, T | None]) -> Mapping[str, T]:
    """Returns the valid tables of a section."""
    return MappingProxyType({name: table for name, table in section.items() if table is not None})


def _looked_up(targets: Mapping[str, Target | None], prices: PriceLookup | None) -> dict[str, Card]:
    """Returns the looked-up price cards of the targets without a price, by target."""
    unpriced = (target for target in targets.values() if target is not None and target.price is None)
    tables = ((target.name, prices(target)) for target in unpriced) if prices is not None else ()
    return {name: card for name, card in tables if card is not None}


def _priced(targets: Mapping[str, Target | None], cards: Mapping[str, Card]) -> dict[str, Target]:
    """Returns copies of the targets in `cards` with the price of the card."""
    tables = ((card, targets[name]) for name, card in cards.items())
    return {
        target.name: target.model_copy(update={"price": card.price})
        for card, target in tables
        if target is not None
    }
