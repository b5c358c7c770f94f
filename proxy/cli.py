"""The command line: `standby serve`, `check`, `explain`, `drill`, `demo`, `guard`, `keys` and `usage`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .budget.metering.price_card import lookup
from .config import Routes, differences, load_routes
from .errors import ConfigError, StandbyError
from .gateway import Gateway
from .guardrails.rules import Rule
from .ops import guard_command, live_check
from .ops.coverage import gaps
from .ops.describe import describe
from .ops.explain_command import add_options
from .ops.keys_command import add_commands
from .ops.ledger_totals import BY, grouping
from .ops.machine import check_machine
from .ops.usage_report import FORMATS, recorded, shown
from .ops.warnings import warnings
from .rehearsal.demo import demo
from .rehearsal.drill.command import add_options as add_drill_options
from .server import serve
from .server.logs import LogFormat, LogLevel, log_config
from .stores.store import StoreDown

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 on an error, 130 after Ctrl-C, 141 if nobody reads on.

    A server that cannot start, for example because its port is taken, exits with uvicorn's code 3.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except StandbyError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as of `standby check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="standby",
        description="An LLM gateway that makes provider failover a policy: readable, testable, traced.",
    )
    parser.add_argument("--version", action="version", version=f"standby {version('standby')}")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("serve", help="run the gateway as a process of its own")
    _add_routes_argument(run)
    _add_address_options(run)
    run.add_argument(
        "--workers",
        type=_worker_count,
        default=1,
        help="processes that share the port (default: %(default)s)",
    )
    _add_log_options(run)
    run.set_defaults(run=_serve)

    check = commands.add_parser(
        "check", help="say what a configuration does, or everything that is wrong with it"
    )
    _add_routes_argument(check)
    check.add_argument(
        "--diff",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="say instead what changes from one configuration to another, for which pools and keys",
    )
    check.add_argument(
        "--elsewhere",
        action="store_true",
        help="only warn of what this machine lacks, for a file that another one will serve",
    )
    check.add_argument(
        "--live",
        action="store_true",
        help="also ask each target for tiny answers (plain, stream, tools, JSON schema); needs --yes",
    )
    check.add_argument("--yes", action="store_true", help="send what --live sends, which costs money")
    check.set_defaults(run=_check)

    explain = commands.add_parser("explain", help="say where a request would go, and why; nothing is sent")
    _add_routes_argument(explain)
    add_options(explain)

    rehearse = commands.add_parser(
        "drill", help="rehearse every outage with simulated providers; nothing of yours is touched"
    )
    _add_routes_argument(rehearse)
    add_drill_options(rehearse)

    show = commands.add_parser("demo", help="run the gateway with three simulated providers to play with")
    _add_address_options(show)
    show.set_defaults(run=_demo)

    guard = commands.add_parser("guard", help="try the guardrails on a text")
    guard_command.add_commands(guard, _guardrails)
    add_commands(commands.add_parser("keys", help="make, list and change the keys that callers show"))
    _usage_parser(commands.add_parser("usage", help="say who used what, and what it cost, from the ledger"))
    return parser


def _guardrails(file: str) -> tuple[Routes, Sequence[Rule], int]:
    gateway = Gateway(file)
    middleware: Any = gateway.middleware("guardrails")
    return (
        (gateway.routes, (), 0) if middleware is None else (gateway.routes, middleware.rules, middleware.hold)
    )


def _usage_parser(parser: argparse.ArgumentParser) -> None:
    _add_routes_argument(parser)
    parser.add_argument(
        "--by",
        type=_grouping,
        default=("key",),
        metavar="NAME[,NAME]",
        help=f"what to tell apart: {', '.join(BY)} (default: key)",
    )
    parser.add_argument(
        "--since", default="24h", metavar="TIME", help='"24h", "7d", or a date (default: %(default)s)'
    )
    parser.add_argument("--until", metavar="TIME", help="the same (default: now)")
    parser.add_argument(
        "--timezone", type=_time_zone, default="UTC", metavar="ZONE", help="of dates and days (default: UTC)"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", dest="style", help="(default: %(default)s)"
    )
    parser.set_defaults(run=_usage)


def _add_routes_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "routes", nargs="?", default="routes.toml", help="the configuration (default: %(default)s)"
    )


def _add_address_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="port to listen on (default: %(default)s)")


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level", choices=get_args(LogLevel), default="info", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--log-format", choices=get_args(LogFormat), default="text", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--no-access-log",
        action="store_false",
        dest="access_log",
        help="log only requests that failed or broke off",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return int(text)


def _worker_count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _check(options: argparse.Namespace) -> int:
    if options.diff is not None:
        before, after = (_looked_at(file).routes for file in options.diff)
        print(differences(before, after))
        return 0
    gateway = _looked_at(options.routes)
    lines = warnings(gateway.routes)
    try:
        check_machine(gateway.routes, gateway.store)
    except ConfigError as error:
        if not options.elsewhere:
            raise
        lines += [f"`standby serve` would refuse this here: {problem}" for problem in error.problems]
    print(describe(gateway.routes))
    if lines:
        print("\n".join(("", *(f"warning: {line}" for line in lines))))
    if unprotected := gaps(gateway.routes):
        print("\n".join(("", *(f"unprotected: {line}" for line in unprotected))))
    return _check_live(options) if options.live else 0


def _check_live(options: argparse.Namespace) -> int:
    routes = load_routes(options.routes, prices=lookup)
    requests = live_check.trials(routes)
    print(f"\n{live_check.cost_of(requests)}")
    if not options.yes:
        print("nothing was sent; add --yes to send them")
        return 1
    asyncio.run(live_check.run_trials(routes, requests))
    print(live_check.shown(requests))
    return 1 if any(trial.problem for trial in requests) else 0


def _looked_at(file: str) -> Gateway:
    """The gateway of a file that is not served: it needs no keys, nor the machine on which it will be."""
    return Gateway(load_routes(file, prices=lookup, lenient=True))


def _serve(options: argparse.Namespace) -> int:
    # Load it before any worker starts, so that errors are printed once.
    routes = Gateway(options.routes).routes
    logs = log_config(options.log_level, options.log_format, access=options.access_log)
    return serve(routes, host=options.host, port=options.port, workers=options.workers, logs=logs)


def _usage(options: argparse.Namespace) -> int:
    routes = load_routes(options.routes, prices=lookup, lenient=True)
    try:
        totals = asyncio.run(recorded(routes, options.by, options.timezone, options.since, options.until))
    except (StoreDown, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(shown(totals, options.style), end="")
    return 0


def _grouping(text: str) -> tuple[str, ...]:
    try:
        return grouping(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f'{text!r} is no time zone; write "Europe/Paris"') from None


def _demo(options: argparse.Namespace) -> int:
    return demo(host=options.host, port=options.port)
