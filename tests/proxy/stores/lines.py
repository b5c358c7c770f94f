"""Lines and entries for tests of stores."""

from __future__ import annotations

from typing import Final

from standby.proxy.stores.records import LedgerEntry, Line
from standby.proxy.stores.store import Store

from tests.proxy.stores.scenes import BEGAN

__all__ = ["BIG", "DAY", "LEASE", "entry", "ledger", "money", "rate", "slot"]

BIG: Final = 10**18
DAY: Final = 86_400
LEASE: Final = 60.0


def money(amount: int, limit: int | None = None, account: str = "key/a cost", bucket: int = 0) -> Line:
    return Line(account, "sum", amount, limit, bucket, bucket)


def rate(amount: int, limit: int = 10, per_second: float = 2.0) -> Line:
    return Line("key/a requests", "rate", amount, limit, per_second=per_second)


def slot(amount: int = 1, limit: int = 2) -> Line:
    return Line("key/a concurrent", "lease", amount, limit)


def entry(request_id: str = "r", attempt: int = 1, at: float = BEGAN) -> LedgerEntry:
    return LedgerEntry(
        at=at,
        request_id=request_id,
        attempt=attempt,
        key="a",
        target="main",
        input=10,
        output=3,
        cost=2**60 + 1,
        charged=0,
        fault='line\nbreak, "quotes" and ü',
        duration=0.25,
    )


async def ledger(store: Store, since: float = 0.0) -> list[LedgerEntry]:
    return [line async for line in store.entries(since)]
