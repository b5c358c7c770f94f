"""The rules of one answer: what each finding in it leads to. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import orjson

from ..exchange import Exchange, GuardrailResult
from .document_texts import document_texts
from .normalized import folded
from .occurrence import occurring
from .placeholders import PLACEHOLDER, Placeholders, redacted
from .redactor import Redactor
from .rewriter import Blocked
from .rule_set import RuleSet, Sought
from .rules import OUTCOMES, Rule
from .text_scan import Span, TooComplex

__all__ = ["AnswerGuard", "AnswerRefused", "AnswerText"]

_AT_ONCE: Final = 4 * 1024
"""Characters of a whole text that are read at once."""
_NESTED: Final = 4
"""Documents within strings of documents that are looked into before an event is read text by text."""
_NOWHERE: Final = frozenset[tuple[int, object]]()


class AnswerRefused(Exception):
    """A rule cannot decide about the answer, and refuses what it cannot decide about."""


@dataclass(slots=True, eq=False)
class AnswerGuard:
    """Judges one answer by those of `all_rules` that bind for the target that gives it."""

    all_rules: Sequence[Rule]
    rule_set: RuleSet
    placeholders: Placeholders | None
    exchange: Exchange
    collects: bool = False
    """Whether the texts that go out are kept, for rules that need the whole answer."""
    rules: Sequence[Rule] = field(default=(), init=False)
    """The rules that bind, and in no order `binding`."""
    binding: frozenset[Rule] = field(default=frozenset(), init=False)
    stopped_by: Rule | None = field(default=None, init=False)
    """The rule that blocked the answer."""
    _again: bool = field(default=False, init=False)
    _counts: dict[tuple[Rule, str], dict[str, int]] = field(
        default_factory=dict[tuple[Rule, str], dict[str, int]], init=False
    )

    def __post_init__(self) -> None:
        self.bind()

    def bind(self) -> None:
        """Find out which rules bind for the target that is served now."""
        served = self.exchange.served
        target = None if served is None else served.candidate.target
        self.rules = [rule for rule in self.all_rules if rule.when is None or rule.when.binds(target)]
        self.binding = frozenset(self.rules)

    def text(self, *, json: bool = False) -> AnswerText:
        """Returns a new text of the answer, of which nothing has been read yet."""
        return AnswerText(self, json=json)

    def occurs(self, raw: bytes) -> bool:
        """Whether anything that a rule looks for may stand in these bytes, which may be those of JSON."""
        if self.rule_set.is_anchored:
            return True
        patterns = self.rule_set.patterns
        text = raw.decode("utf-8", "replace")
        if "\\" not in text and text.isascii():
            return bool(occurring(patterns, text))
        for _ in range(_NESTED):  # a string of JSON may hold JSON again
            text = folded(text, json=True)
            if occurring(patterns, text):
                return True
            if "\\" not in text:
                return False
        return True

    def clean(self, head: dict[str, Any]) -> dict[str, Any]:
        """Returns what a provider says of its answer, unless something that a rule looks for is in it."""
        return {} if self.occurs(orjson.dumps(head)) else head

    def document(
        self,
        value: dict[str, Any],
        *,
        again: bool = False,
        without: AbstractSet[tuple[int, object]] = _NOWHERE,
    ) -> bool:
        """Redact every text of a whole document in place. Returns whether it changed.

        With `again`, its texts were counted before, when they came in pieces. `without` are places that were
        read: the ids of their holders, and their keys. Raises Blocked and AnswerRefused.
        """
        self._again = again
        try:
            return self._document(value, without)
        finally:
            self._again = False

    def _document(self, value: dict[str, Any], without: AbstractSet[tuple[int, object]]) -> bool:
        found = document_texts(value)
        if found.unscannable:
            self.not_scanned(found.unscannable)
        changed = False
        for text in found.texts:
            if (id(text.holder), text.key) in without:
                continue
            new = self.text(json=text.json).whole(text.text)
            if new != text.text:
                text.write(new)
                changed = True
        return changed

    def found(self, rule: Rule, code: str) -> None:
        """Count a finding. Raises Blocked if its rule forbids it."""
        counts = self._counts.setdefault((rule, OUTCOMES[rule.action]), {})
        if not (self._again and code in counts):
            counts[code] = counts.get(code, 0) + 1
        if rule.action == "block":
            self.block(rule)

    def block(self, rule: Rule) -> NoReturn:
        """End the answer because of `rule`. Raises Blocked."""
        self.stopped_by = self.stopped_by or rule
        counts = self._counts.setdefault((rule, "blocked"), {})
        if not counts:
            counts[rule.kind] = 1
        raise Blocked

    def end_instead(self) -> None:
        """Say that the answer ends because a rule would have had it redacted."""
        for (rule, outcome), counts in tuple(self._counts.items()):
            if outcome == "redacted" and rule.kind in counts:
                del self._counts[rule, outcome]
                self._counts[rule, "blocked"] = counts
                self.stopped_by = self.stopped_by or rule

    def rewrite(self, value: dict[str, Any], old: str, new: str) -> None:
        """Write `new` wherever the text `old` stands in a document."""
        for text in document_texts(value).texts:
            if text.text == old:
                text.write(new)

    def not_scanned(self, kinds: Sequence[str]) -> None:
        """Note that a part of the answer cannot be read. Raises AnswerRefused if a rule refuses that."""
        for rule in self.rules:
            self._counts.setdefault((rule, "not_scanned"), {}).update(dict.fromkeys(kinds, 1))
        self._refused_by([rule for rule in self.rules if rule.on_unscannable == "refuse"])

    def undecided(self, rules: Sequence[Rule]) -> None:
        """Note that rules cannot decide. Raises AnswerRefused if one of them refuses then."""
        for rule in rules:
            self._counts.setdefault((rule, "undecided"), {})
        self._refused_by([rule for rule in rules if rule.on_error == "refuse"])

    def _refused_by(self, rules: Sequence[Rule]) -> None:
        if rules:
            self.stopped_by = self.stopped_by or rules[0]
            raise AnswerRefused

    def finish(self) -> None:
        """Write what was found into the exchange."""
        served = self.exchange.served
        target = None if served is None else served.candidate.name
        for (rule, outcome), counts in self._counts.items():
            self.exchange.guardrails.append(
                GuardrailResult(rule.name, "response", outcome, tuple(counts), sum(counts.values()), target)
            )
        self._counts = {}


class AnswerText:
    """One text of an answer on its way: of a choice, a block, or the arguments of a tool."""

    __slots__ = ("_guard", "_json", "_known", "_passes", "_redactor", "_scores")

    def __init__(self, guard: AnswerGuard, *, json: bool) -> None:
        self._guard = guard
        self._json = json
        self._redactor = Redactor(guard.rule_set.patterns, self._replace, json=json)
        self._scores: dict[tuple[Rule, str], dict[Sought, float]] = {}
        self._known: set[tuple[Rule, str]] = set()
        self._passes = False  # it was too complex, and the rules let it pass

    @property
    def held(self) -> int:
        """The number of characters that are held back."""
        return self._redactor.held

    def feed(self, piece: str, *, last: bool = False) -> str:
        """Returns the text that may go out now. Raises Blocked and AnswerRefused."""
        if self._passes:
            return piece
        try:
            return self._redactor.feed(piece, last=last)
        except TooComplex:
            self._guard.undecided(self._guard.rules)
            self._passes = True
            return self._redactor.undecided

    def whole(self, text: str) -> str:
        """Returns what a whole text becomes. Raises Blocked and AnswerRefused."""
        patterns = self._guard.rule_set.patterns
        only = occurring(patterns, folded(text, json=self._json))
        if not only:
            return text
        self._redactor = Redactor(patterns, self._replace, json=self._json, only=only)
        ends = range(_AT_ONCE, len(text) + _AT_ONCE, _AT_ONCE)  # others can run between the pieces
        return "".join([self.feed(text[end - _AT_ONCE : end], last=end >= len(text)) for end in ends])

    def _replace(self, span: Span, original: str) -> str | None:
        guard = self._guard
        sought = guard.rule_set.sought[span.pattern]
        rule = sought.rule
        if rule is None:
            return self._restored(original) if sought.pattern is PLACEHOLDER else None
        if rule not in guard.binding:
            return None
        if sought.score is not None and not self._scored(rule, sought.score, sought):
            return None
        guard.found(rule, sought.pattern.code)
        return redacted(sought.pattern.code) if rule.action == "redact" else None

    def _scored(self, rule: Rule, score: str, sought: Sought) -> bool:
        """Whether this finding, together with those before it, reaches its threshold for the first time."""
        if (rule, score) in self._known:
            return False
        weights = self._scores.setdefault((rule, score), {})
        weights[sought] = sought.weight
        if sum(weights.values()) < sought.threshold:
            return False
        self._known.add((rule, score))
        return True

    def _restored(self, placeholder: str) -> str | None:
        placeholders = self._guard.placeholders
        original = None if placeholders is None else placeholders.original(placeholder)
        if original is None or not self._json:
            return original
        return orjson.dumps(original).decode()[1:-1]
