"""`standby drill`: the command line of a drill."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from ...budget.metering.price_card import lookup
from ...config import Routes, load_routes, nearest
from ...errors import StandbyError
from ...ops.coverage import gaps
from ...ops.warnings import warnings
from .matrix import cells, left_out, run
from .page import as_html
from .record import Record
from .replacement import replaced
from .reports import as_junit, as_markdown, as_text
from .scenarios import SCENARIOS
from .summary import Drill

__all__ = ["add_options", "drill"]

_SEEDS: Final = 1_000_000


class DrillError(StandbyError):
    """The options cannot be followed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--pool", action="append", default=[], metavar="NAME", help="only this pool; repeatable"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only this outage; repeatable: {', '.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="NAME", help="only this key; repeatable"
    )
    parser.add_argument("--seed", type=int, help="the order of the cells (default: another each time)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--ci", action="store_true", help="print a page of Markdown, for a pull request")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit's XML")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots and evidence")
    parser.set_defaults(run=drill)


def drill(options: argparse.Namespace) -> int:
    """Run a drill. Returns 1 if a promise broke, else 0."""
    routes = load_routes(options.routes, environ=None, prices=lookup, lenient=True)  # no secret is needed
    if "failover" not in routes.stack:
        raise DrillError("there is nothing to rehearse: add failover to the stack")
    _check_names(routes, options)
    _check_files(options)
    seed: int = random.randrange(_SEEDS) if options.seed is None else options.seed
    todo = cells(routes, pools=options.pool, faults=options.fault, keys=options.key)
    if not todo:
        raise DrillError("there is nothing to try: " + "; ".join(left_out(routes, todo)))
    began = time.monotonic()
    with _quiet(), _Progress(len(todo)) as progress:
        records = asyncio.run(run(routes, todo, seed=seed, done=progress))
    made = Drill.of(
        records,
        file=routes.file,
        replaced=replaced(routes),
        left_out=left_out(routes, todo) if not (options.pool or options.fault or options.key) else (),
        gaps=[*(line for line in warnings(routes) if line.startswith("pool ")), *gaps(routes)],
        seed=seed,
        seconds=time.monotonic() - began,
    )
    if options.json:
        print(json.dumps(made.as_json(), indent=1))
    else:
        print(as_markdown(made) if options.ci else as_text(made), end="" if options.ci else "\n")
    _write(options.junit, as_junit(made))
    _write(options.html, as_html(made))
    return 0 if made.kept else 1


def _check_names(routes: Routes, options: argparse.Namespace) -> None:
    known: Sequence[tuple[str, Sequence[str], Mapping[str, object]]] = (
        ("pool", options.pool, routes.pools),
        ("fault", options.fault, SCENARIOS),
        ("key", options.key, routes.keys),
    )
    for what, names, there in known:
        for name in names:
            if name not in there:
                meant = nearest(name, there)
                hint = f"; did you mean {meant!r}?" if meant else ""
                raise DrillError(f"there is no {what} {name!r}{hint}")


def _check_files(options: argparse.Namespace) -> None:
    """Refuse now what could not be written after the drill."""
    for file in (options.junit, options.html):
        if file is None:
            continue
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise DrillError(f"{file} cannot be written; choose a file in a directory that is there")


def _write(file: Path | None, report: str) -> None:
    if file is None:
        return
    try:
        file.write_text(report, encoding="utf-8")
    except OSError as error:
        raise DrillError(f"{file} cannot be written: {error.strerror}") from error


class _Progress:
    """A line on a terminal that counts the cells that are over."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._over = 0
        self._broken = 0
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows:
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)

    def __call__(self, record: Record) -> None:
        self._over += 1
        self._broken += not record.kept
        if self._shows:
            words = f"{self._over} of {self._total} cells, {self._broken} broken"
            print(f"\r{words}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Log nothing meanwhile: every outage of the drill would be in the log."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
