"""`make bench`: what a request and a streamed chunk cost, beside nginx and beside a bare pass-through."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from . import guarded, inside, money, profile, report
from .contenders import CONTENDERS, Contender, found
from .load import SlowStreams
from .processes import Failed, free_port, module, started
from .rounds import Bench, Scale, Turn

__all__ = ["main"]

_QUICK: Final = Scale(alone=1, together=1, streams=1, slow_chunks=10)
_QUICK_LEAVES_OUT: Final = frozenset({"uvicorn", "server"})
_WAIT: Final = "measure each load for so long until no other process disturbs (default: do not)"
_CROWDS: Final = ("nginx", "bare", "standby")


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything runs on: the upstream, the two CPUs, a folder."""

    upstream: int
    upstream_pid: int
    cpu: int
    load_cpu: int
    folder: Path


def main() -> int:
    """Run what the options ask for; 1 if a figure is worthless."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of each contender (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="one short round, about half a minute")
    parser.add_argument("--only", default="", help="contenders to run, with commas between (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help=_WAIT)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--profile", action="store_true", help="show where Standby's time goes instead")
    instead.add_argument("--inside", action="store_true", help="measure Standby's own code alone instead")
    instead.add_argument(
        "--money", action="store_true", help="measure auth and budget instead, for each store"
    )
    instead.add_argument(
        "--guardrails", action="store_true", help="measure what guardrails cost and find instead"
    )
    options = parser.parse_args()
    if options.inside or options.money or options.guardrails:
        measured = inside if options.inside else money if options.money else guarded
        _print(measured.lines())
        return 0
    _allow_files()
    try:
        with _ground() as ground:
            return _profile(ground) if options.profile else _run(options, ground)
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, ground: _Ground) -> int:
    contenders = _available(options.only.split(",") if options.only else None, quick=options.quick)
    scale, rounds = (_QUICK, 1) if options.quick else (Scale(), options.rounds)
    bench = Bench(**asdict(ground), wait=options.wait)
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            _progress(f"round {number + 1} of {rounds}: {contender.name}")
            turns[contender.name].append(bench.turn(contender, scale))
    slow_runs: dict[str, SlowStreams] = {}
    for contender in contenders:
        if contender.name in (("standby",) if options.quick else _CROWDS):
            _progress(f"500 slow streams: {contender.name}")
            slow_runs[contender.name] = bench.slow_streams(contender, scale)
    _progress("")
    complaints = list(report.complaints(turns, slow_runs))
    _print(_machine(ground, rounds))
    _print(["", "## Unary: 16 connections, then one alone", "", *report.unary_table(turns)])
    _print(["", "## 64 streams of 50 chunks, one every 10 ms", "", *report.stream_table(turns)])
    if slow_runs:
        title = f"## 500 streams of {scale.slow_chunks} chunks, one every 200 ms"
        _print(["", title, "", *report.slow_streams_table(slow_runs)])
    _print(
        [
            "",
            report.noise(turns, slow_runs),
            "",
            "## Goals",
            "",
            *report.goals(turns, slow_runs),
            *complaints,
        ]
    )
    if options.json is not None:
        document = {
            "turns": turns,
            "slow_runs": slow_runs,
            "machine": list(_machine(ground, rounds)),
        }
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return 1 if complaints else 0


def _profile(ground: _Ground) -> int:
    for kind, unit in (("unary", "request"), ("streams", "chunk")):
        profiles: dict[str, profile.Profile] = {}
        for name in ("bare", "standby"):
            _progress(f"profile, {kind}: {name}")
            profiles[name] = profile.taken(name, kind, **asdict(ground))
        _progress("")
        _print(["", f"## {kind}", "", *profile.lines(profiles, unit)])
    return 0


@contextmanager
def _ground() -> Generator[_Ground]:
    cpus = sorted(os.sched_getaffinity(0))
    with TemporaryDirectory(prefix="standby-bench-") as name:
        folder, port = Path(name), free_port()
        with started(module("upstream", str(port)), cpus[-1], folder / "upstream.log", port=port) as upstream:
            yield _Ground(port, upstream.pid, cpus[0], cpus[-1], folder)


def _allow_files() -> None:
    """500 streams need two files each at a gateway, and the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))


def _available(only: list[str] | None, *, quick: bool) -> list[Contender]:
    missing = [program for program in ("nginx", "wrk") if found(program) is None]
    if missing:
        left_out = {"nginx": "the row of nginx", "wrk": "everything unary"}
        print(f"Left out: {' and '.join(left_out[program] for program in missing)}, for want of the program.")
        print(f"On Debian: sudo apt-get install {' '.join(missing)}\n")
    return [
        contender
        for contender in CONTENDERS
        if not (contender.name == "nginx" and "nginx" in missing)
        and not (quick and contender.name in _QUICK_LEAVES_OUT)
        and (only is None or contender.name in only)
    ]


def _machine(ground: _Ground, rounds: int) -> Iterator[str]:
    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    yield (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} x {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}; medians of {rounds} rounds."
    )
    yield f"Gateway on CPU {ground.cpu}, load and upstream on CPU {ground.load_cpu}; loopback, no TLS."


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
