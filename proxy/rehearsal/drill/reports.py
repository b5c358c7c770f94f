"""A drill as text for a terminal, as Markdown for a pull request, and as JUnit's XML for a CI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as ET

from ...ops.columns import columns
from .promises import PROMISES
from .summary import Drill, Row

__all__ = ["as_junit", "as_markdown", "as_text"]

_MOST: Final = 20
"""Broken promises that the short report lists."""


def as_text(drill: Drill) -> str:
    """Returns the drill as tables for a terminal."""
    return "\n".join(_text(drill))


def _text(drill: Drill) -> Iterator[str]:
    yield f"{drill.file}: a drill with"
    yield from (f"  {line}" for line in drill.replaced)
    for pool in drill.pools:
        yield f"\npool {pool}"
        lines = [("", "outage", "answered by", "x-standby-degraded", "attempts", "longest")]
        lines += [
            (
                "ok" if row.kept else "BROKEN",
                row.scenario.name,
                row.answered,
                row.degraded or "-",
                str(row.attempts),
                f"{row.seconds:.2f} s",
            )
            for row in drill.rows
            if row.pool == pool
        ]
        yield from (f"  {line}" for line in columns(lines))
        for row in drill.rows:
            if row.pool == pool:
                yield from _broken(row)
    if drill.gaps:
        yield "\nunprotected"
        yield from (f"  {line}" for line in drill.gaps)
    if drill.left_out:
        yield "\nnot tried"
        yield from (f"  {line}" for line in drill.left_out)
    yield f"\n{drill.verdict}"


def _broken(row: Row) -> Iterator[str]:
    for record, finding in row.broken:
        yield f"    {record.cell}: {finding.promise}: {finding.evidence}"


def as_markdown(drill: Drill) -> str:
    """Returns the drill as one page of Markdown."""
    lines = [
        f"## Drill of `{drill.file}`: {'passed' if drill.kept else 'a promise broke'}",
        "",
        drill.verdict,
        "",
    ]
    names = [row.scenario.name for row in drill.rows]
    lines.append(f"| outage | {' | '.join(drill.pools)} |")
    lines.append(f"|---|{'---|' * len(drill.pools)}")
    for name in dict.fromkeys(names):
        cells: list[str] = []
        for pool in drill.pools:
            row = next((each for each in drill.rows if (each.pool, each.scenario.name) == (pool, name)), None)
            mark = "" if row is None or row.kept else "**broken** "
            cells.append("-" if row is None else f"{mark}{row.answered}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    broken = [line.strip() for row in drill.rows for line in _broken(row)]
    for title, items in (
        ("Broken promises", broken),
        ("Unprotected", drill.gaps),
        ("Not tried", drill.left_out),
    ):
        if items:
            lines += ["", f"### {title}", "", *(f"- {item}" for item in items[:_MOST])]
            if len(items) > _MOST:
                lines.append(f"- and {len(items) - _MOST} more")
    return "\n".join(lines) + "\n"


def as_junit(drill: Drill) -> str:
    """Returns the drill as XML in the form of JUnit, a test case for each cell and promise."""
    cells = [(row, record) for row in drill.rows for record in row.records]
    failures = sum(1 for _, record in cells for finding in record.findings if not finding.kept)
    suite = ET.Element(
        "testsuite",
        name="standby drill",
        tests=str(len(cells) * len(PROMISES)),
        failures=str(failures),
        time=f"{drill.seconds:.1f}",
    )
    for _, record in cells:
        for finding in record.findings:
            case = ET.SubElement(suite, "testcase", classname=str(record.cell), name=finding.promise)
            if not finding.kept:
                ET.SubElement(case, "failure", message=finding.evidence)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
