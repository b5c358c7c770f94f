"""Money under chaos: failovers, hang-ups, killed processes and clocks that jump, held against the bills.

`python -m tests.chaos --requests 10000` is the same at full size, and prints the figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import Scale, chaos
from tests.chaos.store_reader import Kind

__all__: list[str] = []

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SCALE = Scale(requests=360, kill_every=120, jump_every=40)


@pytest.mark.parametrize(
    ("kind", "escrow"),
    [("memory", True), *((kind, escrow) for kind in ("sqlite", "redis") for escrow in (False, True))],
    ids=lambda each: each if isinstance(each, str) else "escrow" if each else "each",
)
async def test_nothing_is_lost_and_nothing_is_spent_twice(kind: Kind, escrow: bool, tmp_path: Path) -> None:
    """No limit is passed, every hold ends once, and the ledger covers the bills: exactly, where told."""
    figures = await chaos(kind, SCALE, 7, tmp_path, escrow=escrow)
    print("\n".join(figures.lines()))
    assert figures.wrong == []
    assert figures.answered > SCALE.requests // 4
    assert figures.failovers > 0
    assert figures.jumps > 0
    assert kind == "memory" or figures.kills > 0


@pytest.mark.parametrize("escrow", [False, True], ids=["each", "escrow"])
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_load_is_no_outage(kind: Kind, escrow: bool, tmp_path: Path) -> None:
    """With far more callers than can be served at once the money is right, and nobody hears of a store that
    is down."""
    # No answer is late here, since an attempt that is given up may be billed in full by its provider.
    scale = Scale(requests=1_000, kill_every=10**9, jump_every=10**9, callers=250, first_token="2500ms")
    figures = await chaos(kind, scale, 7, tmp_path, escrow=escrow)
    print("\n".join(figures.lines()))
    assert figures.wrong == []
    assert figures.answered > scale.requests // 8
    assert not {"budget_unavailable", "auth_unavailable"} & figures.refused.keys()
