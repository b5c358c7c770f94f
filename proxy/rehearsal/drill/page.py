"""A drill as one page of HTML that needs nothing else: a table, a plot and the evidence for each pool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from .promises import PROMISES
from .summary import Drill, Row

__all__ = ["as_html"]

_STYLE: Final = """
:root { color-scheme: light dark; --ok: #1a7f37; --bad: #cf222e; --line: #8888; --bar: #4078c0; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.ok { color: var(--ok); } .bad { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
details { margin: .2rem 0; } code { font-size: .9em; }
"""
_CODE: Final = re.compile(r"`([^`]*)`")
_ROW: Final = 20  # pixels of a bar with its space
_LEFT: Final = 170  # pixels for the names of outages
_WIDTH: Final = 900


def as_html(drill: Drill) -> str:
    """Returns the page."""
    return "\n".join(_page(drill))


def _page(drill: Drill) -> Iterator[str]:
    verdict = escape(drill.verdict)
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Drill of {escape(drill.file)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>Drill of <code>{escape(drill.file)}</code></h1>"
    yield f'<p class="{"ok" if drill.kept else "bad"}"><strong>{verdict}.</strong> Seed {drill.seed}.</p>'
    yield "<p>What was not the real thing:</p>"
    yield from _list(drill.replaced)
    yield "<h2>The promises</h2>"
    yield from _list([f"{name}: {words}" for name, words in PROMISES.items()])
    for pool in drill.pools:
        rows = [row for row in drill.rows if row.pool == pool]
        yield f"<h2>Pool {escape(pool)}</h2>"
        yield from _plot(rows)
        yield from _table(rows)
    for title, items in (("Unprotected", drill.gaps), ("Not tried", drill.left_out)):
        if items:
            yield f"<h2>{title}</h2>"
            yield from _list(items)
    yield "</body></html>"


def _list(items: Iterable[str]) -> Iterator[str]:
    yield "<ul>"
    for item in items:
        yield f"<li>{_words(item)}</li>"
    yield "</ul>"


def _words(text: str) -> str:
    """Returns a sentence as HTML, with code where it has backquotes."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _plot(rows: list[Row]) -> Iterator[str]:
    """Returns bars of how long callers waited at most, an outage each."""
    longest = max((row.seconds for row in rows), default=0.0) or 1.0
    height = _ROW * len(rows) + 24
    yield f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Longest wait, by outage">'
    for at, row in enumerate(rows):
        y = at * _ROW
        width = max(2.0, (_WIDTH - _LEFT - 90) * row.seconds / longest)
        color = "var(--bar)" if row.kept else "var(--bad)"
        yield f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(row.scenario.name)}</text>'
        yield f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="14" rx="2" fill="{color}"/>'
        yield f'<text x="{_LEFT + width + 6:.1f}" y="{y + 14}">{row.seconds:.2f} s</text>'
    yield f'<text x="{_LEFT}" y="{height - 6}">longest wait of a caller for a whole answer</text></svg>'


def _table(rows: list[Row]) -> Iterator[str]:
    yield "<table><thead><tr><th></th><th>outage</th><th>answered by</th><th>x-standby-degraded</th>"
    yield "<th>attempts</th><th>evidence</th></tr></thead><tbody>"
    for row in rows:
        mark = '<td class="ok">kept</td>' if row.kept else '<td class="bad">broken</td>'
        name, title = escape(row.scenario.name), _words(row.scenario.title)
        yield f"<tr>{mark}<td><strong>{name}</strong><br>{title}</td><td>{escape(row.answered)}</td>"
        yield f"<td>{escape(row.degraded or '-')}</td><td>{row.attempts}</td><td>"
        yield f"<details{'' if row.kept else ' open'}><summary>{len(row.records)} cells</summary>"
        for record in row.records:
            yield f"<p>{escape(str(record.cell))}</p><ul>"
            for finding in record.findings:
                kind = "" if finding.kept else ' class="bad"'
                yield f"<li{kind}>{escape(finding.promise)}: {escape(finding.evidence)}</li>"
            yield "</ul>"
        yield "</details></td></tr>"
    yield "</tbody></table>"
