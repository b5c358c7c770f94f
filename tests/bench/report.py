"""What the rounds amount to: medians, as Markdown tables, and the goals beside what was measured. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Final, TypeAlias

from .load import SlowStreams, Unary
from .meters import Window
from .rounds import CHUNKS, Turn
from .streams import Outcome

__all__ = [
    "CHUNK_GOAL",
    "MEMORY_GOAL",
    "REQUEST_GOAL",
    "Turns",
    "complaints",
    "goals",
    "noise",
    "slow_streams_table",
    "stream_table",
    "unary_table",
]

REQUEST_GOAL: Final = 70.0
"""CPU µs that Standby may add to a request, over a bare pass-through on the same transport, server aside."""
CHUNK_GOAL: Final = 4.0
"""CPU µs that it may add to a streamed chunk."""
MEMORY_GOAL: Final = 100.0
"""MB in which 500 slow streams have to finish."""

_DIRECT: Final = "direct"

Turns: TypeAlias = Mapping[str, Sequence[Turn]]
"""Every contender's turns, one a round, in the same order of rounds."""
_Pick: TypeAlias = Callable[[Turn], float | None]


@dataclass(frozen=True, slots=True)
class _Column:
    """One figure of a turn. `added`: also what it has over direct. `cost`: not there for direct itself."""

    title: str
    pick: _Pick
    digits: int = 0
    added: bool = False
    cost: bool = False


def _of_together(pick: Callable[[Unary], float]) -> _Pick:
    return lambda turn: None if turn.together is None else pick(turn.together)


def _of_alone(pick: Callable[[Unary], float]) -> _Pick:
    return lambda turn: None if turn.alone is None else pick(turn.alone)


def _cpu(load: Unary) -> float:
    return load.window.cpu / load.requests * 1e6


def _chunk_cpu(turn: Turn) -> float | None:
    return None if turn.streams is None else turn.streams.window.cpu / turn.streams.chunks * 1e6


def _of_streams(pick: Callable[[Outcome], float]) -> _Pick:
    return lambda turn: None if turn.streams is None else pick(turn.streams.outcome)


_request_cpu: Final = _of_together(_cpu)

_UNARY: Final = (
    _Column("CPU µs/request", _request_cpu, digits=1, cost=True),
    _Column("req/s", _of_together(lambda load: load.requests / load.seconds)),
    _Column("p50 µs", _of_together(lambda load: load.p50)),
    _Column("p99 µs", _of_together(lambda load: load.p99)),
    _Column("alone: p50 µs (added)", _of_alone(lambda load: load.p50), added=True),
    _Column("alone: p99 µs (added)", _of_alone(lambda load: load.p99), added=True),
    _Column("alone: CPU µs/request", _of_alone(_cpu), digits=1, cost=True),
)
_STREAMS: Final = (
    _Column("CPU µs/chunk", _chunk_cpu, digits=1, cost=True),
    _Column("first token p50 ms", _of_streams(lambda outcome: outcome.first_p50), digits=1),
    _Column("first token p99 ms", _of_streams(lambda outcome: outcome.first_p99), digits=1),
    _Column("between chunks p50 ms", _of_streams(lambda outcome: outcome.gap_p50), digits=1),
    _Column("between chunks p99 ms", _of_streams(lambda outcome: outcome.gap_p99), digits=1),
)


def unary_table(turns: Turns) -> Iterator[str]:
    """Unary requests, 16 at once and then one alone: what each costs and how long it takes."""
    return _table(turns, _UNARY)


def stream_table(turns: Turns) -> Iterator[str]:
    """Paced streams: what a chunk costs, and how evenly chunks arrive."""
    return _table({name: each for name, each in turns.items() if each[0].streams is not None}, _STREAMS)


def _table(turns: Turns, columns: Sequence[_Column]) -> Iterator[str]:
    cells = ([name, *(_cell(turns, name, column) for column in columns)] for name in turns)
    return _lines(["", *(column.title for column in columns)], cells)


def _cell(turns: Turns, name: str, column: _Column) -> str:
    value = _median(turns[name], column.pick)
    if value is None or (column.cost and name == _DIRECT):
        return "-"
    text = f"{value:,.{column.digits}f}"
    base = _median(turns.get(_DIRECT, ()), column.pick) if column.added else None
    return text if base is None else f"{text} ({value - base:+,.{column.digits}f})"


def _median(turns: Iterable[Turn], pick: _Pick) -> float | None:
    values = [value for turn in turns if (value := pick(turn)) is not None]
    return median(values) if values else None


