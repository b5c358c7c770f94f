"""How much is found, and how often wrongly, on labelled texts. docs/guardrails.md has these figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from standby.proxy.guardrails.pattern import Pattern, PatternSet
from standby.proxy.guardrails.personal_data import COUNTRIES, PERSONAL_DATA, national
from standby.proxy.guardrails.rule_book import RuleBook
from standby.proxy.guardrails.rules import Rule
from standby.proxy.guardrails.secrets import SECRETS
from standby.proxy.guardrails.text_scan import TextScan
from standby.proxy.guardrails.trial import trial

__all__ = ["Rates", "injection", "measured", "of_detect_secrets"]

CORPUS: Final = Path(__file__).parent / "corpus"
_COUNTERPARTS: Final = frozenset(
    {
        *("aws_key", "azure_storage_key", "basic_auth", "discord", "github_token", "gitlab_token", "jwt"),
        *("mailchimp_key", "npm", "openai", "private_key", "pypi_token", "sendgrid", "slack", "stripe_key"),
        *("telegram_token", "twilio"),
    }
)
_COVERED: Final = 0.6
"""The share of a secret that must be found: of a private key, its last line may stay."""


class Rates:
    """Labelled findings that were found or missed, and findings where nothing is labelled."""

    def __init__(self) -> None:
        self.found = self.missed = self.wrong = 0

    @property
    def recall(self) -> float:
        """The share of what is there that was found."""
        return self.found / (self.found + self.missed)

    @property
    def precision(self) -> float:
        """The share of what was found that is there."""
        return self.found / (self.found + self.wrong)

    def __str__(self) -> str:
        return f"recall {self.recall:.1%}, precision {self.precision:.1%}"


def rows(name: str) -> list[dict[str, Any]]:
    """The labelled texts of a file."""
    return [json.loads(line) for line in (CORPUS / f"{name}.jsonl").read_bytes().split(b"\n") if line]


def measured(name: str, patterns: Iterable[Pattern]) -> Rates:
    """How well these patterns find what a file is labelled with."""
    found_by, rates = PatternSet(patterns), Rates()
    for row in rows(name):
        text: str = row["text"]
        spans = TextScan(found_by).feed(text, last=True)
        labels = [(begin := text.index(each["value"]), begin + len(each["value"])) for each in row["finds"]]
        for begin, end in labels:
            covered = [min(end, span.end) - max(begin, span.begin) for span in spans]
            if max(covered, default=0) >= _COVERED * (end - begin):
                rates.found += 1
            else:
                rates.missed += 1
        for span in spans:
            rates.wrong += not any(span.begin < end and begin < span.end for begin, end in labels)
    return rates


def is_held_out(row: dict[str, Any]) -> bool:
    """Whether a text was not looked at when the signals of injections were written."""
    return int(sha256(row["id"].encode()).hexdigest()[0], base=16) % 2 == 1


def injection() -> tuple[float, float]:
    """The share of the attacks that is found, and of the benign texts that is taken for one, among those that
    were held out."""
    rule = Rule(kind="injection")
    book, counts = RuleBook((rule,), 1024), {"attack": [0, 0], "benign": [0, 0]}
    for row in filter(is_held_out, rows("injection")):
        counts[row["label"]][0] += 1
        counts[row["label"]][1] += bool(trial(book, (rule,), row["text"], "request").findings)
    return counts["attack"][1] / counts["attack"][0], counts["benign"][1] / counts["benign"][0]


def of_detect_secrets() -> tuple[int, int, int, int]:
    """How many of the texts are found that the plugins of detect-secrets flag, of how many, and how many of
    those that they do not flag; only of plugins that look for what one of our patterns looks for."""
    counts, found_by = {True: [0, 0], False: [0, 0]}, PatternSet(SECRETS)
    for row in rows("detect_secrets"):
        if row["plugin"] in _COUNTERPARTS:
            counts[row["flag"]][0] += 1
            counts[row["flag"]][1] += bool(TextScan(found_by).feed(row["text"], last=True))
    return counts[True][1], counts[True][0], counts[False][1], counts[False][0]


def test_the_data_of_detect_secrets() -> None:
    """Of the rule test data of another scanner, all is found but placeholders such as `SKxxxx`."""
    found, flagged, _, _ = of_detect_secrets()
    assert (found, flagged) == (47, 62)


def test_secrets() -> None:
    """All made-up keys in realistic surroundings are found, and hardly anything else."""
    rates = measured("secrets", SECRETS)
    assert rates.recall >= 0.98, rates
    assert rates.precision >= 0.98, rates


def test_personal_data() -> None:
    """The same of personal data; an address of the network cannot be told from a version with four parts."""
    rates = measured("personal", [*PERSONAL_DATA, *national(COUNTRIES)])
    assert rates.recall >= 0.98, rates
    assert rates.precision >= 0.95, rates


def test_injections() -> None:
    """Few benign texts are taken for an injection. Many attacks are not found; the documentation says so."""
    found, wrong = injection()
    assert wrong <= 0.01, (found, wrong)
    assert found >= 0.45, (found, wrong)
