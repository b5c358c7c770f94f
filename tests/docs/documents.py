"""What the documents hold: code blocks by language, tables by their heads, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DOCUMENTS", "ROOT", "Block", "blocks", "links", "named", "table"]

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCED: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of one document."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def named(document: str) -> str:
    """The text of one document, by its path in the repository."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(language: str) -> list[Block]:
    """Every block of `language`, document by document."""
    return [
        Block(path.relative_to(ROOT).as_posix(), text.count("\n", 0, match.start()) + 1, match[2])
        for path in DOCUMENTS
        for text in (path.read_text(encoding="utf-8"),)
        for match in _FENCED.finditer(text)
        if match[1] == language
    ]


def links(path: Path) -> Iterator[str]:
    """The targets of all links in a document that lead into the repository."""
    for match in _LINK.finditer(path.read_text(encoding="utf-8")):
        if "://" not in match[1]:
            yield match[1]


def table(document: str, *head: str) -> list[list[str]]:
    """The rows of the table with this head, cell by cell, without backquotes."""
    lines = iter(named(document).splitlines())
    while _cells(next(lines)) != list(head):
        pass
    next(lines)
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.replace("`", "") for cell in _cells(line)])
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
