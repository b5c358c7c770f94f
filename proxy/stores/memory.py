"""A store in the memory of this process. Its data is lost when the process ends and is not shared."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar, Final

from cachetools import TTLCache
from typing_extensions import override

from . import hold_rules
from .records import ISSUED, Denied, Held, Issued, KeyRecord, LedgerEntry, Line
from .store import Store
from .tables import ENDED, FULL, GRACE, Clocks, OpenHold, Tables

__all__ = ["LEDGER", "Memory"]

LEDGER: Final = 100_000
"""The number of ledger entries that are kept: the newest ones."""
_SETTLED_KEPT: Final = 300.0
"""Seconds for which the id of a settled hold is remembered. Shorter than ENDED: within a process no reply is
lost, so settlements are not repeated."""
_FORGET_INTERVAL: Final = 60.0
"""Seconds between two removals of old data."""


class _MemoryTables(Tables):
    """The tables as dictionaries."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.sums: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.keeps: dict[str, int] = {}
        self.rates: dict[str, tuple[float, float]] = {}
        self.leases: defaultdict[str, int] = defaultdict(int)
        self.holds: dict[str, OpenHold] = {}
        self.settled: dict[str, float] = {}  # hold id -> when it can be forgotten, earliest first
        self.expired: dict[str, float] = {}  # hold id -> when it can be forgotten
        # As plain tuples: the garbage collector does not look at those, whose members are no containers.
        self.ledger: deque[tuple[Any, ...]] = deque(maxlen=LEDGER)
        self._forgotten = clocks.monotonic()

    @override
    def monotonic(self) -> float:
        return self.clocks.monotonic()

    @override
    def taken(self, account: str, bucket: int) -> int:
        buckets = self.sums.get(account)
        return buckets.get(bucket, 0) if buckets else 0

    @override
    def taken_since(self, account: str, since: int) -> int:
        buckets = self.sums.get(account)
        return sum([taken for bucket, taken in buckets.items() if bucket >= since]) if buckets else 0

    @override
    def take(self, account: str, bucket: int, amount: int, keep: int) -> None:
        buckets = self.sums[account]
        taken = buckets[bucket] + amount if bucket in buckets else amount
        buckets[bucket] = min(max(0, taken), FULL)
        if keep and (account not in self.keeps or keep > self.keeps[account]):
            self.keeps[account] = keep

    @override
    def rate(self, account: str) -> tuple[float, float]:
        return self.rates.get(account, (0.0, 0.0))

    @override
    def set_rate(self, account: str, consumed: float, at: float) -> None:
        self.rates[account] = (consumed, at)

    @override
    def leased(self, account: str) -> int:
        return self.leases.get(account, 0)

    @override
    def lease(self, account: str, amount: int) -> None:
        if (held := self.leases[account] + amount) > 0:
            self.leases[account] = held
        else:
            del self.leases[account]

    @override
    def open_hold(self, hold_id: str) -> OpenHold | None:
        return self.holds.get(hold_id)

    @override
    def ended(self, hold_id: str) -> bool:
        return hold_id in self.settled or hold_id in self.expired

    @override
    def write(self, hold_id: str, hold: OpenHold) -> None:
        self.holds[hold_id] = hold

    @override
    def end(self, hold_id: str) -> None:
        now = self.monotonic()
        existing = self.holds.pop(hold_id, None)
        if existing is not None and existing.expires <= now:
            self.expired[hold_id] = now + ENDED  # its settlement may still come, much later
            return
        self.settled[hold_id] = now + _SETTLED_KEPT
        while (oldest := next(iter(self.settled))) and self.settled[oldest] <= now:
            del self.settled[oldest]

    @override
    def overdue(self) -> Sequence[tuple[str, OpenHold]]:
        now = self.monotonic()
        return [(hold_id, hold) for hold_id, hold in self.holds.items() if hold.expires <= now]

    @override
    def book(self, entries: Iterable[LedgerEntry]) -> None:
        self.ledger.extend(map(tuple, entries))

    @override
    def forget(self) -> None:
        now = self.monotonic()
        if now - self._forgotten < _FORGET_INTERVAL:
            return
        self._forgotten = now
        self.expired = {hold_id: until for hold_id, until in self.expired.items() if until > now}
        wall = self.clocks.wall()
        for account, keep in self.keeps.items():
            buckets = self.sums[account]
            for bucket in [bucket for bucket in buckets if bucket + keep + GRACE < wall]:
                del buckets[bucket]
        for account in [account for account, buckets in self.sums.items() if not buckets]:
            del self.sums[account], self.keeps[account]


class Memory(Store):
    """A store whose operations complete before the call returns and never raise StoreDown."""

    shared: ClassVar[bool] = False
    immediate: ClassVar[bool] = True

    def __init__(self, clocks: Clocks | None = None) -> None:
        self._clocks = clocks or Clocks()
        self._tables = _MemoryTables(self._clocks)
        self._keys: dict[str, KeyRecord] = {}
        self._digests: dict[str, str] = {}
        self._issued: TTLCache[str, Issued] = TTLCache(LEDGER, ISSUED, self._clocks.monotonic)

    @override
    def now(self) -> float:
        return self._clocks.wall()

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        hold_rules.check(lines)
        return hold_rules.hold(self._tables, hold_id, lines, lease, entries, enforce)

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        hold_rules.check(lines)
        return hold_rules.settle(self._tables, hold_id, lines, entries)

    @override
    async def sweep(self) -> int:
        return hold_rules.sweep(self._tables)

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        return hold_rules.used(self._tables, lines)

    @override
    async def held(self) -> int:
        return len(self._tables.holds)

    @override
    async def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        for entry in map(LedgerEntry._make, tuple(self._tables.ledger)):
            if entry.at >= since:
                yield entry

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        name = self._digests.get(digest)
        return None if name is None else self._keys[name]

    @override
    async def key(self, name: str) -> KeyRecord | None:
        return self._keys.get(name)

    @override
    async def keys(self) -> list[KeyRecord]:
        return [self._keys[name] for name in sorted(self._keys)]

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self.delete_key(record.name)
        self._keys[record.name] = record
        self._digests.update(dict.fromkeys(record.hashes, record.name))

    @override
    async def delete_key(self, name: str) -> bool:
        existing = self._keys.pop(name, None)
        for digest in existing.hashes if existing is not None else ():
            if self._digests.get(digest) == name:
                del self._digests[digest]
        return existing is not None

    @override
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        for each in issued:
            known = self._issued.get(each.key)
            shared = known is not None and known.owner != each.owner
            self._issued[each.key] = each._replace(owner="") if shared else each

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        return [self._issued[key] for key in keys if key in self._issued]

    @override
    async def aclose(self) -> None:
        """Does nothing. The data is kept for as long as this object exists."""
