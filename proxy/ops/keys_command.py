"""The command `standby keys`: creates, lists, shows and changes virtual keys."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, get_args

import orjson

from ..budget.metering.price_card import lookup
from ..config import BUILT_IN, BudgetUnit, Limits, Routes, Secret, WindowName, imported, load_routes, settings
from ..config.storage import MEMORY
from ..keys.key_store import KeyStore, Made, Shown
from ..stores.address import open_store
from .columns import columns
from .toml import inline, table

__all__ = ["add_commands"]

_UNITS: Final = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800})
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_BUDGET: Final = re.compile(
    rf"([0-9.]+)(?: ?({'|'.join(each for each in get_args(BudgetUnit) if each != 'cost')}))?"
    rf"/({'|'.join(get_args(WindowName))})"
)
_PARENTS: Final = ("user", "team", "organisation")
_RATES: Final = ", ".join(Limits.model_fields)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `standby keys` to its parser."""
    commands = parser.add_subparsers(required=True, metavar="command")
    create = _command(commands, "create", "make a key and print it, once", _create)
    create.add_argument("name", help="what the key is called, in the ledger too")
    _add_grant_options(create)
    _command(commands, "list", "say which keys there are", _list)
    _command(commands, "show", "say what one key may do", _show).add_argument("name")
    disable = _command(commands, "disable", "keep a key from working", _disable)
    disable.add_argument("name")
    disable.add_argument("--undo", action="store_true", help="let it work again")
    rotate = _command(commands, "rotate", "make a new secret for a key and print it, once", _rotate)
    rotate.add_argument("name")
    rotate.add_argument(
        "--overlap", type=_span, default="24h", metavar="TIME",
        help='how long the old secret still works: "0s", "15m", "24h", "7d" (default: %(default)s)',
    )  # fmt: skip
    _command(commands, "delete", "forget a key; the ledger keeps what it used", _delete).add_argument("name")


