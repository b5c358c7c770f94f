"""The judge of the chaos finds what is wrong: else its silence would mean nothing."""

from __future__ import annotations

import pytest
from standby.proxy.rehearsal.simulator.bill import Billed
from standby.proxy.stores.records import LedgerEntry

from tests.chaos.setting import PRICES
from tests.chaos.verdict import Figures, judge

__all__: list[str] = []

COST = PRICES["alpha"].cost(100, 10)
LINE = Billed(1, "model-of-alpha", "t1", 100, 10, reported=True, aborted=False)
ENTRY = LedgerEntry(
    at=0.0, request_id="req_1", attempt=1, target="alpha", input=100, output=10, cost=COST, charged=COST
)
ESTIMATE = ENTRY._replace(source="estimated", input=400, cost=COST + 5)
EXPIRED = ENTRY._replace(source="expired", target="", attempt=0, cost=COST + 7)


def judged(entries: list[LedgerEntry], lines: list[Billed], *, named: bool = True) -> Figures:
    """The figures of a ledger and of alpha's bill."""
    figures = Figures()
    judge(figures, entries, {"alpha": lines, "beta": []}, {"req_1": "t1"} if named else {})
    return figures


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("entries", "lines", "difference"),
    [
        ([ENTRY], [LINE], 0),
        ([ESTIMATE], [LINE], 5),
        ([EXPIRED], [LINE], 7),
        ([ENTRY._replace(input=0, output=0, cost=0, outcome="failed")], [], 0),
        ([], [], 0),
    ],
)
def test_what_agrees_is_right(
    entries: list[LedgerEntry], lines: list[Billed], difference: int, named: bool
) -> None:
    """What was told agrees exactly, what was not covers the bill; by name, or in sum where nobody has one."""
    figures = judged(entries, lines, named=named)
    assert figures.wrong == []
    assert (figures.exact, figures.estimated) == (0, difference)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("entries", "lines"),
    [
        ([], [LINE]),
        ([ENTRY, ENTRY], [LINE]),
        ([ENTRY._replace(cost=None)], [LINE]),
        ([ENTRY._replace(cost=COST - 1)], [LINE]),
        ([ENTRY._replace(input=101)], [LINE]),
        ([ENTRY], []),
        ([ESTIMATE._replace(cost=COST - 1)], [LINE]),
        ([EXPIRED._replace(cost=COST - 1)], [LINE]),
        ([ENTRY], [LINE, LINE._replace(number=2)]),
    ],
)
def test_what_does_not_agree_is_found(entries: list[LedgerEntry], lines: list[Billed], named: bool) -> None:
    """A line too few, too many, twice, too cheap or with other tokens is found."""
    assert judged(entries, lines, named=named).wrong
