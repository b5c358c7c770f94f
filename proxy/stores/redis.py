"""A store in a Redis or Valkey server, shared by gateways on any number of machines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from typing import Any, Final, TypeVar

from typing_extensions import override

from .codec import entry_from, entry_text, issued_from, key_from, key_text
from .hold_rules import check, expired
from .records import ISSUED, Denied, Held, Issued, KeyRecord, LedgerEntry, Line
from .redis_connection import Argument, RedisConnection
from .store import Store
from .store_breaker import StoreBreaker

__all__ = ["LEDGER_DAYS", "Redis", "script"]

LEDGER_DAYS: Final = 35
"""Days for which ledger entries are kept. Redis keeps them in memory, about 370 bytes each."""

T = TypeVar("T")

_SCRIPTS: Final = ("hold", "settle", "sweep", "used", "put_key", "key_by_hash", "put_issued")
_DAY: Final = 86_400
_SWEEP_BATCH: Final = 100
"""The maximum number of holds that one run of the sweep script ends, so that it blocks the server briefly."""
_PAGE: Final = 1000
"""The number of ledger entries per read."""
_READ_TIMEOUT: Final = 5.0
"""Seconds: the timeout for reading a page of the ledger or all keys, for which no request waits."""
_CLOCK_SKEW: Final = 3600
"""Seconds by which clocks may differ. An entry's `at` may be that much later than its id in the stream."""


def script(name: str) -> str:
    """Returns the text of the script `lua/NAME.lua`."""
    return files(__package__ or "").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


class Redis(Store):
    """A store whose operations are single commands or scripts, which the server runs atomically.

    `clock` is the text of a Lua script that replaces `lua/clock.lua`, for tests.
    """

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
        self.breaker = breaker or StoreBreaker(f"Redis ({url.rpartition('@')[2].partition('?')[0]})")
        self._clock = clock
        self._redis: RedisConnection | None = None
        self._offset: float | None = None  # seconds: the server's time minus this process's monotonic time

    @override
    def now(self) -> float:
        """Returns the server's time, computed from its last reply; before the first reply, the local time."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    async def _call(
        self,
        command: str,
        arguments: Sequence[Argument],
        read: Callable[[Any], T],
        limit: float | None = None,
    ) -> T:
        """Runs a command or script and returns `read(reply)`.

        `limit` is the timeout in seconds; None is the breaker's default. Raises StoreDown.
        """
        call = self.breaker.begin(limit)
        if self._redis is None:
            shared = f"{self._clock or script('clock')}\n{script('common')}\n"
            self._redis = RedisConnection(
                self._url, {name: shared + script(name) for name in _SCRIPTS}, self._prefix
            )
        self._redis.put(call, command, arguments, read)
        result: T = await call.future
        return result

    def _value(self, reply: Any) -> Any:
        """Updates the clock from a script's reply (time, value, ...) and returns the value."""
        self._offset = float(reply[0]) - time.monotonic()
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
        expiry = _text(expired(entries))
        arguments = (hold_id, lease, expiry, "1" if enforce else "0", *_arguments(lines))
        return await self._call("hold", arguments, self._held)

    def _held(self, reply: Any) -> Held | Denied:
        if self._value(reply) == b"denied":
            _, _, position, used, ready_in = reply
            return Denied(position, int(used), float(ready_in) if ready_in else None)
        return Held(tuple([int(used) for used in reply[2]]), tuple(reply[3]))

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        check(lines)
        return await self._call("settle", (hold_id, _text(entries), *_arguments(lines)), self._bool)

    def _bool(self, reply: Any) -> bool:
        return bool(self._value(reply))

    @override
    async def sweep(self) -> int:
        total = 0
        while True:
            ended: int = await self._call("sweep", (_SWEEP_BATCH, self._ledger_days * _DAY), self._value)
            total += ended
            if ended < _SWEEP_BATCH:
                return total

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        def read(reply: Any) -> tuple[int, ...]:
            return tuple([int(used) for used in self._value(reply)])

        return await self._call("used", _arguments(lines), read)

    @override
    async def held(self) -> int:
        return await self._call("ZCARD", (f"{self._prefix}holds",), int)

    @override
    async def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        key = f"{self._prefix}ledger"
        start = str(int((since - _CLOCK_SKEW) * 1000)) if since > _CLOCK_SKEW else "-"
        while page := await self._call("XRANGE", (key, start, "+", "COUNT", _PAGE), _page, _READ_TIMEOUT):
            for _, entry in page:
                if entry.at >= since:
                    yield entry
            start = f"({page[-1][0]}"

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        def read(reply: Any) -> KeyRecord | None:
            text = self._value(reply)
            return None if text is None else key_from(reply[2].decode(), text)

        return await self._call("key_by_hash", (digest,), read)

    @override
    async def key(self, name: str) -> KeyRecord | None:
        def read(text: Any) -> KeyRecord | None:
            return None if text is None else key_from(name, text)

        return await self._call("HGET", (f"{self._prefix}keys", name), read)

    @override
    async def keys(self) -> list[KeyRecord]:
        def read(reply: Any) -> list[KeyRecord]:
            stored = zip(reply[::2], reply[1::2], strict=True)
            records = [key_from(name.decode(), text) for name, text in stored]
            return sorted(records, key=lambda record: record.name)

        return await self._call("HGETALL", (f"{self._prefix}keys",), read, _READ_TIMEOUT)

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self._call("put_key", (record.name, key_text(record), *record.hashes), self._bool)

    @override
    async def delete_key(self, name: str) -> bool:
        return await self._call("put_key", (name, ""), self._bool)

    @override
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        arguments: list[Argument] = [ISSUED]
        for each in issued:
            arguments += (each.key, each.provider, each.owner)
        await self._call("put_issued", arguments, self._value)

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        def read(reply: Any) -> list[Issued]:
            return [issued_from(key, text) for key, text in zip(keys, reply, strict=True) if text]

        names = [f"{self._prefix}issued:{key}" for key in keys]
        return await self._call("MGET", names, read) if names else []

    @override
    async def aclose(self) -> None:
        redis_connection, self._redis = self._redis, None
        if redis_connection is not None:
            await redis_connection.aclose()


def _arguments(lines: Sequence[Line]) -> list[Argument]:
    """Returns nine script arguments per line, in the order that `read_lines` in common.lua expects."""
    arguments: list[Argument] = []
    for line in lines:
        arguments += (
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
    return arguments


def _text(entries: Sequence[LedgerEntry]) -> bytes:
    """Returns the entries as JSON, one per line."""
    return b"\n".join([entry_text(entry) for entry in entries])


def _page(reply: Any) -> list[tuple[str, LedgerEntry]]:
    """Returns the stream ids and entries of an XRANGE reply."""
    return [(line.decode(), entry_from(members[1])) for line, members in reply]
