"""One connection to a Redis server: what waits goes out as one batch, and answers come back in that order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from .store import StoreDown
from .store_breaker import StoreCall

__all__ = ["BATCH", "GIVE_UP", "RedisConnection", "Word"]

BATCH: Final = 256
"""Operations that are sent before the answers to them are read, at most."""
GIVE_UP: Final = 1.0
"""Seconds without the answers to a batch until the connection is given up. Its callers have gone long before;
whoever comes next should not wait behind it."""
_CLOSING: Final = 5.0
"""Seconds that closing waits for what was asked for before."""

Word: TypeAlias = str | bytes | int | float

_log = logging.getLogger("standby.store")


class _Job(NamedTuple):
    call: StoreCall
    command: str
    words: Sequence[Word]
    read: Callable[[Any], object]


class RedisConnection:
    """Sends commands of one event loop in the order in which they were put.

    `scripts` are loaded into every new connection's server, and a command that has the name of one runs it.
    Nothing is ever sent twice: whether it was done is not known once a connection breaks.
    """

    def __init__(self, url: str, scripts: Mapping[str, str], prefix: str) -> None:
        self._url = url
        self._scripts = scripts
        self._prefix = prefix
        self._digests: dict[str, bytes] = {}
        self._waiting: deque[_Job] = deque()
        self._connection: AbstractConnection | None = None
        self._pump: asyncio.Task[None] | None = None

    def put(
        self,
        call: StoreCall,
        command: str,
        words: Sequence[Word],
        read: Callable[[Any], object] = lambda reply: reply,
    ) -> None:
        """Have `command` carried out, and `call` ended with what `read` makes of the answer."""
        self._waiting.append(_Job(call, command, words, read))
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Finish what waits, as far as the server answers, and disconnect."""
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=_CLOSING)
        await self._disconnect()

    async def _run(self) -> None:
        try:
            while self._waiting:
                jobs: list[_Job] = []
                while self._waiting and len(jobs) < BATCH:
                    job = self._waiting.popleft()
                    if not job.call.dropped:
                        jobs.append(job)
                if jobs:
                    await self._carry_out(jobs)
        finally:
            self._pump = None

    async def _carry_out(self, jobs: Sequence[_Job]) -> None:
        reason = StoreDown("the connection to Redis has ended")
        try:
            async with asyncio.timeout(GIVE_UP):
                connection = self._connection or await self._connect()
                unknown = await self._exchange(connection, jobs)
                if unknown:  # somebody has flushed the scripts; of these nothing was done
                    await self._load(connection)
                    await self._exchange(connection, unknown)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            reason = StoreDown(f"Redis: {type(error).__name__}")
            await self._disconnect()
        except BaseException:
            await self._disconnect()
            raise
        finally:
            for job in jobs:
                job.call.fail(reason)  # those that were answered have ended before

    async def _exchange(self, connection: AbstractConnection, jobs: Sequence[_Job]) -> list[_Job]:
        """Send all, then end each call with its answer. Returns those whose script was not known."""
        packed = b"".join([_packed(self._command(job)) for job in jobs])
        await connection.send_packed_command(packed, check_health=False)
        unknown: list[_Job] = []
        for job in jobs:
            try:
                job.call.finish(job.read(cast("Any", await connection.read_response())))
            except NoScriptError:
                unknown.append(job)
            except ResponseError as error:
                _log.error("Redis: %s", error)
                job.call.fail(StoreDown(f"Redis: {type(error).__name__}"))
            except (LookupError, TypeError, ValueError) as error:
                _log.exception("Redis: an answer that makes no sense")
                job.call.fail(StoreDown(f"Redis: {type(error).__name__}"))
        return unknown

    def _command(self, job: _Job) -> tuple[Word, ...]:
        digest = self._digests.get(job.command)
        if digest is None:
            return (job.command, *job.words)
        return ("EVALSHA", digest, 1, self._prefix, *job.words)

    async def _connect(self) -> AbstractConnection:
        options = cast("dict[str, Any]", parse_url(self._url))
        kind: type[AbstractConnection] = options.pop("connection_class", Connection)
        connection = kind(
            **options,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=GIVE_UP,
        )
        self._connection = connection
        await cast("Any", connection).connect()  # which has no types
        await self._load(connection)
        return connection

    async def _load(self, connection: AbstractConnection) -> None:
        packed = b"".join([_packed(("SCRIPT", "LOAD", text)) for text in self._scripts.values()])
        await connection.send_packed_command(packed, check_health=False)
        self._digests = {name: cast("bytes", await connection.read_response()) for name in self._scripts}

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _packed(words: Sequence[Word]) -> bytes:
    """A command as it goes out. redis-py's own way of writing it takes five times as long."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
