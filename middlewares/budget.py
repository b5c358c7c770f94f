"""Holds what a request may cost before it is sent, and settles what it did cost afterwards."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from ..proxy.asgi import ASGIApp, Message, Receive, Scope, Send, closing_at_shutdown
from ..proxy.budget.accounts import Accounts
from ..proxy.budget.budget_store import BudgetStore
from ..proxy.budget.estimate import Charge, Estimate
from ..proxy.budget.metering.usage_meter import Unheard, amend
from ..proxy.budget.metering.vocabulary_cache import VocabularyCache
from ..proxy.budget.outage_allowance import OutageAllowance
from ..proxy.budget.request_budget import BudgetSettings, RequestBudget, failover_deadline
from ..proxy.budget.thresholds import Thresholds
from ..proxy.config import Routes
from ..proxy.config.money import nano
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Exchange
from ..proxy.http.body import Body
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal
from ..proxy.stores.memory import Memory
from ..proxy.stores.store import Store
from ..proxy.stores.store_source import StoreSource

__all__ = ["Budget"]


def _allowance(value: object, info: ValidationInfo) -> object:
    return value if value == "refuse" else nano(value, info)


OnStoreError = Annotated[Literal["refuse"] | int, BeforeValidator(_allowance)]


@dataclass(eq=False)
class Budget:
    """Holds what a request may cost before it is sent, and settles what it did cost afterwards.

    It applies the budgets and limits of the caller's scopes (from Auth), of the pool and of each target that
    is tried. Around an app without pools only the caller's rates, concurrent requests and numbers of requests
    are limited, and nothing that depends on the content of the request.
    """

    app: ASGIApp
    _: KW_ONLY
    mode: Literal["enforce", "observe"] = "enforce"
    """`observe` refuses nothing; the log and `x-standby-would-refuse` name what `enforce` would refuse."""
    charge: Charge = "all"
    """What counts against budgets: `all` attempts, or only the one `served`."""
    assume_output: Annotated[int, Field(ge=1, le=10_000_000)] = 4096
    """Tokens of output held for a request that sets no limit, where neither pool nor target does."""
    unheard: Unheard = "held"
    """How an answer counts whose caller left before its usage was told: as what was `held` for it, or as its
    `input` and what of it was heard."""
    on_store_error: OnStoreError = "refuse"
    """While the store is down: `refuse`, or dollars (as text) that each process may let through."""
    escrow: bool = True
    """Reserve slices of budgets in advance and take holds from them, without a call to the store for each."""
    store: Store | str | None = field(default=None, metadata={"toml": False})
    """A store or its URL. By default the gateway's, or this process's memory where there is no gateway."""
    _accounts: Accounts = field(default_factory=Accounts, init=False, repr=False)
    _thresholds: Thresholds = field(default_factory=Thresholds, init=False, repr=False)
    _vocabularies: VocabularyCache = field(default_factory=VocabularyCache, init=False, repr=False)
    _allowance: OutageAllowance | None = field(default=None, init=False, repr=False)
    _budget_store: BudgetStore | None = field(default=None, init=False, repr=False)
    _source: StoreSource = field(init=False, repr=False)
    _memory: Store = field(default_factory=Memory, init=False, repr=False)
    _settings: BudgetSettings | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._source = StoreSource(self.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, closing_at_shutdown(send, self.aclose))
            return
        exchange = Exchange.of(scope) if scope["type"] == "http" else None
        if exchange is None or (exchange.relayed and exchange.operation is None):
            await self.app(scope, receive, send)  # no request to a provider
            return
        estimate: Estimate | None = None
        began = exchange.clock()
        if exchange.operation is not None:
            try:
                receive = body = receive if isinstance(receive, Body) else await opened(scope, receive)
                estimate = self._estimate(exchange, body)
            except ClientGone:
                return
            except Refusal as refusal:
                exchange.step("budget", began, refusal.code)
                await send_refusal(scope, send, refusal)
                return
        request_budget = RequestBudget(self._settings_of(exchange), exchange, estimate)
        try:
            if (refused := await request_budget.enter()) is not None:
                exchange.step("budget", began, refused.code)
                await send_refusal(scope, send, refused)
                return
            exchange.step("budget", began)
            if estimate is not None:
                exchange.clearances.append(request_budget.clear)
            elif exchange.notes:
                send = _noting(exchange, send)
            await self.app(scope, receive, send)
        finally:
            await request_budget.leave()

    def prepare(self, routes: Routes) -> None:
        """Load what counting tokens for `routes` needs, so that the first request does not delay others."""
        self._vocabularies.load(routes)

    @property
    def settlements_waiting(self) -> int:
        """The number of settlements that the store has not confirmed yet."""
        return 0 if self._budget_store is None else self._budget_store.waiting

    async def settled(self) -> None:
        """Return once every hold is settled and the store has confirmed it."""
        if self._budget_store is not None:
            await self._budget_store.settled()

    def inherit(self, before: Budget) -> None:
        """After a reload, take over the state of the Budget that this one replaces, so that no alert is
        raised twice and no outage of the store gets its allowance twice."""
        self._thresholds = before._thresholds
        self._vocabularies.inherit(before._vocabularies)
        if self.on_store_error == before.on_store_error:
            self._allowance = before._allowance

    async def aclose(self) -> None:
        """Settle the open holds, and close the store if it was opened here. A later request opens it
        again."""
        budget_store, self._budget_store = self._budget_store, None
        if budget_store is not None:
            await budget_store.aclose()
        await self._source.aclose()
        await self._memory.aclose()

    def _estimate(self, exchange: Exchange, body: Body) -> Estimate | None:
        if exchange.pool is None:
            return None
        value = body.document.value
        amend(exchange, value)
        return Estimate(
            exchange,
            value,
            exchange.pool,
            charge=self.charge,
            assume_output=self.assume_output,
            unheard=self.unheard,
            vocabularies=self._vocabularies.of(exchange.routes),
        )

    def _settings_of(self, exchange: Exchange) -> BudgetSettings:
        settings = self._settings
        if settings is None or settings.routes is not exchange.routes or self._budget_store is None:
            settings = self._settings = BudgetSettings(
                self._budget_store_of(exchange),
                self._accounts,
                self._thresholds,
                self.mode == "enforce",
                exchange.routes,
                failover_deadline(exchange.routes),
            )
        return settings

    def _budget_store_of(self, exchange: Exchange) -> BudgetStore:
        if self._budget_store is None:
            store = self._source.store(exchange.store) or self._memory
            if self._allowance is None and isinstance(self.on_store_error, int):
                self._allowance = OutageAllowance(self.on_store_error)
            self._budget_store = BudgetStore(store, allowance=self._allowance, escrow=self.escrow)
        return self._budget_store


def _noting(exchange: Exchange, send: Send) -> Send:
    """A `send` that adds the notes of the exchange as headers: without a gateway nothing else does."""

    def noting(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *exchange.notes]}
        return send(message)

    return noting
