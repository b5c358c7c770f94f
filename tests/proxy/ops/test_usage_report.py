"""The command `standby usage`: parsing of times, and output of sums."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from standby.proxy.cli import main
from standby.proxy.ops.ledger_totals import LedgerTotals
from standby.proxy.ops.usage_report import moment, shown, usage
from standby.proxy.stores.address import open_store
from standby.proxy.stores.records import LedgerEntry

__all__: list[str] = []

pytestmark = pytest.mark.anyio

MIDNIGHT = 1_793_491_200.0
"""2026-11-01 00:00 UTC."""
ROUTES = """
stack = ["failover"]
store = "{store}"
[providers.one]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
[targets.main]
provider = "one"
model = "m"
[pools.support]
prefer = ["main"]
"""


def entry(number: int, *, at: float = MIDNIGHT, model: str = "m", cost: int = 1) -> LedgerEntry:
    return LedgerEntry(
        at=at,
        request_id=f"req_{number}",
        attempt=1,
        key="checkout",
        target="main",
        model=model,
        input=1_000_000,
        output=10,
        cost=cost,
        charged=cost,
        source="estimated" if number % 2 else "provider",
    )


def totals_of(*entries: LedgerEntry) -> LedgerTotals:
    totals = LedgerTotals(("key", "model"))
    totals.extend(entries)
    return totals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", MIDNIGHT - 1800),
        ("24h", MIDNIGHT - 86_400),
        ("7d", MIDNIGHT - 7 * 86_400),
        ("2w", MIDNIGHT - 14 * 86_400),
        ("2026-11-01", MIDNIGHT),
        ("2026-11-01T01:30", MIDNIGHT + 5400),
        ("2026-11-01T01:00+01:00", MIDNIGHT),
    ],
)
def test_a_time_is_so_long_ago_or_a_date(text: str, expected: float) -> None:
    """Spans and dates are both accepted. Dates without a zone are in UTC."""
    assert moment(text, MIDNIGHT, UTC) == expected


def test_a_date_is_one_of_the_zone() -> None:
    """A date begins at midnight of the requested time zone."""
    assert moment("2026-11-01", MIDNIGHT, ZoneInfo("Europe/Paris")) == MIDNIGHT - 3600


@pytest.mark.parametrize("text", ["", "yesterday", "24", "-1h", "1y", "2026-13-01", "99999999h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is refused with a valid example."""
    with pytest.raises(ValueError, match='write "24h"'):
        moment(text, MIDNIGHT, UTC)


def test_the_table_has_exact_dollars() -> None:
    """Money is exact to the nano-dollar, numbers are right-aligned, estimated attempts are noted below."""
    text = shown(totals_of(entry(1, cost=1), entry(2, cost=75_000_000)), "table")
    head, row, total, note, end = text.split("\n")
    assert " ".join(head.split()) == (
        "key model requests attempts failed input output cost failed cost charged"
    )
    assert " ".join(row.split()) == "checkout m 2 2 0 2,000,000 20 $0.075000001 $0.00 $0.075000001"
    assert total.split() == ["total", *row.split()[2:]]
    assert note == "1 of 2 attempts estimated: the provider did not say what it used"
    assert end == ""
    assert len(row) == len(total)


def test_a_terminal_is_told_nothing_by_a_name() -> None:
    """Providers name their models. Characters that would control the terminal are not printed."""
    assert "\x1b" not in shown(totals_of(entry(1, model="m\x1b[2J")), "table")


def test_csv_has_every_figure() -> None:
    """One line for each group, and no name can be read as a formula by a spreadsheet."""
    text = shown(totals_of(entry(1, model="=1+1", cost=2)), "csv")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["key"] == "checkout"
    assert row["model"] == "'=1+1"
    assert (row["requests"], row["input"], row["cost"], row["charged"]) == (
        *("1", "1000000", "0.000000002", "0.000000002"),
    )
    assert row["estimated"] == "1"


@pytest.mark.parametrize("model", ["=1", "+1", "-1", "@a", "  =1", "\uff1d1"])
def test_no_formula_hides(model: str) -> None:
    """Formulas are escaped behind spaces, which spreadsheets trim, and in full-width characters."""
    assert f"\ncheckout,'{model}," in shown(totals_of(entry(1, model=model)), "csv")


@pytest.mark.parametrize("white", ["\t", "\r", "\n", "\r\n", "\u2028", "\u00a0", "\x00"])
def test_no_name_begins_a_line_or_a_cell(white: str) -> None:
    """White space other than a space, and control characters, are replaced."""
    text = shown(totals_of(entry(1, model=f"m{white}=1")), "csv")
    assert len(text.splitlines()) == 2
    assert f"\ncheckout,m{'?' * len(white)}=1," in text


def test_json_has_rows_and_a_total() -> None:
    """Counts are numbers, and money is text, so that no reader rounds it."""
    document = json.loads(shown(totals_of(entry(1, cost=2), entry(2, cost=3)), "json"))
    assert document["by"] == ["key", "model"]
    assert document["rows"][0]["key"] == "checkout"
    assert document["rows"][0]["requests"] == 2
    assert document["total"]["cost"] == "0.000000005"


async def test_what_lies_outside_the_time_is_left_out() -> None:
    """Entries from `since` on and before `until` are counted."""
    store = open_store("memory:")
    entries = [entry(number, at=MIDNIGHT + number * 60) for number in range(4)]
    for each in entries:
        await store.settle(each.request_id, [], [each])
    sums = await usage(store, ("key",), UTC, since=MIDNIGHT + 60, until=MIDNIGHT + 180)
    assert sums.total.requests == 2
    await store.aclose()


def test_the_command_reads_the_store_of_the_routes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty ledger prints a sum of zero, and exits with 0."""
    (tmp_path / "routes.toml").write_text(ROUTES.format(store="sqlite:///standby.db"))
    assert main(["usage", str(tmp_path / "routes.toml"), "--by", "team,day", "--timezone", "Asia/Tokyo"]) == 0
    total = capsys.readouterr().out.split("\n")[1]
    assert " ".join(total.split()) == "total 0 0 0 0 0 $0.00 $0.00 $0.00"


@pytest.mark.parametrize(
    ("store", "arguments", "message"),
    [
        ("memory:", [], "nothing can be read from outside"),
        ("sqlite:///standby.db", ["--since", "soon"], 'write "24h"'),
    ],
)
def test_what_cannot_be_read_is_said(
    store: str, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreadable store exits with one line that states the reason."""
    (tmp_path / "routes.toml").write_text(ROUTES.format(store=store))
    assert main(["usage", str(tmp_path / "routes.toml"), *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--by", "colour"], ["--timezone", "Mars"], ["--format", "xml"]])
def test_a_wrong_option_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The command line refuses unknown values before it opens anything."""
    with pytest.raises(SystemExit) as ended:
        main(["usage", *arguments])
    assert ended.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err
