"""One configuration at run time: its routes, and the stack of middlewares built from them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import Any, Final, cast

import httpx2

from .asgi import ASGIApp
from .config import BUILT_IN, Routes, settings
from .config.settings import SettingsError
from .health.target_health import Health
from .http.hygiene import Hygiene
from .http.model_list import ModelList
from .http.probes import Probes
from .stores.store import Store
from .upstream.prober import Prober
from .upstream.relay import Relay
from .upstream.transports import Transports

__all__ = ["Snapshot"]

_NAMED: Final = ("providers", "pools", "organisations", "teams", "users")
"""The sections of the file whose tables the settings of a middleware may name."""
_log: Final = logging.getLogger("standby.reload")


class Snapshot:
    """One configuration at run time. A request uses the same snapshot from its start to its end.

    `users` is the number of running requests, counted by the gateway. A snapshot has no reference to another
    one, so that a replaced snapshot is freed after its last request.
    """

    __slots__ = (
        "__weakref__",
        "_hurry",
        "_idle",
        "_middlewares",
        "_retired",
        "app",
        "prober",
        "routes",
        "store",
        "transports",
        "users",
    )

    def __init__(self, routes: Routes, store: Store, transports: Transports, health: Health) -> None:
        """Build the stack of `routes` without opening anything. Raises ConfigError."""
        self.routes = routes
        self.store = store
        self.transports = transports
        self.users = 0
        self._retired = False
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._middlewares: dict[str, ASGIApp] = {}
        for name, provider in routes.providers.items():
            if provider.transport is not None:
                _check_transport(routes, name, provider.transport)
        self.app = self._build_app()
        probed = [target for target in routes.targets.values() if target.probe is not None]
        self.prober = Prober(probed, transports, health) if probed else None

    def leave(self) -> None:
        """Count a request as ended."""
        self.users -= 1
        if self._retired and not self.users:
            self._idle.set()

    def inherit(self, before: Snapshot) -> None:
        """Take over the state of the previous snapshot's middlewares that have the same name and type."""
        for name, middleware in self._middlewares.items():
            previous = before._middlewares.get(name)
            inherit = getattr(middleware, "inherit", None)
            if callable(inherit) and type(previous) is type(middleware):
                inherit(previous)

    def prepare(self) -> None:
        """Call `prepare` of the middlewares that have one, with the configuration."""
        for middleware in self._middlewares.values():
            prepare = getattr(middleware, "prepare", None)
            if callable(prepare):
                prepare(self.routes)

    def middleware(self, name: str) -> ASGIApp | None:
        """Returns the middleware of this name, or None."""
        return self._middlewares.get(name)

    def total(self, name: str) -> int:
        """Returns the sum of the attribute `name` over the middlewares that have it."""
        return sum(getattr(middleware, name, 0) for middleware in self._middlewares.values())

    async def aclose(self) -> None:
        """Close the middlewares that have an `aclose`, outermost first, then the connections."""
        async with AsyncExitStack() as closing:  # closed in reverse order, each even if another fails
            closing.push_async_callback(self.transports.aclose)
            if self.prober is not None:
                closing.push_async_callback(self.prober.aclose)
            for close in reversed(self._methods("aclose")):
                closing.push_async_callback(close)

    async def retire(self) -> None:
        """Wait until the last request has ended and the middlewares have settled everything, then close.

        There is no timeout, but `hurry` ends the wait at once.
        """
        self._retired = True
        if not self.users:
            self._idle.set()
        ended = asyncio.create_task(self._ended())
        hurried = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait((ended, hurried), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, hurried):
                task.cancel()
            results = await asyncio.gather(ended, hurried, return_exceptions=True)
        if isinstance(results[0], Exception):
            _log.error("a middleware could not settle what it holds", exc_info=results[0])
        await self.aclose()

    def hurry(self) -> None:
        """Make `retire` close without waiting."""
        self._hurry.set()

    async def _ended(self) -> None:
        await self._idle.wait()
        for settle in self._methods("settled"):
            await settle()

    def _methods(self, name: str) -> list[Callable[[], Awaitable[object]]]:
        """Returns the methods of this name of all middlewares that have one, outermost first."""
        methods = (getattr(middleware, name, None) for middleware in self._middlewares.values())
        return [cast("Callable[[], Awaitable[object]]", method) for method in methods if callable(method)]

    def _build_app(self) -> ASGIApp:
        """Wrap Relay in each middleware of the stack, innermost first, then in Probes and Hygiene."""
        routes = self.routes
        app: ASGIApp = ModelList(Relay(self.transports))
        middlewares: dict[str, ASGIApp] = {}
        for name in reversed(routes.stack):
            try:
                app = middlewares[name] = _middleware(routes, name)(app)
            except SettingsError as error:
                raise routes.error((name, *error.path), error.message, error.hint) from None
        self._middlewares = dict(reversed(middlewares.items()))
        return Hygiene(Probes(app), **_settings(routes, "hygiene", Hygiene))


def _middleware(routes: Routes, name: str) -> Callable[[ASGIApp], ASGIApp]:
    make = _import(routes, (name, "use"), BUILT_IN.get(name) or str(routes.tables[name]["use"]))
    return partial(make, **_settings(routes, name, make))


def _check_transport(routes: Routes, name: str, path: str) -> None:
    """Raises ConfigError unless `path` leads to a class of transports, or to a function that may make one.

    The function is not called yet: what is named by mistake may do anything.
    """
    key = ("providers", name, "transport")
    made: object = _import(routes, key, path)
    if isinstance(made, type) and issubclass(made, httpx2.AsyncBaseTransport):
        return
    if isinstance(made, type) or not inspect.isroutine(made) or inspect.isbuiltin(made):
        hint = "name an httpx2.AsyncBaseTransport, or a function that makes one"
        raise routes.error(key, f"{path} is no transport", hint)


def _import(routes: Routes, key: tuple[str, ...], path: str) -> Callable[..., Any]:
    """Import `module:attribute`. Raises ConfigError at the line of `key` if this is not a callable."""
    module, _, attribute = path.partition(":")
    try:
        imported: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise routes.error(key, f"cannot import {path}: {error}") from error
    if not callable(imported):
        raise routes.error(key, f"{path} cannot be called")
    return cast("Callable[..., Any]", imported)


def _settings(routes: Routes, name: str, make: Callable[..., Any]) -> dict[str, Any]:
    return settings(
        make,
        routes.tables.get(name, {}),
        file=routes.file,
        source=routes.source,
        name=name,
        tables={section: getattr(routes, section) for section in _NAMED},
    )
