"""Rules that need a whole answer to decide: schemas, webhooks and functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..exchange import Exchange
from .answer_guard import AnswerGuard
from .external import Call, External, Undecided
from .rule_book import RuleBook
from .rules import Rule
from .schemas import SchemaError, is_valid

__all__ = ["WHOLE", "WholeAnswer"]

WHOLE: Final = frozenset({"schema", "webhook", "callable"})
"""The kinds of rules that need a whole answer."""


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """Judges whole answers by the rules of `guard`. `schema` is what the request asks its answer to match."""

    guard: AnswerGuard
    book: RuleBook
    external: External
    exchange: Exchange
    schema: bytes | None

    async def judge(self, answers: Sequence[Sequence[str]]) -> list[str]:
        """Returns the texts that the rules leave of these, the parts of all answers one after the other.

        Raises Blocked and AnswerRefused.
        """
        texts = [text for parts in answers for text in parts]
        for rule in self.guard.rules:
            if rule.kind == "schema":
                self._check_schema(rule, ["".join(parts) for parts in answers])
            elif rule.kind in WHOLE:
                texts = await self._ask(rule, texts)
        return texts

    async def _ask(self, rule: Rule, texts: list[str]) -> list[str]:
        guard, served = self.guard, self.exchange.served
        target = None if served is None else served.candidate.name
        call = Call.of(rule, "response", texts, self.exchange, target)
        try:
            verdict = await self.external.ask(rule, call)
        except Undecided:
            guard.undecided((rule,))
            return texts
        if verdict is True:
            return texts
        if verdict is False and rule.action == "redact":
            guard.block(rule)
        guard.found(rule, rule.kind)
        if verdict is False or rule.action != "redact":
            return texts
        return verdict

    def _check_schema(self, rule: Rule, answers: Sequence[str]) -> None:
        try:
            schema = self.book.schema(rule, self.schema)
            if schema is not None and not all(is_valid(text, schema) for text in answers if text):
                self.guard.found(rule, "schema")
        except SchemaError:
            self.guard.undecided((rule,))
