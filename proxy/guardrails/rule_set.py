"""The patterns of all rules that read the texts of one stage, compiled together. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from .encoded import ENCODED
from .expressions import folded_expression, is_anchored
from .injection import SIGNALS
from .links import links
from .pattern import Pattern, PatternSet
from .personal_data import PERSONAL_DATA, national
from .placeholders import PLACEHOLDER
from .rules import Rule
from .secrets import SECRETS
from .words import words

__all__ = ["RuleSet", "Sought"]

_BORDER: Final = re.compile(r"((?:^|[^\\])(?:\\\\)*)\\b")
_UNCUT: Final = frozenset({"email", "encoded", "ip", "link", "phone", "placeholder", "url_password"})
"""Codes of what is not looked for in several texts put together: no one cuts it to hide it, and the end of
one text and the begin of the next may look like it."""
_OUTSIDE: Final = frozenset({"user", "tool", "function", ""})
"""The roles in whose texts injections are looked for: what an operator writes is no injection, and neither is
what a model says."""


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """A pattern that a rule looks for.

    Findings with the same `score` count only together: different patterns in one text must have weights that
    add up to `threshold`. `rule` is None for a pattern that leads to others.
    """

    pattern: Pattern
    rule: Rule | None
    score: str | None = None
    weight: float = 1.0
    threshold: float = 1.0

    def reads(self, role: str) -> bool:
        """Whether it applies to texts of this role."""
        return self.rule is None or self.rule.kind != "injection" or role in _OUTSIDE


class RuleSet:
    """The patterns of `rules`, in their order. Raises ValueError for one that is invalid.

    A set for requests `decodes`, so that it finds what may be encoded too; one that `restores` finds
    placeholders.
    """

    def __init__(self, rules: Sequence[Rule], *, decodes: bool = False, restores: bool = False) -> None:
        self.sought = tuple(each for rule in rules for each in _sought(rule))
        if decodes and self.sought:
            self.sought += (Sought(ENCODED, None),)
        if restores:
            self.sought += (Sought(PLACEHOLDER, None),)
        self.patterns = PatternSet(each.pattern for each in self.sought)

    def warm(self) -> None:
        """Compile now what the first request would compile otherwise."""
        across, _ = self.across
        if self.patterns.is_bounded:
            self.patterns.warm()
            across.warm()

    @cached_property
    def across(self) -> tuple[PatternSet, tuple[Sought, ...]]:
        """The patterns for texts that are put together, in which words have no borders any more, and what is
        sought by each."""
        cut = tuple(each for each in self.sought if each.score is None and each.pattern.code not in _UNCUT)
        loose = (
            replace(each.pattern, expression=_BORDER.sub(r"\1", each.pattern.expression)) for each in cut
        )
        return PatternSet(loose), cut

    @cached_property
    def is_anchored(self) -> bool:
        """Whether a pattern matches at the begin or end of a text only, so that it must be read by itself."""
        return any(is_anchored(each.pattern.expression) for each in self.sought)


def _sought(rule: Rule) -> Iterator[Sought]:
    for pattern in _patterns(rule):
        yield Sought(_folded(pattern), rule)
    for topic, phrases in rule.topics.items():
        for phrase in phrases:
            yield Sought(words(topic, (phrase,)), rule, f"topic {topic}", 1.0, rule.at_least)
    if rule.kind == "injection":
        for signal in SIGNALS:
            pattern = _folded(Pattern("injection", signal.expression, batch="injection"))
            yield Sought(pattern, rule, "injection", signal.weight, rule.threshold)


def _patterns(rule: Rule) -> Iterator[Pattern]:
    if rule.kind in {"secrets", "personal_data"}:
        known = SECRETS if rule.kind == "secrets" else (*PERSONAL_DATA, *national(rule.countries))
        yield from (pattern for pattern in known if rule.find is None or pattern.code in rule.find)
    elif rule.kind == "patterns":
        yield from (Pattern("pattern", expression, batch="words") for expression in rule.patterns)
    elif rule.kind == "words" and rule.words:
        yield words("word", rule.words)
    elif rule.kind == "links":
        yield from links(rule.allow, rule.deny, images_only=rule.images_only)


def _folded(pattern: Pattern) -> Pattern:
    """Returns the pattern for normalised texts."""
    expression = pattern.expression
    return pattern if expression.isascii() else replace(pattern, expression=folded_expression(expression))
