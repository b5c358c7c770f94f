"""Slices of budgets, and the holds that are served from them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..stores.records import Held, Line

__all__ = ["Key", "Slice", "SlicedHold", "is_sliceable", "key_of", "keys_of"]

Key: TypeAlias = tuple[str, int]
"""Account and bucket; the bucket is 0 for accounts that are not sums."""


def key_of(line: Line) -> Key:
    """Returns the key of a line."""
    return line.account, line.bucket if line.kind == "sum" else 0


def keys_of(lines: Sequence[Line]) -> list[Key]:
    """Returns the keys of lines, in the same order."""
    return [(line.account, line.bucket if line.kind == "sum" else 0) for line in lines]


def is_sliceable(lines: Sequence[Line]) -> bool:
    """Whether a slice may serve these lines. Leases are counted exactly, and what has no limit needs none."""
    return bool(lines) and not [line for line in lines if line.kind == "lease" or line.limit is None]


@dataclass(slots=True, eq=False)
class Slice:
    """One slice: a hold in the store that serves the holds of this process.

    `limits` are those of its accounts when it was taken; it serves no hold with another limit. `free` is the
    amount still available for each account. `used` is the store's total at the time of the
    slice, without the slice itself, plus what holds took. `spent` is what settled holds took. `ends` is when
    the slice stops serving holds and `last` when it was last used, in seconds of the loop's clock. `open` is
    the number of holds that are not settled. A `closed` slice is returned once they are.
    """

    id: str
    signature: frozenset[Key]
    limits: dict[Key, int | None]
    free: dict[Key, int]
    used: dict[Key, int]
    spent: dict[Key, Line]
    ends: float
    last: float
    open: int = 0
    closed: bool = False

    def has_room(self, lines: Sequence[Line]) -> bool:
        """Whether the free amounts cover these lines."""
        free, limits = self.free, self.limits
        for key, line in zip(keys_of(lines), lines, strict=True):
            if key not in free or free[key] < line.amount or limits[key] != line.limit:
                return False
        return True


@dataclass(slots=True, eq=False)
class SlicedHold:
    """A hold that is served from a slice, if it has one. `held` is the amount taken from it for each account.

    `rest` is what the request spent beyond that, which the store books; it is None until the settlement.
    `in_store` is whether the store may have a hold of the same id.
    """

    slice: Slice | None
    held: dict[Key, int]
    rest: tuple[Line, ...] | None = None
    in_store: bool = False

    def join(self, piece: Slice | None) -> None:
        """The hold is served from this slice, if there is one."""
        if piece is not None:
            self.slice = piece
            piece.open += 1

    def take(self, lines: Sequence[Line]) -> Held | None:
        """Takes these lines from the slice. Returns None, and takes nothing, if there is no room."""
        piece, held = self.slice, self.held
        if piece is None or not piece.has_room(lines):
            return None
        free, used, keys = piece.free, piece.used, keys_of(lines)
        for key, line in zip(keys, lines, strict=True):
            free[key] -= line.amount
            used[key] += line.amount
            held[key] = held[key] + line.amount if key in held else line.amount
        return Held(tuple([used[key] for key in keys]))

    def spend(self, piece: Slice, lines: Sequence[Line]) -> tuple[Line, ...]:
        """Books in `piece`, its slice, what the hold spent, and frees what it did not.

        Returns the lines that exceed what was held, which the store must book.
        """
        rest: list[Line] = []
        unspent, spent = self.held.copy(), piece.spent
        for key, line in zip(keys_of(lines), lines, strict=True):
            within = min(line.amount, unspent.get(key, 0))
            if within:
                unspent[key] -= within
                spent[key] = line.of(spent[key].amount + within if key in spent else within)
            if within < line.amount:
                rest.append(line.of(line.amount - within))
        for key, amount in unspent.items():
            piece.free[key] += amount
            piece.used[key] -= amount
        return tuple(rest)
