"""The gateway as one ASGI app, built from `routes.toml`, and its reload."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Self

from .asgi import ASGIApp, Receive, Scope, Send
from .budget.metering.price_card import lookup
from .config import Changes, Routes, Target, differences, load_routes, targets_of
from .config.storage import shown
from .errors import ConfigError
from .exchange import Exchange
from .health.pool_state import PoolStates
from .health.state_affinity import StateAffinity
from .health.target_health import Health
from .ops.machine import check_machine
from .snapshot import Snapshot
from .stores.address import AddressError, open_store
from .stores.store import Store
from .telemetry.health_log import log_health_change
from .telemetry.line_writer import LineWriter
from .telemetry.metrics import Metrics
from .telemetry.observer import Observer
from .upstream.transports import Transports

__all__ = ["Gateway"]

_log: Final = logging.getLogger("standby.reload")
_STORE_RETRY: Final = 1.0
"""Seconds between two looks at a store that has not answered since the start. After failures its breaker lets
only one in up to 30 seconds ask."""


class Gateway:
    """Standby as one ASGI app, from a file or from `Routes`. Raises ConfigError with every error in it.

    If it is the server's app, it closes with the server's lifespan. If it is mounted in a host app, whose
    lifespan does not reach it, call `aclose` or pass `lifespan` to the host. Connections and the store open
    with the first request. It does not watch the file; the host calls `reload`.
    """

    def __init__(self, routes: Routes | str | os.PathLike[str] = "routes.toml") -> None:
        initial = routes if isinstance(routes, Routes) else load_routes(routes, prices=lookup)
        self.health = Health()
        self.health.on_change = log_health_change
        self.metrics = Metrics()
        """What all requests of this gateway add up to."""
        self.observer = Observer(self.metrics, PoolStates(self.health))
        self.affinity = StateAffinity()
        self._large = asyncio.Lock()
        self.requests: set[Exchange] = set()
        """The requests that are being handled now."""
        self.beside: list[AbstractAsyncContextManager[object]] = []
        """Context managers that are entered at the server's startup and exited at its shutdown."""
        self.reloaded: float | None = None
        """The time of the last successful reload in seconds since 1970, or None."""
        self.reload_failed: ConfigError | None = None
        """The error of the last reload, or None if that succeeded."""
        self._snapshot = Snapshot(initial, _open_store(initial), Transports(), self.health)
        if not initial.lenient:
            check_machine(initial, self.store)
        self._retired: dict[Snapshot, asyncio.Task[None]] = {}
        """The replaced snapshots whose requests have not all ended, with the tasks that close them."""
        self._first_answer: asyncio.Task[None] | None = None
        """Waits for the first answer of the store, once the lifespan has begun."""
        self._reloading = asyncio.Lock()
        self.observer.decisions = _decision_log(initial)

    @property
    def routes(self) -> Routes:
        """The configuration of new requests."""
        return self._snapshot.routes

    @property
    def transports(self) -> Transports:
        """The upstream connections of new requests."""
        return self._snapshot.transports

    @property
    def store(self) -> Store:
        """The store of new requests. It may be replaced before the first request."""
        return self._snapshot.store

    @store.setter
    def store(self, store: Store) -> None:
        self._snapshot.store = store

    def prepare(self) -> None:
        """Load now what middlewares would load during the first requests. It may take a second."""
        self._snapshot.prepare()

    def middleware(self, name: str) -> ASGIApp | None:
        """Returns the middleware of this name in the current stack, or None."""
        return self._snapshot.middleware(name)

    def total(self, name: str) -> int:
        """Returns the sum of the attribute `name` over all middlewares in use that have it."""
        return sum(snapshot.total(name) for snapshot in self._snapshots())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._run_lifespan(receive, send)
            return
        snapshot = self._snapshot
        exchange: Exchange | None = None
        if kind == "http":
            exchange = Exchange.of(scope)
            exchange.routes = snapshot.routes
            exchange.health = self.health
            exchange.store = snapshot.store
            exchange.affinity = self.affinity
            exchange.large = self._large
            exchange.relayed = True
            if snapshot.prober is not None:
                snapshot.prober.start()
        snapshot.users += 1
        if exchange is not None:
            self.requests.add(exchange)
        try:
            await snapshot.app(scope, receive, send)
        finally:
            if exchange is not None:
                self.requests.discard(exchange)
                self._observe(exchange)
            snapshot.leave()

    async def reload(self, routes: Routes | str | os.PathLike[str] | None = None) -> Changes:
        """Replace the configuration of new requests and return the changes.

        Without `routes` the file is read again. Running requests keep their configuration; its resources are
        closed after the last of them, unless the new one uses them too. Health is kept by target name, and
        the store is kept if its URL is the same. Raises ConfigError with every error in the file; then
        nothing has changed.
        """
        async with self._reloading:  # an older reading of the file must not replace a newer one
            before = self._snapshot
            try:
                if isinstance(routes, Routes):
                    new, changes = routes, differences(before.routes, routes)
                else:
                    file = before.routes.file if routes is None else routes
                    # In a thread, since a large file would block the event loop.
                    new, changes = await asyncio.to_thread(_read, file, before.routes)
                after = Snapshot(new, self._store_for(new), before.transports.following(), self.health)
                check_machine(new, after.store)
            except ConfigError as error:
                self.reload_failed = error
                raise
            after.inherit(before)
            after.transports.adopt(new.targets.values())
            others = _other_targets(before.routes, new)
            self.health.reset(others, {new.targets[name].provider.name for name in others})
            self._snapshot = after
            self._change_decision_log(before.routes, new)
            self.reload_failed, self.reloaded = None, time.time()
            self._retired[before] = asyncio.create_task(self._retire(before))
            if after.store is not before.store and not before.store.is_ready:
                self._expect_answer()
            self._forget_unused()
            return changes

    async def aclose(self) -> None:
        """Settle what is pending, and close the store and every connection. A later request opens them again.

        Call this when no request is running. Middlewares with an `aclose` are closed first.
        """
        if self._first_answer is not None:
            self._first_answer.cancel()
            self._first_answer = None
            self.store.is_ready = True  # nobody waits any more
        for snapshot in self._retired:
            snapshot.hurry()
        await asyncio.gather(*self._retired.values())
        async with AsyncExitStack() as closing:  # closed in reverse order, each even if another fails
            closing.push_async_callback(self._close_decision_log)
            closing.push_async_callback(self.store.aclose)
            closing.push_async_callback(self.affinity.aclose)
            closing.push_async_callback(self._snapshot.aclose)

    async def _close_decision_log(self) -> None:
        if self.observer.decisions is not None:
            await asyncio.to_thread(self.observer.decisions.close)

    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncGenerator[None]:
        """The lifespan to pass to a host app: `Starlette(lifespan=gateway.lifespan)`."""
        del host
        async with self:
            yield

    async def __aenter__(self) -> Self:
        self._expect_answer()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as contexts:
            await contexts.enter_async_context(self)  # first: closed whatever the others do as they end
            for context in self.beside:
                await contexts.enter_async_context(context)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        # Only now: the server may exit right after the reply.
        await send({"type": "lifespan.shutdown.complete"})

    def _expect_answer(self) -> None:
        """Start to wait for the store, if requests need one that others share."""
        if self._first_answer is not None:
            self._first_answer.cancel()
        store = self.store
        store.is_ready = not store.shared or {"auth", "budget"}.isdisjoint(self.routes.stack)
        self._first_answer = asyncio.create_task(self._wait_for_store(store))

    async def _wait_for_store(self, store: Store) -> None:
        """Ask the store until it answers for the first time; until then the gateway is not ready."""
        if store.is_ready:
            return
        logged = False
        while True:
            try:
                await store.held()
                break
            except Exception as error:  # noqa: BLE001  (a host's own store may raise anything)
                if not logged:
                    _log.error(
                        "not ready, since the store does not answer: %s: %s", shown(self.routes.store), error
                    )
                logged = True
            await asyncio.sleep(_STORE_RETRY)
        store.is_ready = True
        if logged:
            _log.warning("ready: the store answers")

    def _change_decision_log(self, before: Routes, after: Routes) -> None:
        if (before.decisions, before.folder) == (after.decisions, after.folder):
            return
        old, self.observer.decisions = self.observer.decisions, _decision_log(after)
        if old is not None:
            if self.observer.decisions is not None:
                self.observer.decisions.dropped = old.dropped
            asyncio.get_running_loop().run_in_executor(None, old.close)

    def _observe(self, exchange: Exchange) -> None:
        """Tell all observers that a request is over. An error in one must not change the outcome."""
        observers: list[Callable[[Exchange], None]] = [*exchange.observers, self.observer]
        for observer in observers:
            try:
                observer(exchange)
            except Exception:  # noqa: BLE001  logged; the answer has been sent
                _log.exception("%s: an observer of the request failed", exchange.id)
        exchange.observers.clear()

    # -- from one snapshot to the next ------------------------------------------------------

    def _store_for(self, routes: Routes) -> Store:
        """Returns the store of `routes`: that of a snapshot in use if the URL is the same, else a new one."""
        location = routes.store, routes.folder
        for snapshot in self._snapshots():
            if (snapshot.routes.store, snapshot.routes.folder) == location:
                return snapshot.store
        return _open_store(routes)

    def _snapshots(self) -> Iterator[Snapshot]:
        """Yields the snapshots that requests may use: the current one and the retired ones."""
        yield self._snapshot
        yield from self._retired

    async def _retire(self, snapshot: Snapshot) -> None:
        try:
            async with AsyncExitStack() as closing:
                closing.push_async_callback(self._release, snapshot)
                await snapshot.retire()
        except Exception:  # noqa: BLE001  logged; requests must go on
            _log.exception("what the configuration before had open could not be closed")

    async def _release(self, snapshot: Snapshot) -> None:
        del self._retired[snapshot]
        self._forget_unused()
        if all(each.store is not snapshot.store for each in self._snapshots()):
            await snapshot.store.aclose()

    def _forget_unused(self) -> None:
        """Remove the health of targets that are in no snapshot in use, and degradations without a rule."""
        targets: set[str] = set()
        judged: set[tuple[str, str]] = set()
        for snapshot in self._snapshots():
            targets.update(snapshot.routes.targets)
            for pool in snapshot.routes.pools.values():
                if pool.slow is not None or pool.degrade_on is not None:
                    judged.update((pool.name, target.name) for target in targets_of(pool))
        self.health.keep(targets, judged)


