"""What rules would do with a text, for an operator who tries them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .document_texts import Text
from .inspection import Finding, inspect
from .placeholders import redacted
from .rewriter import Rewriter
from .rule_book import RuleBook
from .rules import Rule, Stage
from .steps import finished
from .text_scan import Span

__all__ = ["Trial", "trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found, and the text with the redactions of all rules. `undecided` are rules that could not
    decide, and `left_out` those that read more than a text."""

    findings: tuple[Finding, ...]
    text: str
    undecided: tuple[Rule, ...]
    left_out: tuple[Rule, ...]

    @property
    def blocked_by(self) -> tuple[Rule, ...]:
        """The rules that would block the text, for all targets or some."""
        found = dict.fromkeys(each.rule for each in self.findings if each.rule.action == "block")
        return (*found, *(rule for rule in self.undecided if rule.on_error == "refuse"))


def trial(book: RuleBook, rules: Sequence[Rule], text: str, stage: Stage) -> Trial:
    """Returns what these rules of `book` would do with `text`. Raises NotStreamSafe."""
    rule_set = book.request if stage == "request" else book.response
    inspection = finished(inspect(rule_set, [Text({}, "", text, "user", "messages")], frozenset(rules)))
    findings = sorted(inspection.findings, key=lambda finding: finding.begin)
    redacting = [finding for finding in findings if finding.rule.action == "redact"]
    spans = [Span(finding.begin, finding.end, order, "") for order, finding in enumerate(redacting)]
    rewriter = Rewriter(lambda span, _: redacted(redacting[span.pattern].code))
    return Trial(
        tuple(findings),
        rewriter.write(spans, text, 0, len(text)),
        tuple(inspection.undecided),
        tuple(rule for rule in rules if rule.kind in {"limits", "schema", "webhook", "callable"}),
    )
