"""The command line: `standby serve`, `standby check`, `standby demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .config import describe
from .errors import ConfigError
from .rehearsal.demo import demo
from .server import serve
from .stack import Gateway

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 1 if the configuration cannot be used.

    A server that cannot start, as its port is taken, ends the process with uvicorn's own code 3.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="standby",
        description="An LLM gateway that makes provider failover a policy: readable, testable, traced.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("serve", help="run the gateway as a process of its own")
    _takes_routes(run)
    _takes_address(run)
    run.add_argument(
        "--workers", type=_count, default=1, help="processes that share the port (default: %(default)s)"
    )
    run.set_defaults(run=_serve)

    check = commands.add_parser(
        "check", help="say what a configuration does, or everything that is wrong with it"
    )
    _takes_routes(check)
    check.set_defaults(run=_check)

    show = commands.add_parser("demo", help="run the gateway with three simulated providers to play with")
    _takes_address(show)
    show.set_defaults(run=_demo)
    return parser


def _takes_routes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "routes", nargs="?", default="routes.toml", help="the configuration (default: %(default)s)"
    )


def _takes_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _check(options: argparse.Namespace) -> int:
    gateway = Gateway(options.routes)
    print(describe(gateway.routes))
    return 0


def _serve(options: argparse.Namespace) -> int:
    # Before any worker starts: what is wrong is said once.
    routes = Gateway(options.routes).routes
    return serve(routes, host=options.host, port=options.port, workers=options.workers)


def _demo(options: argparse.Namespace) -> int:
    return demo(host=options.host, port=options.port)
