"""Rows of text as lines of aligned columns, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["columns"]


def columns(rows: Sequence[Sequence[str]], *, left: int | None = None, first: int = 0) -> list[str]:
    """Returns one line per row, columns two spaces apart. All rows have the same number of cells.

    The first `left` columns are aligned to the left and the others to the right; by default all to the left.
    `first` is the minimum width of the first column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if widths:
        widths[0] = max(first, widths[0])
    count = len(widths) if left is None else left
    return [
        "  ".join(
            cell.ljust(width) if place < count else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