def slow_streams_table(slow_runs: Mapping[str, SlowStreams]) -> Iterator[str]:
    """500 slow streams at once: memory above all."""
    titles = [
        "",
        "finished",
        "failed",
        "first token p50 ms",
        "p99 ms",
        "MB before",
        "MB peak",
        "CPU µs/chunk",
    ]
    cells = (
        [
            name,
            str(slow_run.outcome.finished),
            str(slow_run.outcome.failed),
            f"{slow_run.outcome.first_p50:.0f}",
            f"{slow_run.outcome.first_p99:.0f}",
            f"{slow_run.before.now:.0f}",
            f"{slow_run.after.peak:.0f}",
            f"{slow_run.window.cpu / slow_run.chunks * 1e6:.1f}",
        ]
        for name, slow_run in slow_runs.items()
    )
    return _lines(titles, cells)


def _lines(titles: Sequence[str], cells: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in cells:
        yield f"| {' | '.join(row)} |"


@dataclass(frozen=True, slots=True)
class _Differences:
    """What one contender costs more than another, round by round, and how noisy each round was."""

    values: Sequence[float]
    noises: Sequence[float]

    def __str__(self) -> str:
        text = f"{median(self.values):.1f}"
        if len(self.values) == 1:
            return text
        quietest = self.values[self.noises.index(min(self.noises))]
        return f"{text} ({min(self.values):.1f} to {max(self.values):.1f}, quietest round {quietest:.1f})"

    def less(self, other: _Differences) -> _Differences:
        """The part that is not another difference, of the same rounds."""
        return _Differences(
            [one - part for one, part in zip(self.values, other.values, strict=True)],
            [max(noises) for noises in zip(self.noises, other.noises, strict=True)],
        )


def goals(turns: Turns, slow_runs: Mapping[str, SlowStreams]) -> Iterator[str]:
    """Each goal beside what was measured, where it was."""
    request = _over(turns, "standby", "bare", _request_cpu)
    server = _over(turns, "server", "uvicorn", _request_cpu)
    chunk = _over(turns, "standby", "bare", _chunk_cpu)
    if request.values:
        yield f"CPU µs a request costs over bare: goal {REQUEST_GOAL:g} / measured {request}"
    if request.values and server.values:
        yield f"  of these, what Standby's server adds to uvicorn: {server}"
        yield f"  server aside: goal {REQUEST_GOAL:g} / measured {request.less(server)}"
    if chunk.values:
        yield f"CPU µs a streamed chunk costs over bare: goal {CHUNK_GOAL:g} / measured {chunk}"
        if request.values:
            alone = _Differences([value / CHUNKS for value in request.values], request.noises)
            yield f"  without a {CHUNKS}th of a request: {chunk.less(alone)}"
    if "standby" in slow_runs:
        slow_run = slow_runs["standby"]
        yield (
            f"MB at most with 500 slow streams: goal {MEMORY_GOAL:g} / measured {slow_run.after.peak:.0f}, "
            f"{slow_run.outcome.finished} finished and {slow_run.outcome.failed} failed"
        )


def _over(turns: Turns, name: str, base: str, pick: _Pick) -> _Differences:
    """Round by round: neighbours in time have much the same noise."""
    values: list[float] = []
    noises: list[float] = []
    for one, other in zip(turns.get(name, ()), turns.get(base, ()), strict=False):
        if (cost := pick(one)) is not None and (least := pick(other)) is not None:
            values.append(cost - least)
            noises.append(max(window.noise for window in (*one.windows, *other.windows)))
    return _Differences(values, noises)


def noise(turns: Turns, slow_runs: Mapping[str, SlowStreams]) -> str:
    """How busy others kept the machine meanwhile."""
    windows: list[Window] = [slow_run.window for slow_run in slow_runs.values()]
    for turn in chain.from_iterable(turns.values()):
        windows += turn.windows
    cores = sorted(window.noise for window in windows)
    return (
        f"Noise, in cores kept busy by others over {len(cores)} measurements: "
        f"median {median(cores):.2f}, p90 {cores[int(0.9 * (len(cores) - 1))]:.2f}, max {cores[-1]:.2f}."
    )


def complaints(turns: Turns, slow_runs: Mapping[str, SlowStreams]) -> Iterator[str]:
    """What makes a figure worthless: wrong answers, and connections that were not kept."""
    for name, each in turns.items():
        for number, turn in enumerate(each, 1):
            errors = sum(load.errors for load in (turn.alone, turn.together) if load is not None)
            if errors:
                yield f"{name}, round {number}: {errors} requests failed"
            if turn.streams is not None and turn.streams.errors:
                yield f"{name}, round {number}: {turn.streams.errors} streams failed"
            if name != _DIRECT and turn.together is not None and turn.reopened > turn.together.asked / 100:
                yield f"{name}, round {number}: {turn.reopened} connections to the upstream were not reused"
    for name, slow_run in slow_runs.items():
        if lost := slow_run.outcome.failed:
            yield f"{name}: {lost} of {lost + slow_run.outcome.finished} slow streams failed"
