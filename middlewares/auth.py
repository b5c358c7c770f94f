"""Who calls, and what they may use."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, PlainValidator, ValidationInfo

from ..proxy.asgi import ASGIApp, Receive, Scope, Send, closing_at_shutdown
from ..proxy.classify.faults import Rejection
from ..proxy.config import Routes, Secret, imported, seconds
from ..proxy.config.values import Remark, objection
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import STORE_DOWN, Attempt, Exchange
from ..proxy.http.body import Body
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal
from ..proxy.keys.credentials import credential, digests
from ..proxy.keys.keyring import Keyring, Records, Unreadable
from ..proxy.keys.principal import Principal
from ..proxy.stores.store import Store, StoreBusy, StoreDown
from ..proxy.stores.store_source import StoreSource

__all__ = ["Auth", "PrincipalOf"]

log: Final = logging.getLogger("standby.auth")

PrincipalOf: TypeAlias = Callable[[Scope], "Awaitable[Principal | str | None] | Principal | str | None"]
"""The host application's own authentication. Returns a Principal, or the name of a key, user, team or
organisation of routes.toml ("user/ann" where several kinds share a name), or None for an unknown caller."""

_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)
"""RFC 9110, 11.6.1: a 401 names the scheme to use."""
_SECTIONS: Final = ("key", "user", "team", "organisation")


def _refuse_or_seconds(value: object, info: ValidationInfo) -> object:
    return value if value == "refuse" else seconds(value, info)


def _imported(value: object) -> object:
    """The callable that a file names by an import string; code passes the callable itself."""
    if isinstance(value, str):
        try:
            value = imported(value)
        except (ImportError, AttributeError, ValueError) as error:
            raise objection(
                Remark(f"cannot be imported: {error}", 'write "package.module:attribute"')
            ) from None
    if value is not None and not callable(value):
        raise objection(Remark("cannot be called"))
    return value


@dataclass(eq=False)
class Auth:
    """Authenticates the caller and limits it to what its key may use.

    The caller's key leads to a chain of scopes, whose rules all apply. What no target could satisfy is
    refused here. The rest is a clearance that every attempt must pass, so that no fallback leads where the
    key may not go. The body is read only after the caller is known.
    """

    app: ASGIApp
    _: KW_ONLY
    pepper: Secret | None = None
    """A secret that the hashes of keys are made with. Keep it apart from them."""
    on_store_error: Annotated[Literal["refuse"] | float, BeforeValidator(_refuse_or_seconds)] = "refuse"
    """While the store is down: refuse keys that only it knows, or trust its last answers for this many
    seconds."""
    principal: Annotated[PrincipalOf | None, PlainValidator(_imported)] = None
    """For hosts with an authentication of their own; the gateway then expects no key."""
    store: Store | str | None = field(default=None, metadata={"toml": False})
    """Where keys are looked up around a foreign app: a store or its URL. In a gateway it is the gateway's
    store."""
    routes: Routes | None = field(default=None, metadata={"toml": False})
    """The configuration around a foreign app: teams, keys and the rest. In a gateway it is the gateway's."""
    clock: Callable[[], float] = field(default=time.monotonic, metadata={"toml": False})
    now: Callable[[], float] = field(default=time.time, metadata={"toml": False})
    """Seconds since 1970, for the expiry of keys where there is no store with a clock."""
    _keyring: Keyring | None = field(default=None, init=False, repr=False)
    _records: Records | None = field(default=None, init=False, repr=False)
    _source: StoreSource = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._source = StoreSource(self.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, closing_at_shutdown(send, self.aclose))
            return
        if scope["type"] == "websocket":
            await self._turn_away(receive, send)
            return
        exchange = Exchange.of(scope)
        began = exchange.clock()
        try:
            principal = exchange.principal = await self._admitted(exchange, scope)
            if exchange.operation is not None:
                receive = await self._allowed(principal, exchange, scope, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            exchange.step("auth", began, refusal.code)
            await send_refusal(scope, send, refusal)
            return
        exchange.step("auth", began)
        exchange.clearances.append(partial(self.clear, principal))
        await self.app(scope, receive, send)

    def inherit(self, before: Auth) -> None:
        """After a reload, take over the cached answers of the store from the Auth that this one replaces."""
        if self.pepper == before.pepper and self.store == before.store and before._keyring is not None:
            self._records = before._keyring.records

    async def aclose(self) -> None:
        """Close the store, if it was opened here."""
        await self._source.aclose()

    async def _admitted(self, exchange: Exchange, scope: Scope) -> Principal:
        """The caller, whose key is valid now and from this address. Raises Refusal otherwise."""
        routes = exchange.routes or self.routes
        store = self._store(exchange)
        if self.principal is not None:
            principal = await self._of_host(self.principal, scope, routes)
        else:
            principal = await self._of_key(exchange, routes, store)
        if principal is None:
            raise Refusal("invalid_api_key", headers=_CHALLENGE)
        if principal.may_end and (ended := principal.ended(self._now(store))) is not None:
            raise Refusal(ended, headers=_CHALLENGE)
        client = scope.get("client")
        if not principal.comes_from(client[0] if client else None):
            raise Refusal("ip_not_allowed")
        return principal

    async def _of_key(
        self, exchange: Exchange, routes: Routes | None, store: Store | None
    ) -> Principal | None:
        keyring = self._keyring
        if keyring is None or keyring.routes is not routes:
            grace = 0.0 if self.on_store_error == "refuse" else self.on_store_error
            keyring = self._keyring = Keyring(routes, grace, self.clock, self._records)
        secret = credential(exchange.headers)
        if secret is None:
            return None
        pepper = self.pepper.reveal() if self.pepper is not None else None
        try:
            return await keyring.find(digests(secret, pepper), store)
        except StoreBusy:
            raise Refusal("overloaded", retry_after=1.0, retryable=True) from None
        except StoreDown:
            exchange.notices.append(STORE_DOWN)
            raise Refusal("auth_unavailable", retry_after=1.0, retryable=True) from None
        except Unreadable as error:
            log.error("%s: %s", exchange.id, error)  # noqa: TRY400  what is wrong is data, not code
            raise Refusal("auth_unavailable") from None

    async def _of_host(
        self, principal_of: PrincipalOf, scope: Scope, routes: Routes | None
    ) -> Principal | None:
        try:
            answer_of_host = principal_of(scope)
            named = await answer_of_host if inspect.isawaitable(answer_of_host) else answer_of_host
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it must not let anybody in
            # Its text may hold what the caller sent as a credential.
            error_name = type(error).__name__
            log.error("%s: the host's principal raised %s", Exchange.of(scope).id, error_name)  # noqa: TRY400
            raise Refusal("auth_unavailable", retry_after=1.0) from None
        if not isinstance(named, str):
            return named
        kind, _, name = named.rpartition("/")
        for each in (kind,) if kind in _SECTIONS else () if kind else _SECTIONS:
            table = getattr(routes, f"{each}s", {}).get(name)
            if table is not None:
                return Principal.of(table)
        log.warning("%s: there is no %s %r in routes.toml", Exchange.of(scope).id, kind or "scope", name)
        return None

    @staticmethod
    async def _allowed(principal: Principal, exchange: Exchange, scope: Scope, receive: Receive) -> Receive:
        """Open the request. Raises Refusal for what no target may give this caller."""
        try:
            receive = receive if isinstance(receive, Body) else await opened(scope, receive)
        except Refusal as refusal:
            if refusal.code not in {"unknown_model", "operation_not_supported"} or principal.pools is None:
                raise
            routes, model = exchange.routes, exchange.model
            pool = routes.pool_for(model) if routes is not None and model is not None else None
            if pool is not None and principal.grants(pool.name):
                raise
            # A caller that may not use a model does not learn whether it exists.
            raise Refusal("model_not_allowed", param="model", detail=model) from None
        if (pool := exchange.pool) is None:
            return receive
        if not principal.grants(pool.name):
            raise Refusal("model_not_allowed", param="model", detail=exchange.model)
        lacking = principal.lacks(pool)
        if lacking is not None:
            raise Refusal(lacking, param="model", detail=exchange.model)
        return receive

    async def clear(self, principal: Principal, exchange: Exchange, attempt: Attempt) -> Rejection | None:
        """The clearance: whether this attempt of `principal` may go to its target, now."""
        target = attempt.candidate.target
        if exchange.pool is not None and not principal.grants(exchange.pool.name):
            return Rejection("policy.model_not_allowed")
        if principal.may_end and principal.ended(self._now(self._store(exchange))) is not None:
            return Rejection("policy.expired")
        objection = principal.objection(target) if target is not None else None
        return Rejection(objection) if objection is not None else None

    def _store(self, exchange: Exchange) -> Store | None:
        return self._source.store(exchange.store)

    def _now(self, store: Store | None) -> float:
        return store.now() if store is not None else self.now()

    @staticmethod
    async def _turn_away(receive: Receive, send: Send) -> None:
        """Close it: nothing here checks what is sent over a WebSocket."""
        await receive()
        await send({"type": "websocket.close", "code": 1008})