def _decision_log(routes: Routes) -> LineWriter | None:
    """Returns the writer of the decision log, without opening it; None if the file has none."""
    if routes.decisions is None:
        return None
    to = routes.decisions.to
    return LineWriter(None if to == "stdout" else routes.folder / to)


def _other_targets(before: Routes, after: Routes) -> set[str]:
    """The targets whose name stands for something else now, so that what was learned of them is void."""
    kept = before.targets.keys() & after.targets.keys()
    return {name for name in kept if _identity(before.targets[name]) != _identity(after.targets[name])}


def _identity(target: Target) -> tuple[object, ...]:
    provider = target.provider
    return (
        target.model,
        provider.dialect,
        provider.base_url,
        provider.key,
        provider.auth,
        provider.vendor,
        provider.query,
        provider.headers,
        provider.transport,
        provider.proxy,
        provider.ca,
    )


def _open_store(routes: Routes) -> Store:
    """Returns the store that the file names, without connecting yet. Raises ConfigError for a bad address."""
    try:
        return open_store(routes.store, routes.folder)
    except AddressError as error:
        raise routes.error(("store",), str(error)) from error


def _read(file: str | os.PathLike[str], before: Routes) -> tuple[Routes, Changes]:
    routes = load_routes(file, prices=lookup)
    return routes, differences(before, routes)
