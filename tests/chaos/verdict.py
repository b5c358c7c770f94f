"""The ledger held against the providers' bills, and against the limits. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from standby.proxy.rehearsal.simulator.bill import Billed
from standby.proxy.stores.records import LedgerEntry

from .setting import PRICES

__all__ = ["Figures", "judge"]


@dataclass(slots=True)
class Figures:
    """What a run amounts to. Money is in nano-dollars; what must be nothing is in `wrong` when it is not.

    `exact` and `estimated` are the ledger's cost less the bill's: over attempts whose provider told what they
    used, where it must be 0, and over all others, where it may not be below 0.
    """

    requests: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    hung_up: int = 0
    unanswered: int = 0
    failovers: int = 0
    escrow: bool = False
    kills: int = 0
    jumps: int = 0
    seconds: float = 0.0
    attempts: int = 0
    billed_lines: int = 0
    billed: int = 0
    booked: int = 0
    reported: int = 0
    exact: int = 0
    estimated: int = 0
    expired: int = 0
    overshoot: int = 0
    peak: int = 0
    stuck: int = 0
    counted: int = 0
    wrong: list[str] = field(default_factory=list[str])

    def lines(self) -> Iterable[str]:
        """The figures for people."""
        refused = ", ".join(f"{count} {code}" for code, count in self.refused.most_common()) or "none"
        yield f"requests               {self.requests} in {self.seconds:.1f} s: {self.answered} answered,"
        yield f"                       refused {refused}; {self.hung_up} hung up, {self.unanswered} cut off"
        yield f"failovers              {self.failovers}; kills {self.kills}; clock jumps {self.jumps}"
        yield f"attempts in the ledger {self.attempts}; lines on the bills {self.billed_lines}"
        yield f"billed by providers    {self.billed} nano-dollars"
        yield f"booked in the ledger   {self.booked} nano-dollars, {self.expired} of them for expired holds"
        yield f"overshoot              {self.overshoot} nano-dollars at the end, {self.peak} meanwhile"
        yield f"stuck holds            {self.stuck}"
        yield f"difference to the bill {self.exact} over {self.reported} attempts whose usage was told"
        yield f"                       {self.estimated:+} over all others, estimates and expired holds"
        yield f"accounts less ledger   {self.counted} nano-dollars"
        for line in self.wrong[:20]:
            yield f"WRONG: {line}"
        if len(self.wrong) > 20:
            yield f"WRONG: and {len(self.wrong) - 20} more"


def judge(
    figures: Figures,
    entries: Sequence[LedgerEntry],
    bills: Mapping[str, Sequence[Billed]],
    tickets: Mapping[str, str],
) -> None:
    """Compare every attempt of the ledger with the bill of the provider that it was made at.

    `tickets` maps requests of the ledger to what the provider knows them by, for those whose caller was told.
    The others cannot be told apart from outside: they are compared in one sum.
    """
    figures.attempts = len(entries)
    figures.booked = sum(entry.cost or 0 for entry in entries)
    figures.expired = sum(entry.cost or 0 for entry in entries if entry.source == "expired")
    figures.billed_lines = sum(map(len, bills.values()))
    figures.billed = sum(_due(target, line) for target, lines in bills.items() for line in lines)
    seen = Counter((entry.request_id, entry.attempt) for entry in entries)
    figures.wrong += [f"{name} was booked {count} times" for name, count in seen.items() if count > 1]
    figures.wrong += [f"{entry.request_id} has no cost" for entry in entries if entry.cost is None]
    by_request: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        by_request[entry.request_id].append(entry)
    reported, apart = _sorted(bills, set(tickets.values()))
    # What a killed process held in slices expires with the slice, under nobody's name.
    sliced = figures.escrow and figures.kills > 0
    others: list[LedgerEntry] = []
    for request, attempts in by_request.items():
        ticket = tickets.get(request)
        expired = any(entry.source == "expired" for entry in attempts)
        if ticket is None or (sliced and expired):
            others += attempts
        elif expired:
            _whole(figures, ticket, attempts, reported)
        else:
            for entry in attempts:
                _attempt(figures, ticket, entry, reported.pop((ticket, entry.target), []))
    for (ticket, target), lines in reported.items():
        if sliced:
            apart[target] += lines
        else:
            figures.wrong.append(f"{ticket} at {target} is on the bill ({lines}) and not in the ledger")
    _apart(figures, others, apart)


def _sorted(
    bills: Mapping[str, Sequence[Billed]], known: Container[str | None]
) -> tuple[dict[tuple[str, str], list[Billed]], defaultdict[str, list[Billed]]]:
    """The bills' lines by ticket and target, and by target alone where nobody knows the ticket's request."""
    reported: defaultdict[tuple[str, str], list[Billed]] = defaultdict(list)
    apart: defaultdict[str, list[Billed]] = defaultdict(list)
    for target, lines in bills.items():
        for line in lines:
            if line.user is not None and line.user in known:
                reported[line.user, target].append(line)
            else:
                apart[target].append(line)
    return reported, apart


def _due(target: str, line: Billed) -> int:
    return PRICES[target].cost(line.input, line.output)


def _attempt(figures: Figures, ticket: str, entry: LedgerEntry, lines: Sequence[Billed]) -> None:
    due = sum(_due(entry.target, line) for line in lines)
    difference = (entry.cost or 0) - due
    if entry.source == "provider":
        figures.reported += 1
        figures.exact += difference
        said = [(line.input, line.output) for line in lines] or [(0, 0)]
        if difference or said != [(entry.input, entry.output)]:
            figures.wrong.append(f"{ticket}: told {lines}, booked {entry}")
    else:
        figures.estimated += difference
        if difference < 0:
            figures.wrong.append(f"{ticket}: billed {lines}, booked too little: {entry}")


def _whole(
    figures: Figures,
    ticket: str,
    attempts: Sequence[LedgerEntry],
    reported: dict[tuple[str, str], list[Billed]],
) -> None:
    """An expired hold is booked as a whole, at least at what all of its attempts cost."""
    due = 0
    for target in PRICES:
        due += sum(_due(target, line) for line in reported.pop((ticket, target), []))
    difference = sum(entry.cost or 0 for entry in attempts) - due
    figures.estimated += difference
    if difference < 0:
        figures.wrong.append(f"{ticket}: billed {due}, its expired hold was booked too low: {attempts}")


def _apart(figures: Figures, entries: Sequence[LedgerEntry], bills: Mapping[str, Sequence[Billed]]) -> None:
    """Requests that nobody outside can name: what was told must be on the bill, and the sum must cover it."""
    due = sum(_due(target, line) for target, lines in bills.items() for line in lines)
    rest = {target: Counter((line.input, line.output) for line in lines) for target, lines in bills.items()}
    for entry in entries:
        if entry.source == "provider" and entry.cost:
            counted = rest.get(entry.target, Counter())
            if not counted[entry.input, entry.output]:
                figures.wrong.append(f"nothing on the bill is like {entry}")
            counted[entry.input, entry.output] -= 1
    difference = sum(entry.cost or 0 for entry in entries) - due
    figures.estimated += difference
    if difference < 0:
        figures.wrong.append(f"{-difference} nano-dollars too little are booked for requests nobody named")
