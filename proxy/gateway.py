"""The gateway: `routes.toml` folded into one ASGI app, and folded anew when it is reloaded."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Self

from .asgi import Receive, Scope, Send
from .budget.metering.price_card import lookup
from .config import Changes, Routes, differences, load_routes, targets_of
from .errors import ConfigError
from .exchange import Exchange
from .health.state_affinity import StateAffinity
from .health.target_health import Health
from .snapshot import Snapshot
from .stores.address import AddressError, open_store
from .stores.store import Store
from .upstream.transports import Transports

__all__ = ["Gateway"]

_log: Final = logging.getLogger("standby.reload")


class Gateway:
    """Standby as one ASGI app, from a file or from `Routes`. Raises ConfigError with all that is wrong.

    Served by itself it opens and closes with the server's lifespan. Mounted in a host whose lifespan does not
    reach it, it opens with its first request; close it with `aclose`, or give `lifespan` to the host. It
    watches no file: `reload` is the host's to call.
    """

    def __init__(self, routes: Routes | str | os.PathLike[str] = "routes.toml") -> None:
        first = routes if isinstance(routes, Routes) else load_routes(routes, prices=lookup)
        self.health = Health()
        self.affinity = StateAffinity()
        self.beside: list[AbstractAsyncContextManager[object]] = []
        """What is entered when a server starts the gateway, and left when it stops it."""
        self.reloaded: float | None = None
        """When the configuration was last replaced, in seconds since 1970."""
        self.reload_failed: ConfigError | None = None
        """What was wrong the last time, if it was not replaced."""
        self._snapshot = Snapshot(first, _store(first), Transports())
        self._retired: dict[Snapshot, asyncio.Task[None]] = {}
        """Those that have been replaced, until their last request has ended."""
        self._reloading = asyncio.Lock()

    @property
    def routes(self) -> Routes:
        """The configuration that new requests are given."""
        return self._snapshot.routes

    @property
    def transports(self) -> Transports:
        """The connections of new requests."""
        return self._snapshot.transports

    @property
    def store(self) -> Store:
        """The store of new requests. Another one may be set before the first."""
        return self._snapshot.store

    @store.setter
    def store(self, store: Store) -> None:
        self._snapshot.store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(receive, send)
            return
        snapshot = self._snapshot
        if kind == "http":
            exchange = Exchange.of(scope)
            exchange.routes = snapshot.routes
            exchange.health = self.health
            exchange.store = snapshot.store
            exchange.affinity = self.affinity
            exchange.relayed = True
        snapshot.users += 1
        try:
            await snapshot.app(scope, receive, send)
        finally:
            snapshot.leave()

    async def reload(self, routes: Routes | str | os.PathLike[str] | None = None) -> Changes:
        """Use another configuration for all requests from now on: the file's as it is now, unless given.

        Those under way keep theirs; what it alone uses is closed after the last of them. What is known of
        targets by name is kept, as is the store where its URL is the same. Raises ConfigError with all that
        is wrong, and then nothing has changed.
        """
        async with self._reloading:  # what was read first must not be the last to take effect
            before = self._snapshot
            try:
                if isinstance(routes, Routes):
                    new, changes = routes, differences(before.routes, routes)
                else:
                    file = before.routes.file if routes is None else routes
                    # Beside the requests: a large file takes a while.
                    new, changes = await asyncio.to_thread(_read, file, before.routes)
                after = Snapshot(new, self._store_for(new), before.transports.following())
            except ConfigError as error:
                self.reload_failed = error
                raise
            after.inherit(before)
            after.transports.adopt(new.targets.values())
            self._snapshot = after
            self.reload_failed, self.reloaded = None, time.time()
            self._retired[before] = asyncio.create_task(self._end(before))
            self._keep()
            return changes

    async def aclose(self) -> None:
        """Settle what is left, and close the store and every connection. A later request opens them again.

        To be called once no request is under way: middlewares that have an `aclose` end theirs first.
        """
        for snapshot in self._retired:
            snapshot.hurry()
        await asyncio.gather(*self._retired.values())
        async with AsyncExitStack() as closing:  # the last one named is the first, and each is tried
            closing.push_async_callback(self.store.aclose)
            closing.push_async_callback(self._snapshot.aclose)

    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncGenerator[None]:
        """A lifespan for the host's app: `Starlette(lifespan=gateway.lifespan)`."""
        del host
        async with self:
            yield

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as living:
            for each in self.beside:
                await living.enter_async_context(each)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        # Before the reply: the server may exit right after it.
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    # -- from one snapshot to the next ------------------------------------------------------

    def _store_for(self, routes: Routes) -> Store:
        """The store of `routes`: the same as long as some request uses the one at its URL."""
        place = routes.store, routes.folder
        for each in self._snapshots():
            if (each.routes.store, each.routes.folder) == place:
                return each.store
        return _store(routes)

    def _snapshots(self) -> Iterator[Snapshot]:
        """All that requests may be using."""
        yield self._snapshot
        yield from self._retired

    async def _end(self, snapshot: Snapshot) -> None:
        try:
            async with AsyncExitStack() as closing:
                closing.push_async_callback(self._release, snapshot)
                await snapshot.retire()
        except Exception:  # noqa: BLE001  it is logged, and requests go on
            _log.exception("what the configuration before had open could not be closed")

    async def _release(self, snapshot: Snapshot) -> None:
        del self._retired[snapshot]
        self._keep()
        if all(each.store is not snapshot.store for each in self._snapshots()):
            await snapshot.store.aclose()

    def _keep(self) -> None:
        """Forget targets and pools that no request can meet any more."""
        targets: set[str] = set()
        pools: dict[str, set[str]] = {}
        for each in self._snapshots():
            targets.update(each.routes.targets)
            for pool in each.routes.pools.values():
                pools.setdefault(pool.name, set()).update(target.name for target in targets_of(pool))
        self.health.keep(targets, pools)


def _store(routes: Routes) -> Store:
    """The store that the file names. Nothing is opened before its first use."""
    try:
        return open_store(routes.store, routes.folder)
    except AddressError as error:
        raise routes.error(("store",), str(error)) from error


def _read(file: str | os.PathLike[str], before: Routes) -> tuple[Routes, Changes]:
    routes = load_routes(file, prices=lookup)
    return routes, differences(before, routes)
