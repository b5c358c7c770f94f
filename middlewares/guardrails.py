"""Applies the rules for what may be said, in and out, on every attempt."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from pydantic import Field

from ..proxy.asgi import ASGIApp, Receive, Scope, Send, closing_at_shutdown
from ..proxy.config import Size
from ..proxy.dialects.registry import operation_at
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Exchange
from ..proxy.guardrails.answer_filter import FILTERED, AnswerEnded, AnswerFilter
from ..proxy.guardrails.external import External
from ..proxy.guardrails.request_guard import RequestGuard
from ..proxy.guardrails.rule_book import RuleBook
from ..proxy.guardrails.rules import Rule
from ..proxy.guardrails.schemas import requested_schema
from ..proxy.http.body import Body
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal

__all__ = ["Guardrails"]


@dataclass(eq=False)
class Guardrails:
    """Applies the rules for what may be said, in and out, on every attempt.

    Rules that bind for every target are applied to the request when it arrives; those that depend on the
    target are a clearance that every attempt must pass. The answer is read on its way to the caller. Where no
    rule applies, nothing is read, and the answer passes byte for byte.
    """

    app: ASGIApp
    _: KW_ONLY
    rules: tuple[Rule, ...] = ()
    """The rules, each a table. Those of the same kind need names of their own."""
    hold: Annotated[int, Field(ge=64, le=65_536)] = 1024
    """The most characters of a stream that are held back, which is the longest match that a pattern of the
    operator's may have on answers."""
    max_answer: Size = 8 * 1024 * 1024
    """The most bytes of an answer that must be read whole. A longer one counts as an error of its rules."""
    external: External = field(default_factory=External, repr=False, metadata={"toml": False})
    """What asks webhooks and functions."""
    _book: RuleBook = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._book = RuleBook(self.rules, self.hold)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, closing_at_shutdown(send, self.aclose))
            return
        exchange = Exchange.of(scope) if scope["type"] == "http" else None
        operation = None if exchange is None else exchange.operation or operation_at(_own_path(exchange.path))
        if exchange is None or operation is None or not self.rules:
            await self.app(scope, receive, send)  # no request to a provider
            return
        began = exchange.clock()
        try:
            body = receive if isinstance(receive, Body) else await opened(scope, receive)
            value = body.document.value
            guard = RequestGuard(self._book, self.external, exchange, operation, value)
            schema = requested_schema(value) if self._book.reads_schemas else None
            await guard.enter()
        except ClientGone:
            return
        except Refusal as refusal:
            exchange.step("guardrails", began, refusal.code)
            await send_refusal(scope, send, refusal)
            return
        exchange.step("guardrails", began)
        if guard.depends_on_target:
            exchange.clearances.append(guard.clear)
        inner = body.replaced() if guard.changed else body
        rules = self._book.applying("response", exchange)
        placeholders = guard.placeholders if guard.restores else None
        if operation.name not in FILTERED or not (rules or guard.restores):
            await self.app(scope, inner, send)
            return
        answer = AnswerFilter(
            send, exchange, operation, rules, self._book, self.external, schema, placeholders, self.max_answer
        )
        try:
            await self.app(scope, inner, answer.send)
        except AnswerEnded:
            pass
        except Exception:
            if not answer.cut:
                raise  # otherwise it comes from an app that did not expect its answer to be ended
        finally:
            answer.finish()

    def inherit(self, before: Guardrails) -> None:
        """After a reload, take over which webhooks do not answer from the Guardrails that this one
        replaces."""
        self.external.inherit(before.external)

    async def aclose(self) -> None:
        """Close the connections to webhooks. A later request opens new ones."""
        await self.external.aclose()


def _own_path(path: str) -> str:
    """Returns the gateway's path for one under a prefix of an own app, or with a slash at its end."""
    at = path.find("/v1/")
    return path[at:].rstrip("/") if at >= 0 else path
