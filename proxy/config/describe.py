"""What a configuration amounts to, for `standby check`: the effective chain of every pool."""

from __future__ import annotations

from .routes import Routes
from .tables import Pool, Target, Timeouts
from .values import spelled

__all__ = ["describe"]


def describe(routes: Routes) -> str:
    """The stack, then each pool: its names, its targets in order, its alternates, its limits."""
    sections = (("provider", routes.providers), ("target", routes.targets), ("pool", routes.pools))
    counts = ", ".join(f"{len(each)} {kind}{'s' * (len(each) != 1)}" for kind, each in sections)
    chain = " -> ".join(("hygiene", *routes.stack, "relay"))
    return "\n".join((f"{routes.file}: {counts}", f"stack: {chain}", *map(_pool, routes.pools.values())))


def _pool(pool: Pool) -> str:
    rows: list[tuple[str, ...]]
    rows = [("prefer", str(i), *_target(target), "") for i, target in enumerate(pool.prefer, 1)]
    rows += [
        ("alternates", str(i), *_target(other.target), f"for {', '.join(sorted(other.causes))}")
        for i, other in enumerate(pool.alternates, len(pool.prefer) + 1)
    ]
    limits = "  ".join(f"{name} {spelled(getattr(pool.timeouts, name))}" for name in Timeouts.model_fields)
    lines = [
        f"\npool {pool.name} ({pool.dialect})",
        f"  {'serves':10}  {', '.join(pool.serves)}",
        *_aligned(rows),
        f"  {'timeouts':10}  {limits}",
    ]
    return "\n".join(lines)


def _target(target: Target) -> tuple[str, str, str]:
    return target.name, f"{target.provider.name}/{target.model}", target.provider.region or "-"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = 10
    lines: list[str] = []
    last = ""
    for row in rows:
        label, *cells = row
        cells = [cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append(f"  {'' if label == last else label:10}  {'  '.join(cells)}".rstrip())
        last = label
    return lines