def _command(
    commands: Any, name: str, purpose: str, act: Callable[[KeyStore, argparse.Namespace], Any]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose)
    parser.add_argument(
        "--routes", default="routes.toml", metavar="FILE", help="the configuration (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_run, act=act)
    return parser


def _add_grant_options(parser: argparse.ArgumentParser) -> None:
    listed: dict[str, Any] = {"type": _comma_separated, "metavar": "NAME[,NAME]"}
    parser.add_argument("--pools", required=True, **listed, help='the pools it may use; "*" for all')
    parser.add_argument("--regions", **listed, help="where its data may go (default: anywhere)")
    parser.add_argument("--providers", **listed, help="to whom its data may go (default: anybody)")
    parser.add_argument(
        "--ips", type=_comma_separated, metavar="NETWORK", help="where callers may be (default: anywhere)"
    )
    parent = parser.add_mutually_exclusive_group()
    for kind in _PARENTS:
        parent.add_argument(f"--{kind}", metavar="NAME", help=f"the {kind} of routes.toml that it belongs to")
    parser.add_argument(
        "--expires", type=_moment, metavar="TIME", help='"90d", or "2030-01-31T12:00:00Z" (default: never)'
    )
    parser.add_argument(
        "--budget", type=_budget, action="append", metavar="AMOUNT/WINDOW",
        help='"50.00/month" in dollars, "1000 requests/day"; may be given again',
    )  # fmt: skip
    parser.add_argument("--timezone", metavar="ZONE", help="of its budgets (default: UTC)")
    parser.add_argument(
        "--limit", type=_limit, action="append", metavar="NAME=NUMBER", help=f"one of {_RATES}"
    )
    parser.add_argument(
        "--metadata", type=_pair, action="append", metavar="NAME=TEXT", help="for you to read"
    )


def _run(options: argparse.Namespace) -> int:
    routes = load_routes(options.routes, prices=lookup, lenient=True)
    return asyncio.run(_act(routes, options))


async def _act(routes: Routes, options: argparse.Namespace) -> int:
    async with aclosing(open_store(routes.store, routes.folder)) as store:
        await options.act(KeyStore(routes, store, _pepper(routes)), options)
    return 0


def _pepper(routes: Routes) -> str | None:
    """Returns the pepper with which Auth hashes keys, or None if it is not configured."""
    if "auth" not in routes.stack:
        return None
    given = settings(
        imported(BUILT_IN["auth"]), routes.tables["auth"], file=routes.file, source=routes.source, name="auth"
    )
    pepper: Secret | None = given.get("pepper")
    return pepper.reveal() if pepper is not None else None


async def _create(keys: KeyStore, options: argparse.Namespace) -> None:
    made = await keys.create(options.name, _table(options))
    _print_secret(keys, made, options, f"This is the key {options.name}, shown this once.")


async def _rotate(keys: KeyStore, options: argparse.Namespace) -> None:
    made = await keys.rotate(options.name, options.overlap)
    _print_secret(keys, made, options, f"This is the new secret of {options.name}, shown this once.")


def _print_secret(keys: KeyStore, made: Made, options: argparse.Namespace, message: str) -> None:
    """Print the secret to stdout, and the message to stderr.

    If the store cannot keep the key, the TOML table to paste into the configuration follows the secret.
    """
    name, record = made.record.name, made.record
    in_file = keys.routes.store == MEMORY or name in keys.routes.keys
    hashes = list(record.hashes)
    written: dict[str, Any] = {"hash": hashes[0] if len(hashes) == 1 else hashes, **record.table}
    if isinstance(written.get("expires"), str):  # TOML has a date-time type, so it must not be a string
        written["expires"] = datetime.fromisoformat(written["expires"])
    if options.json:
        _print_json({"key": made.secret, "name": name, "kept": not in_file, **written})
        return
    print(made.secret)
    if in_file:
        print(f"\n{table(('keys', name), written)}", end="")
        message += f" It works once {keys.routes.file} holds the table above."
    else:
        message += " Running gateways know it at once; what changed, within 5 seconds."
    print(message, file=sys.stderr)


async def _list(keys: KeyStore, options: argparse.Namespace) -> None:
    all_keys = await keys.all()
    if options.json:
        _print_json([_document(key) for key in all_keys])
        return
    rows = [("NAME", "STATE", "POOLS", "BELONGS TO", "EXPIRES", "KEPT IN")]
    rows += [
        (
            key.name,
            key.state,
            ",".join(key.table.get("pools", ())),
            next((f"{kind} {key.table[kind]}" for kind in _PARENTS if kind in key.table), "-"),
            str(key.table.get("expires", "-")),
            key.source,
        )
        for key in all_keys
    ]
    print("\n".join(columns(rows)))


async def _show(keys: KeyStore, options: argparse.Namespace) -> None:
    shown = await keys.show(options.name)
    if options.json:
        _print_json(_document(shown))
        return
    print(f"{shown.name}: {shown.state}, kept in {shown.source}")
    if shown.created:
        print(f"created    {_date(shown.created)}")
    for digest, ends in shown.hashes.items():
        print(f"hash       {digest}{f', until {_date(ends)}' if ends is not None else ''}")
    for name, value in shown.table.items():
        print(f"{name:9}  {inline(value)}")


async def _disable(keys: KeyStore, options: argparse.Namespace) -> None:
    await keys.disable(options.name, disabled=not options.undo)
    _done(options, "active" if options.undo else "disabled")


async def _delete(keys: KeyStore, options: argparse.Namespace) -> None:
    await keys.delete(options.name)
    _done(options, "deleted")


def _done(options: argparse.Namespace, state: str) -> None:
    if options.json:
        _print_json({"name": options.name, "state": state})
    else:
        print(f"{options.name}: {state}; running gateways know within 5 seconds")


def _document(shown: Shown) -> dict[str, Any]:
    hashes = {digest: ends and _date(ends) for digest, ends in shown.hashes.items()}
    about = {"name": shown.name, "state": shown.state, "kept_in": shown.source}
    created = {"created": _date(shown.created)} if shown.created else {}
    return {**about, **created, "hashes": hashes, **shown.table}


def _print_json(document: object) -> None:
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _table(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the content of `[keys.NAME]` without the hash. Options that were not given are left out."""
    given: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("pools", "regions", "providers", "ips", *_PARENTS, "expires")
    }
    zone = {"timezone": options.timezone} if options.timezone else {}
    given["budget"] = [{**budget, **zone} for budget in options.budget or ()]
    given["limits"] = dict(options.limit or ())
    given["metadata"] = dict(options.metadata or ())
    return {name: value for name, value in given.items() if value}


def _comma_separated(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _span(text: str) -> float:
    """Returns the seconds of a time span such as "15m"."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no span of time; write "0s", "15m", "24h" or "7d"')
    return float(int(match[1]) * _UNITS[match[2]])


def _moment(text: str) -> str:
    """Returns a time as the store keeps it: ISO 8601 text. A span such as "90d" is added to now."""
    if _SPAN.fullmatch(text):
        return (datetime.now(UTC) + timedelta(seconds=_span(text))).isoformat(timespec="seconds")
    return text


def _budget(text: str) -> dict[str, Any]:
    match = _BUDGET.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no budget; write "50.00/month" or "1000 requests/day"')
    amount, unit, window = match.groups()
    if unit is None:
        return {"limit": amount, "window": window}
    if not amount.isdecimal():
        raise argparse.ArgumentTypeError(f"{unit} are counted in whole numbers")
    return {"unit": unit, "limit": int(amount), "window": window}


def _limit(text: str) -> tuple[str, int]:
    name, number = _pair(text)
    if not (number.isascii() and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no limit; write requests_per_minute=600")
    return name, int(number)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is no pair; write NAME=VALUE")
    return name, value
