"""Finds in the texts of a request what rules look for. No I/O.

A request may be megabytes long, so the work is done in steps of a few milliseconds, between which the event
loop can serve others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple

from .document_texts import Text
from .encoded import decoded, hidden
from .normalized import MAX_MARKS, folded, is_stream_safe, normalized
from .occurrence import occurring_in_steps
from .pattern import PatternSet
from .rule_set import RuleSet, Sought
from .rules import Rule
from .text_scan import MAX_MATCHES, Span, TextScan, TooComplex

__all__ = ["Finding", "Inspection", "NotStreamSafe", "inspect"]

_STEP: Final = 16 * 1024
"""Characters that are worked on at once. The slowest work on a character takes about a quarter of a
microsecond."""
_SCANNED: Final = 4 * 1024
"""Characters of a text with something in it that are scanned at once, at most."""
_DENSE: Final = 100
"""Matches in one step from which on the next one is shorter."""


class NotStreamSafe(ValueError):
    """A text has more combining marks in a row than any language needs."""


class Finding(NamedTuple):
    """Something that a rule looks for: its code, and where it stands in which of the texts."""

    rule: Rule
    code: str
    text: int
    begin: int
    end: int


@dataclass(slots=True, eq=False)
class Inspection:
    """What was found, and the rules that could not decide."""

    findings: list[Finding] = field(default_factory=list[Finding])
    undecided: set[Rule] = field(default_factory=set[Rule])


def inspect(
    rule_set: RuleSet, texts: Sequence[Text], applies: frozenset[Rule]
) -> Generator[None, None, Inspection]:
    """Look for the patterns of the rules that apply. Yields between steps, and returns the result.

    Raises NotStreamSafe.
    """
    inspection = Inspection()
    copies: list[str] = []
    for text in texts:
        if len(text.text) <= _STEP or (text.text.isascii() and not (text.json and "\\" in text.text)):
            if not is_stream_safe(text.text):
                raise NotStreamSafe
            copies.append(folded(text.text, json=text.json))
        else:
            copies.append((yield from _folded_in_steps(text)))
    apart = yield from occurring_in_steps(rule_set.patterns, "\n".join(copies))
    suspects = [index for index, text in enumerate(texts) if apart or not text.text.isascii()]
    wanted = _wanted(rule_set, applies) if suspects else frozenset[int]()
    for index in suspects:
        yield from _inspect_one(rule_set, index, texts[index], copies[index], wanted, inspection)
        if len(inspection.findings) > MAX_MATCHES:
            inspection.undecided |= _rules(rule_set, wanted)
            return inspection
    plain = [index for index, text in enumerate(texts) if not text.json]
    if len(plain) > 1:
        yield from _inspect_across(rule_set, texts, copies, plain, inspection, applies)
    return inspection


def _wanted(rule_set: RuleSet, applies: frozenset[Rule]) -> frozenset[int]:
    """Returns the positions of the patterns of the rules that apply, and of those that lead to others."""
    return frozenset(
        index for index, each in enumerate(rule_set.sought) if each.rule is None or each.rule in applies
    )


def _folded_in_steps(text: Text) -> Generator[None, None, str]:
    parts: list[str] = []
    whole, at = text.text, 0
    while at < len(whole):
        # The marks before the piece belong to a run that may go on in it.
        if not is_stream_safe(whole[max(0, at - MAX_MARKS - 1) : at + _STEP]):
            raise NotStreamSafe
        copy = normalized(whole[at : at + _STEP], json=text.json, whole=at + _STEP >= len(whole))
        parts.append(copy.text)
        at += copy.size
        yield
    return "".join(parts)


def _inspect_one(
    rule_set: RuleSet, index: int, text: Text, copy: str, wanted: frozenset[int], inspection: Inspection
) -> Generator[None, None, None]:
    own = wanted & (yield from occurring_in_steps(rule_set.patterns, copy))
    own = frozenset(each for each in own if rule_set.sought[each].reads(text.role))
    found: list[tuple[Sought, int, int]] = []
    try:
        for span in (yield from _spans(rule_set.patterns, text.text, own, json=text.json)):
            sought = rule_set.sought[span.pattern]
            if sought.rule is not None:
                found.append((sought, span.begin, span.end))
            elif (
                inner := (yield from decoded(folded(text.text[span.begin : span.end], json=text.json)))
            ) is not None:
                inside = yield from _within(rule_set, inner, text, wanted)
                found += [(each, span.begin, span.end) for each in inside]
        for begin, end, inner in () if text.text.isascii() else hidden(text.text):
            found += [(each, begin, end) for each in (yield from _within(rule_set, inner, text, wanted))]
    except TooComplex:
        inspection.undecided |= _rules(rule_set, wanted)
        return
    inspection.findings += _counted(index, found)


def _rules(rule_set: RuleSet, wanted: frozenset[int]) -> set[Rule]:
    """Returns the rules of these patterns."""
    return {rule for each in wanted if (rule := rule_set.sought[each].rule) is not None}


def _within(
    rule_set: RuleSet, inner: str, text: Text, wanted: frozenset[int]
) -> Generator[None, None, list[Sought]]:
    """Returns what occurs in a text that was hidden in another."""
    copy = folded(inner)
    own = wanted & (yield from occurring_in_steps(rule_set.patterns, copy))
    spans = yield from _spans(rule_set.patterns, copy, own)
    found = [rule_set.sought[span.pattern] for span in spans]
    return [each for each in found if each.rule is not None and each.reads(text.role)]


def _spans(
    patterns: PatternSet, text: str, only: frozenset[int], *, json: bool = False
) -> Generator[None, None, list[Span]]:
    """Returns where these patterns match."""
    spans: list[Span] = []
    if not only:
        return spans
    scan = TextScan(patterns, json=json, only=only)
    if not patterns.is_bounded:  # a match may be as long as the text
        return scan.feed(text, last=True)
    at, step = 0, _SCANNED // 8
    while at < len(text):
        before = scan.matches
        spans += scan.feed(text[at : at + step], last=at + step >= len(text))
        scan.forget()
        at += step
        # Where there is much to judge, less of the text at once.
        dense = scan.matches - before > _DENSE
        step = max(_SCANNED // 16, step // 2) if dense else min(_SCANNED, step * 2)
        yield
    return spans


def _counted(index: int, found: Sequence[tuple[Sought, int, int]]) -> list[Finding]:
    """Returns the findings in a text; those that are scored together, only if they reach their threshold."""
    scores: dict[tuple[Rule, str], dict[Sought, float]] = {}
    for sought, _, _ in found:
        if sought.rule is not None and sought.score is not None:
            scores.setdefault((sought.rule, sought.score), {})[sought] = sought.weight
    findings: list[Finding] = []
    for sought, begin, end in found:
        if sought.rule is None:
            continue
        if sought.score is not None and sum(scores[sought.rule, sought.score].values()) < sought.threshold:
            continue
        findings.append(Finding(sought.rule, sought.pattern.code, index, begin, end))
    return findings


def _inspect_across(
    rule_set: RuleSet,
    texts: Sequence[Text],
    copies: Sequence[str],
    plain: Sequence[int],
    inspection: Inspection,
    applies: frozenset[Rule],
) -> Generator[None, None, None]:
    """Find what was cut into several texts: matches in all of them put together that no single one has.

    A part of such a match that the same rule finds by itself explains it, so it is left to that finding.
    """
    patterns, sought_by = rule_set.across
    occurring = yield from occurring_in_steps(patterns, "".join([copies[index] for index in plain]))
    wanted = {
        index: rule for index in occurring if (rule := sought_by[index].rule) is not None and rule in applies
    }
    if not wanted:
        return
    whole = "".join([texts[index].text for index in plain])
    borders = [0, *accumulate(len(texts[index].text) for index in plain)]
    known: dict[int, list[Finding]] = {}
    for finding in inspection.findings:
        known.setdefault(finding.text, []).append(finding)
    try:
        spans = yield from _spans(patterns, whole, frozenset(wanted))
    except TooComplex:
        inspection.undecided.update(wanted.values())
        return
    for span in spans:
        first, last = bisect_right(borders, span.begin) - 1, bisect_right(borders, span.end - 1) - 1
        if first == last:
            continue
        rule = wanted[span.pattern]
        parts = [
            Finding(
                rule,
                sought_by[span.pattern].pattern.code,
                plain[at],
                max(span.begin, borders[at]) - borders[at],
                min(span.end, borders[at + 1]) - borders[at],
            )
            for at in range(first, last + 1)
        ]
        overlapping = (
            finding.rule is rule and part.begin < finding.end and finding.begin < part.end
            for part in parts
            for finding in known.get(part.text, ())
        )
        if not any(overlapping):
            inspection.findings += parts
