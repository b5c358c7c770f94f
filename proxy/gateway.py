"""The gateway: `routes.toml` folded into one ASGI app."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any, Self, cast

from .asgi import ASGIApp, Receive, Scope, Send
from .budget.metering.price_card import lookup
from .config import BUILT_IN, Routes, load_routes, settings
from .exchange import Exchange
from .health.state_affinity import StateAffinity
from .health.target_health import Health
from .http.hygiene import Hygiene
from .http.model_list import ModelList
from .http.probes import Probes
from .stores.address import AddressError, open_store
from .stores.store import Store
from .upstream.relay import Relay
from .upstream.transports import Transports

__all__ = ["Gateway"]


class Gateway:
    """Standby as one ASGI app, from a file or from `Routes`. Raises ConfigError with all that is wrong.

    Served by itself it opens and closes with the server's lifespan. Mounted in a host whose lifespan does not
    reach it, it opens with its first request; close it with `aclose`, or give `lifespan` to the host.
    """

    def __init__(self, routes: Routes | str | os.PathLike[str] = "routes.toml") -> None:
        self.routes = routes if isinstance(routes, Routes) else load_routes(routes, prices=lookup)
        self.health = Health()
        self.affinity = StateAffinity()
        self.transports = Transports()
        self.store = _store(self.routes)
        self._closes: list[Callable[[], Awaitable[object]]] = []
        for name, provider in self.routes.providers.items():
            if provider.transport is not None:
                _imported(self.routes, ("providers", name, "transport"), provider.transport)
        self._app = self._fold(self.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            exchange = Exchange.of(scope)
            exchange.routes = self.routes
            exchange.health = self.health
            exchange.store = self.store
            exchange.affinity = self.affinity
            exchange.relayed = True
            await self._app(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, send)

    async def aclose(self) -> None:
        """Settle what is left, and close the store and every connection. A later request opens them again.

        To be called once no request is under way: middlewares that have an `aclose` end theirs first.
        """
        async with AsyncExitStack() as closing:  # the last one named is the first, and each is tried
            closing.push_async_callback(self.store.aclose)
            for close in reversed(self._closes):
                closing.push_async_callback(close)
            closing.push_async_callback(self.transports.aclose)

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
        await send({"type": "lifespan.startup.complete"})
        await receive()
        # Before the reply: the server may exit right after it.
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _fold(self, routes: Routes) -> ASGIApp:
        """Wrap the relay in each middleware of the stack, innermost first, and all of it in hygiene."""
        app: ASGIApp = ModelList(Relay(self.transports))
        for name in reversed(routes.stack):
            app = _middleware(routes, name)(app)
            close = getattr(app, "aclose", None)
            if callable(close):
                self._closes.insert(0, cast("Callable[[], Awaitable[object]]", close))
        return Hygiene(Probes(app), **_settings(routes, "hygiene", Hygiene))


def _store(routes: Routes) -> Store:
    """The store that the file names. Nothing is opened before its first use."""
    try:
        return open_store(routes.store, routes.folder)
    except AddressError as error:
        raise routes.error(("store",), str(error)) from error


def _middleware(routes: Routes, name: str) -> Callable[[ASGIApp], ASGIApp]:
    make = _imported(routes, (name, "use"), BUILT_IN.get(name) or str(routes.tables[name]["use"]))
    return partial(make, **_settings(routes, name, make))


def _imported(routes: Routes, at: tuple[str, ...], use: str) -> Callable[..., Any]:
    """What `use`, which stands at the key `at`, names. Raises ConfigError with its line."""
    module, _, attribute = use.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise routes.error(at, f"cannot import {use}: {error}") from error
    if not callable(found):
        raise routes.error(at, f"{use} cannot be called")
    return cast("Callable[..., Any]", found)


def _settings(routes: Routes, name: str, make: Callable[..., Any]) -> dict[str, Any]:
    return settings(make, routes.tables.get(name, {}), file=routes.file, source=routes.source, name=name)
