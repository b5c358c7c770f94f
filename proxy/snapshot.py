"""What one configuration amounts to while requests use it: the routes, and the stack folded from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import Any, Final, cast

from .asgi import ASGIApp
from .config import BUILT_IN, Routes, settings
from .http.hygiene import Hygiene
from .http.model_list import ModelList
from .http.probes import Probes
from .stores.store import Store
from .upstream.relay import Relay
from .upstream.transports import Transports

__all__ = ["Snapshot"]

_log: Final = logging.getLogger("standby.reload")


class Snapshot:
    """One configuration at run time. A request keeps the one it began with, to its end.

    `users` are the requests under way in it, counted by the gateway. Nothing in here refers to another
    snapshot, so that one that has been replaced is freed with its last request.
    """

    __slots__ = (
        "__weakref__",
        "_hurry",
        "_idle",
        "_middlewares",
        "_retired",
        "app",
        "routes",
        "store",
        "transports",
        "users",
    )

    def __init__(self, routes: Routes, store: Store, transports: Transports) -> None:
        """Fold the stack of `routes`. Raises ConfigError with what is wrong; nothing is opened."""
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
                _imported(routes, ("providers", name, "transport"), provider.transport)
        self.app = self._fold()

    def leave(self) -> None:
        """A request has ended."""
        self.users -= 1
        if self._retired and not self.users:
            self._idle.set()

    def inherit(self, before: Snapshot) -> None:
        """Take what its middlewares know from those of the same name and kind in the snapshot before."""
        for name, each in self._middlewares.items():
            other = before._middlewares.get(name)
            inherit = getattr(each, "inherit", None)
            if callable(inherit) and type(other) is type(each):
                inherit(other)

    async def aclose(self) -> None:
        """Close the middlewares that can be closed, outermost first, then the connections."""
        async with AsyncExitStack() as closing:  # the last one named is the first, and each is tried
            closing.push_async_callback(self.transports.aclose)
            for close in reversed(self._methods("aclose")):
                closing.push_async_callback(close)

    async def retire(self) -> None:
        """Close once the last request has ended and all it took is settled, however long the store takes.

        At once after `hurry`.
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
        """Have `retire` wait for nobody any more."""
        self._hurry.set()

    async def _ended(self) -> None:
        await self._idle.wait()
        for settled in self._methods("settled"):
            await settled()

    def _methods(self, name: str) -> list[Callable[[], Awaitable[object]]]:
        """The methods of this name that middlewares have, outermost first."""
        methods = (getattr(each, name, None) for each in self._middlewares.values())
        return [cast("Callable[[], Awaitable[object]]", each) for each in methods if callable(each)]

    def _fold(self) -> ASGIApp:
        """Wrap the relay in each middleware of the stack, innermost first, and all of it in hygiene."""
        routes = self.routes
        app: ASGIApp = ModelList(Relay(self.transports))
        made: dict[str, ASGIApp] = {}
        for name in reversed(routes.stack):
            app = made[name] = _middleware(routes, name)(app)
        self._middlewares = dict(reversed(made.items()))
        return Hygiene(Probes(app), **_settings(routes, "hygiene", Hygiene))


def _middleware(routes: Routes, name: str) -> Callable[[ASGIApp], ASGIApp]:
    make = _imported(routes, (name, "use"), BUILT_IN.get(name) or str(routes.tables[name]["use"]))
    return partial(make, **_settings(routes, name, make))


def _imported(routes: Routes, at: tuple[str, ...], use: str) -> Callable[..., Any]:
    """What `use`, which stands at the key `at`, names. Raises ConfigError with its line."""
    module, _, attribute = use.partition(":")
    try:
        methods: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise routes.error(at, f"cannot import {use}: {error}") from error
    if not callable(methods):
        raise routes.error(at, f"{use} cannot be called")
    return cast("Callable[..., Any]", methods)


def _settings(routes: Routes, name: str, make: Callable[..., Any]) -> dict[str, Any]:
    return settings(make, routes.tables.get(name, {}), file=routes.file, source=routes.source, name=name)
