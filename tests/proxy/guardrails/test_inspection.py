"""Long texts, which are read in pieces: of requests in steps, of answers in a thread."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.exchange import Exchange
from standby.proxy.guardrails.answer_guard import AnswerGuard
from standby.proxy.guardrails.document_texts import Text
from standby.proxy.guardrails.inspection import inspect
from standby.proxy.guardrails.rule_book import RuleBook
from standby.proxy.guardrails.rules import Rule
from standby.proxy.guardrails.steps import finished
from standby.proxy.guardrails.text_scan import TextScan

from tests.proxy.harness import scope_of

RULES = (
    Rule(kind="secrets", on="both", action="redact"),
    Rule(kind="personal_data", on="both", action="redact", countries=("de", "gb", "us")),
    Rule(kind="links", on="both", action="redact", deny=("evil.test",)),
    Rule(kind="words", on="both", action="redact", words=("bravo charlie",)),
    Rule(
        kind="patterns",
        on="both",
        action="redact",
        patterns=(r"EMP-\d{6}", r"from [^.]{0,900}? to \d", r"^start", r"end$"),
    ),
)
BOOK = RuleBook(RULES, 1024)
PARTS = st.sampled_from(
    (
        *("sk-aB3dE5fG7hJ9kL1mN2pQ4rS6", "ann@example.com", "+49 30 901820", "4111 1111 1111 1111"),
        *(
            "DE89 3704 0044 0532 0130 00",
            "bravo \t charlie",
            "EMP-123456",
            "from here",
            " to 5 ",
            "AB 12 34 56 C",
        ),
        *(
            "https://evil.test/x",
            "![a](https://evil.test/p.png)",
            "password = 'x8Kd92jfQ!abc'",
            "start",
            "end",
        ),
        *("\u200b", "а", "e\u0301", "\U000e0041", "привет ", "\\u0073k-", "\\n", '"', '\\"', ".", "\n", " "),
        *("word " * 50, "ab, " * 300, "é" * 100, "жизнь " * 60, "机密" * 200, "x", "a" * 500),
    )
)
TEXTS = st.lists(PARTS, min_size=20, max_size=80).map("".join)


def at_once(text: str, *, json: bool) -> list[tuple[int, int, str]]:
    """What is found in a text that is read in one piece."""
    spans = TextScan(BOOK.request.patterns, json=json).feed(text, last=True)
    found = [(span, BOOK.request.sought[span.pattern]) for span in spans]
    return sorted((span.begin, span.end, each.pattern.code) for span, each in found if each.rule is not None)


@pytest.mark.parametrize("json", [False, True])
@settings(max_examples=60)
@given(TEXTS)
def test_a_long_request(json: bool, text: str) -> None:
    """What is found in steps is what is found at once."""
    read = Text({}, "", text, "user", "messages", json=json)
    inspection = finished(inspect(BOOK.request, [read], frozenset(RULES)))
    found = sorted((each.begin, each.end, each.code) for each in inspection.findings)
    assert found == at_once(text, json=json)


@pytest.mark.parametrize("json", [False, True])
@settings(max_examples=60)
@given(TEXTS)
def test_a_long_answer(json: bool, text: str) -> None:
    """A whole text becomes what it would become in a stream."""
    guard = AnswerGuard(RULES, BOOK.response, None, Exchange.of(scope_of()))
    assert guard.text(json=json).whole(text) == guard.text(json=json).feed(text, last=True)
