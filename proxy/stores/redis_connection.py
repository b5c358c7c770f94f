"""A pipelined connection to a Redis server: waiting commands are sent in batches, replies arrive in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from .store import StoreDown
from .store_breaker import StoreCall

__all__ = ["BATCH", "GIVE_UP", "Argument", "RedisConnection"]

BATCH: Final = 256
"""The maximum number of commands that are sent before their replies are read."""
GIVE_UP: Final = 1.0
"""Seconds: the timeout for connecting, and for each reply of a batch. After it, the connection is closed. By
then the batch's callers have timed out (see StoreBreaker), and later callers should not wait for it."""
_CLOSING: Final = 5.0
"""Seconds that closing waits for pending commands."""

Argument: TypeAlias = str | bytes | int | float

_log = logging.getLogger("standby.store")


class _Job(NamedTuple):
    """A queued command. `read` converts the reply to the result of `call`."""

    call: StoreCall
    command: str
    arguments: Sequence[Argument]
    read: Callable[[Any], object]


class RedisConnection:
    """Sends the commands of one event loop in the order in which they were queued.

    `scripts` maps names to Lua texts. They are loaded whenever a connection is made, and a command with the
    name of a script runs that script. `prefix` is passed to every script as KEYS[1]. No command is sent
    again after a connection has failed, because it is unknown whether it was executed.
    """

    def __init__(self, url: str, scripts: Mapping[str, str], prefix: str) -> None:
        self._url = url
        self._scripts = scripts
        self._prefix = prefix
        self._digests: dict[str, bytes] = {}
        self._waiting: deque[_Job] = deque()
        self._connection: AbstractConnection | None = None
        self._runner: asyncio.Task[None] | None = None
        self.progressed = 0.0
        """The time of `time.monotonic` at which a reply was last read."""

    def put(
        self,
        call: StoreCall,
        command: str,
        arguments: Sequence[Argument],
        read: Callable[[Any], object] = lambda reply: reply,
    ) -> None:
        """Queues `command`. `call` ends with `read(reply)`, or with StoreDown."""
        call.executor = self
        self._waiting.append(_Job(call, command, arguments, read))
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Waits for pending commands, for at most _CLOSING seconds, then disconnects."""
        if self._runner is not None:
            await asyncio.wait({self._runner}, timeout=_CLOSING)
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
            self._runner = None

    async def _carry_out(self, jobs: Sequence[_Job]) -> None:
        reason = StoreDown("the connection to Redis has ended")
        try:
            async with asyncio.timeout(GIVE_UP) as limit:
                connection = self._connection or await self._connect()
                unknown = await self._exchange(connection, jobs, limit)
                if unknown:  # the server's scripts were flushed, so these commands were not executed
                    await self._load(connection)
                    await self._exchange(connection, unknown, limit)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            reason = StoreDown(f"Redis: {type(error).__name__}")
            await self._disconnect()
        except BaseException:
            await self._disconnect()
            raise
        finally:
            for job in jobs:
                job.call.fail(reason)  # no effect on calls that have already ended

    async def _exchange(
        self, connection: AbstractConnection, jobs: Sequence[_Job], limit: asyncio.Timeout
    ) -> list[_Job]:
        """Sends all commands, then ends each call with its reply. With each, `limit` starts anew.

        Returns the jobs that failed because the server does not have their script.
        """
        sent: list[_Job] = []
        packed: list[bytes] = []
        for job in jobs:
            try:
                packed.append(_packed(self._command(job)))
            except UnicodeEncodeError as error:
                job.call.fail(error)  # no text: the other commands must not fail with it
            else:
                sent.append(job)
        await connection.send_packed_command(b"".join(packed), check_health=False)
        unknown: list[_Job] = []
        loop = asyncio.get_running_loop()
        for job in sent:
            try:
                reply = cast("Any", await connection.read_response())
                self.progressed = time.monotonic()
                limit.reschedule(loop.time() + GIVE_UP)
                job.call.finish(job.read(reply))
            except NoScriptError:
                unknown.append(job)
            except ResponseError as error:
                _log.error("Redis: %s", error)
                job.call.fail(StoreDown(f"Redis: {type(error).__name__}"))
            except (LookupError, TypeError, ValueError) as error:
                _log.exception("Redis: an answer that makes no sense")
                job.call.fail(StoreDown(f"Redis: {type(error).__name__}"))
        return unknown

    def _command(self, job: _Job) -> tuple[Argument, ...]:
        digest = self._digests.get(job.command)
        if digest is None:
            return (job.command, *job.arguments)
        return ("EVALSHA", digest, 1, self._prefix, *job.arguments)

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
        await cast("Any", connection).connect()  # untyped in redis-py
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


def _packed(arguments: Sequence[Argument]) -> bytes:
    """Encodes a command in the Redis protocol (RESP). redis-py's own encoder takes five times as long."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        text = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
