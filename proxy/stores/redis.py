"""A store in a Redis or Valkey server, for gateways on any number of machines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from typing import Any, Final, TypeVar

from typing_extensions import override

from .codec import entry_from, entry_text, key_from, key_text
from .hold_rules import check, expired
from .records import Denied, Held, KeyRecord, LedgerEntry, Line
from .redis_connection import RedisConnection, Word
from .store import Store
from .store_breaker import StoreBreaker

__all__ = ["LEDGER_DAYS", "Redis", "script"]

LEDGER_DAYS: Final = 35
"""Days that entries of the ledger are kept: in memory, where every one takes some 370 bytes."""

T = TypeVar("T")

_SCRIPTS: Final = ("hold", "settle", "sweep", "used", "put_key", "key_by_hash")
_DAY: Final = 86_400
_SWEPT: Final = 100
"""Holds that one step of a sweep ends at most, so that nobody waits behind it for long."""
_PAGE: Final = 1000
"""Entries of the ledger that are read at once."""
_TIMEOUT: Final = 5.0
"""Seconds for a page of the ledger or all keys: nobody's request waits for them."""
_LATE: Final = 3600
"""Seconds by which clocks may differ, so that an entry is stamped later than it was written."""


def script(name: str) -> str:
    """The text of a file of `lua/`."""
    return files(__package__ or "").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


class Redis(Store):
    """Every operation is one step of the server. `clock` is a script that tells another time than its own."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "standby",
        ledger_days: int = LEDGER_DAYS,
        breaker: StoreBreaker | None = None,
        clock: str | None = None,
    ) -> None:
        self._url = url
        self._prefix = f"{{{prefix}}}:"
        self._ledger_days = ledger_days
        self.breaker = breaker or StoreBreaker("Redis")
        self._clock = clock
        self._redis: RedisConnection | None = None
        self._ahead: float | None = None  # of the server's clock before our monotonic one

    @override
    def now(self) -> float:
        """By the server's clock as of its last answer; before the first, by ours."""
        return time.time() if self._ahead is None else time.monotonic() + self._ahead

    async def _ask(
        self, command: str, words: Sequence[Word], read: Callable[[Any], T], limit: float | None = None
    ) -> T:
        call = self.breaker.begin(limit)
        if self._redis is None:
            shared = f"{self._clock or script('clock')}\n{script('common')}\n"
            self._redis = RedisConnection(
                self._url, {name: shared + script(name) for name in _SCRIPTS}, self._prefix
            )
        self._redis.put(call, command, words, read)
        done: T = await call.future
        return done

    def _time(self, reply: Any) -> Any:
        self._ahead = float(reply[0]) - time.monotonic()
        return reply[1]

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
        check(lines)
        words = (hold_id, lease, _text(expired(entries)), "1" if enforce else "0", *_words(lines))
        return await self._ask("hold", words, self._held)

    def _held(self, reply: Any) -> Held | Denied:
        if self._time(reply) == b"denied":
            _, _, position, used, ready_in = reply
            return Denied(position, int(used), float(ready_in) if ready_in else None)
        return Held(tuple([int(used) for used in reply[2]]), tuple(reply[3]))

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        check(lines)
        return await self._ask("settle", (hold_id, _text(entries), *_words(lines)), self._bool)

    def _bool(self, reply: Any) -> bool:
        return bool(self._time(reply))

    @override
    async def sweep(self) -> int:
        total = 0
        while True:
            ended: int = await self._ask("sweep", (_SWEPT, self._ledger_days * _DAY), self._time)
            total += ended
            if ended < _SWEPT:
                return total

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        def read(reply: Any) -> tuple[int, ...]:
            return tuple([int(used) for used in self._time(reply)])

        return await self._ask("used", _words(lines), read)

    @override
    async def held(self) -> int:
        return await self._ask("ZCARD", (f"{self._prefix}holds",), int)

    @override
    async def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        key = f"{self._prefix}ledger"
        start = str(int((since - _LATE) * 1000)) if since > _LATE else "-"
        while page := await self._ask("XRANGE", (key, start, "+", "COUNT", _PAGE), _page, _TIMEOUT):
            for _, entry in page:
                if entry.at >= since:
                    yield entry
            start = f"({page[-1][0]}"

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        return await self._ask("key_by_hash", (digest,), lambda reply: _key(self._time(reply)))

    @override
    async def key(self, name: str) -> KeyRecord | None:
        return await self._ask("HGET", (f"{self._prefix}keys", name), _key)

    @override
    async def keys(self) -> list[KeyRecord]:
        def read(reply: Any) -> list[KeyRecord]:
            return sorted([key_from(text) for text in reply], key=lambda record: record.name)

        return await self._ask("HVALS", (f"{self._prefix}keys",), read, _TIMEOUT)

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self._ask("put_key", (record.name, key_text(record), *record.hashes), self._bool)

    @override
    async def delete_key(self, name: str) -> bool:
        return await self._ask("put_key", (name, ""), self._bool)

    @override
    async def aclose(self) -> None:
        redis_connection, self._redis = self._redis, None
        if redis_connection is not None:
            await redis_connection.aclose()


def _words(lines: Sequence[Line]) -> list[Word]:
    """Nine for each line, as `read_lines` of common.lua takes them."""
    words: list[Word] = []
    for line in lines:
        words += (
            line.kind,
            line.account,
            line.amount,
            "" if line.limit is None else line.limit,
            line.bucket,
            line.since,
            1 if line.rolling else 0,
            line.keep,
            line.per_second,
        )
    return words


def _text(entries: Sequence[LedgerEntry]) -> bytes:
    return b"\n".join([entry_text(entry) for entry in entries])


def _page(reply: Any) -> list[tuple[str, LedgerEntry]]:
    return [(line.decode(), entry_from(members[1])) for line, members in reply]


def _key(text: Any) -> KeyRecord | None:
    return None if text is None else key_from(text)
