"""The rules of one request: what is refused at once, what is redacted, and what depends on the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..classify.faults import Rejection
from ..config import Target
from ..dialects.base import Operation
from ..errors import Refusal
from ..exchange import Attempt, Exchange, GuardrailResult
from .document_texts import DocumentTexts, Text, document_texts
from .external import Call, External, Undecided
from .inspection import Finding, Inspection, NotStreamSafe, inspect
from .limits import exceeded
from .links import may_lead_to
from .placeholders import Placeholders, redacted
from .rewriter import Rewriter
from .rule_book import RuleBook
from .rules import OUTCOMES, Rule
from .steps import finished_in_turns
from .text_scan import Span, TooComplex

__all__ = ["RequestGuard"]

_EXTERNAL: Final = frozenset({"webhook", "callable"})
_REFUSALS: Final = MappingProxyType(
    {
        "blocked": "guardrail_blocked",
        "undecided": "guardrail_unavailable",
        "not_scanned": "guardrail_not_scanned",
    }
)
_MODEL: Final = "model"
"""The member that no target sees as the caller wrote it."""


class _Forbidden(Exception):
    """A rule forbids the request, or the target: `outcome` is what is reported."""

    def __init__(self, outcome: str, rule: Rule) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.rule = rule

    def refusal(self) -> Refusal:
        """Returns what the caller gets."""
        name = self.rule.name
        headers = ((b"x-standby-guardrail", name.encode()),)
        return Refusal(_REFUSALS[self.outcome], param=name, headers=headers)


@dataclass(slots=True, eq=False)
class RequestGuard:
    """Judges one request by the rules that apply to it, at its entry and before each attempt.

    `value` is its document. Redactions of rules that bind for every target are written into it.
    """

    book: RuleBook
    external: External
    exchange: Exchange
    operation: Operation
    value: dict[str, Any]
    placeholders: Placeholders | None = field(default=None, init=False)
    changed: bool = field(default=False, init=False)
    """Whether `value` is not what the caller sent any more."""
    _texts: DocumentTexts = field(init=False)
    _inspection: Inspection = field(init=False)
    _general: tuple[Rule, ...] = field(init=False)
    _of_targets: tuple[Rule, ...] = field(init=False)

    @property
    def depends_on_target(self) -> bool:
        """Whether rules are left that bind for some targets only."""
        return bool(self._of_targets)

    @property
    def restores(self) -> bool:
        """Whether what is redacted may have to be restored in the answer."""
        return any(rule.restore for rule in (*self._general, *self._of_targets))

    async def enter(self) -> None:
        """Apply the rules that bind for every target. Raises Refusal."""
        rules, relayed = self.book.applying("request", self.exchange), self.exchange.relayed
        # A foreign app sends to targets that are not known here, so that every rule binds.
        self._general = tuple([rule for rule in rules if rule.when is None or not relayed])
        self._of_targets = tuple([rule for rule in rules if rule.when is not None and relayed])
        if not rules:
            return
        try:
            await self._apply(rules)
        except _Forbidden as forbidden:
            raise forbidden.refusal() from None

    async def _apply(self, rules: Sequence[Rule]) -> None:
        self._texts = document_texts(self.value, without=_MODEL)
        self.placeholders = Placeholders(text.text for text in self._texts.texts)
        await self._inspect(rules)
        for rule in self._general:
            self._judge(rule, None)
        self._write(self._redactions(self._general))
        changed = False
        for rule in self._general:
            if rule.kind in _EXTERNAL:
                changed |= await self._ask(rule, None)
        if changed and self._of_targets:
            self._texts = document_texts(self.value, without=_MODEL)
            await self._inspect(self._of_targets)

    async def clear(self, exchange: Exchange, attempt: Attempt) -> Rejection | None:
        """The clearance: applies the rules that bind for the target of this attempt."""
        del exchange
        target = attempt.candidate.target
        binding = [rule for rule in self._of_targets if rule.when is not None and rule.when.binds(target)]
        if not binding:
            return None
        try:
            attempt.amendments = await self._amendments(binding, target)
        except _Forbidden as forbidden:
            return Rejection(f"guardrail.{forbidden.outcome}", limit=forbidden.rule.name)
        return None

    async def _amendments(self, binding: Sequence[Rule], target: Target | None) -> dict[str, Any]:
        """Returns the members of the request that this target sees otherwise than others. Raises
        _Forbidden."""
        for rule in binding:
            self._judge(rule, target)
        redactions = self._redactions(binding)
        external = [rule for rule in binding if rule.kind in _EXTERNAL]
        if not redactions and not external:
            return {}
        replaced = self._replaced(self._redactions([*self._general, *binding])) if redactions else {}
        own = _Copy(self.value, self._texts.texts, replaced)
        for rule in external:
            own.write(await self._asked(rule, own.texts, target), rule)
        try:
            return own.members()
        except KeyError:
            raise _Forbidden("undecided", binding[0]) from None

    # -- patterns, limits and what cannot be read -------------------------------------------

    async def _inspect(self, rules: Iterable[Rule]) -> None:
        try:
            steps = inspect(self.book.request, self._texts.texts, frozenset(rules))
            self._inspection = await finished_in_turns(steps)
        except NotStreamSafe:
            raise Refusal("text_not_stream_safe") from None
        except TooComplex:
            self._inspection = Inspection(undecided=set(rules))

    def _judge(self, rule: Rule, target: Target | None) -> None:
        """Record what a rule found. Raises _Forbidden."""
        findings = [each for each in self._inspection.findings if each.rule is rule]
        codes = dict.fromkeys(finding.code for finding in findings)
        if rule.kind == "limits":
            code = exceeded(rule, self.operation, self.value, self._texts.texts)
            codes |= {} if code is None else {code: None}
        addressed = rule.kind == "links" and self._addresses(rule, findings)
        if addressed:
            codes["link"] = None
        if rule in self._inspection.undecided:
            self._record(rule, "undecided", (), target)
            if rule.on_error == "refuse":
                raise _Forbidden("undecided", rule)
        if self._texts.unscannable and rule.kind != "limits":
            self._record(rule, "not_scanned", dict.fromkeys(self._texts.unscannable), target)
            if rule.on_unscannable == "refuse":
                raise _Forbidden("not_scanned", rule)
        if not codes:
            return
        outcome = "blocked" if rule.action == "redact" and addressed else OUTCOMES[rule.action]
        self._record(rule, outcome, codes, target, max(1, len(findings)))
        if outcome == "blocked":
            raise _Forbidden("blocked", rule)

    def _addresses(self, rule: Rule, findings: Sequence[Finding]) -> bool:
        """Whether an image or file is to be loaded from where it may not, and its address is no finding, so
        that it cannot be redacted."""
        found = {self._texts.texts[finding.text].text for finding in findings}
        return any(
            url not in found and not may_lead_to(url, rule.allow, rule.deny) for url in self._texts.urls
        )

    def _record(
        self, rule: Rule, outcome: str, codes: Iterable[str], target: Target | None, times: int = 0
    ) -> None:
        name = None if target is None else target.name
        self.exchange.guardrails.append(
            GuardrailResult(rule.name, "request", outcome, tuple(codes), times, name)
        )

    # -- redaction --------------------------------------------------------------------------

    def _redactions(self, rules: Sequence[Rule]) -> list[Finding]:
        redacting = {rule for rule in rules if rule.action == "redact"}
        return [finding for finding in self._inspection.findings if finding.rule in redacting]

    def _write(self, findings: list[Finding]) -> None:
        for index, text in self._replaced(findings).items():
            self._texts.texts[index].write(text)
            self.changed = True

    def _replaced(self, findings: Sequence[Finding]) -> dict[int, str]:
        """Returns the texts with something to redact, without that, by their positions."""
        by_text: dict[int, list[Finding]] = {}
        for finding in findings:
            by_text.setdefault(finding.text, []).append(finding)
        replaced: dict[int, str] = {}
        for index, own in by_text.items():
            text = self._texts.texts[index]
            spans = [Span(finding.begin, finding.end, order, "") for order, finding in enumerate(own)]
            rewriter = Rewriter(self._replacement(own, json=text.json), json=text.json)
            replaced[index] = rewriter.write(spans, text.text, 0, len(text.text)) + rewriter.rest()
        return replaced

    def _replacement(self, findings: Sequence[Finding], *, json: bool) -> Callable[[Span, str], str]:
        def replace(span: Span, original: str) -> str:
            finding = findings[span.pattern]
            if finding.rule.restore and self.placeholders is not None:
                return self.placeholders.of(finding.code, _unescaped(original) if json else original)
            return redacted(finding.code)

        return replace

    # -- rules that somebody else decides ---------------------------------------------------

    async def _ask(self, rule: Rule, target: Target | None) -> bool:
        """Ask a rule about the texts as they are now. Returns whether it changed them. Raises _Forbidden."""
        texts = document_texts(self.value, without=_MODEL).texts
        before = [text.text for text in texts]
        after = await self._asked(rule, before, target)
        for text, old, new in zip(texts, before, after, strict=True):
            if old != new:
                _write_checked(text, new, rule)
                self.changed = True
        return before != after

    async def _asked(self, rule: Rule, texts: list[str], target: Target | None) -> list[str]:
        """Returns the texts that a rule allows. Raises _Forbidden."""
        name = None if target is None else target.name
        call = Call.of(rule, "request", texts, self.exchange, name)
        try:
            verdict = await self.external.ask(rule, call)
        except Undecided:
            self._record(rule, "undecided", (), target)
            if rule.on_error == "refuse":
                raise _Forbidden("undecided", rule) from None
            return texts
        if verdict is True:
            return texts
        if rule.action == "observe":
            self._record(rule, "observed", (rule.kind,), target, 1)
            return texts
        if verdict is False or rule.action == "block":
            self._record(rule, "blocked", (rule.kind,), target, 1)
            raise _Forbidden("blocked", rule)
        self._record(rule, "redacted", (rule.kind,), target, 1)
        return verdict


class _Copy:
    """The request as one target may see it. The original stays as others may see it."""

    def __init__(self, value: dict[str, Any], texts: Sequence[Text], replaced: Mapping[int, str]) -> None:
        changed = [texts[index] for index in replaced]
        before = [text.holder[text.key] for text in changed]
        for index, new in replaced.items():
            texts[index].write(new)
        self._value: dict[str, Any] = orjson.loads(orjson.dumps(value))
        for text, original in zip(changed, before, strict=True):
            text.holder[text.key] = original
        self._changed = {text.member for text in changed}
        self._texts = document_texts(self._value, without=_MODEL).texts
        self.texts = [text.text for text in self._texts]

    def write(self, texts: Sequence[str], rule: Rule) -> None:
        """Write the texts that a rule gave. Raises _Forbidden if one cannot stand in its place."""
        for text, old, new in zip(self._texts, self.texts, texts, strict=True):
            if old != new:
                _write_checked(text, new, rule)
                self._changed.add(text.member)
        self.texts = list(texts)

    def members(self) -> dict[str, Any]:
        """Returns the members of the request that this target sees otherwise than others. Raises KeyError if
        it must not see a member at all, since that is in the request of all."""
        if "" in self._changed:
            raise KeyError
        return {name: self._value[name] for name in self._changed}


def _unescaped(text: str) -> str:
    """Returns what a part of a JSON string stands for."""
    try:
        return str(orjson.loads(f'"{text}"'))
    except orjson.JSONDecodeError:
        return text


def _write_checked(text: Text, new: str, rule: Rule) -> None:
    try:
        text.write(new)
    except ValueError:  # free data that is no JSON any more, or names of members that are the same
        raise _Forbidden("undecided", rule) from None
