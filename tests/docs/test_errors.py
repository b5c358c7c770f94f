"""docs/errors.md says what the code answers."""

from __future__ import annotations

import json
import re

import pytest
from standby.proxy.errors import CODES, Refusal
from standby.proxy.exchange import DEFAULT_MAX_BODY, Exchange
from standby.proxy.http.refusal import render
from standby.proxy.http.request_checks import MAX_HEADERS
from standby.proxy.server import ServerLimits

from tests.docs.documents import blocks, named, table

__all__: list[str] = []

_PAGE = "docs/errors.md"


def test_every_code_is_there_once_with_its_status() -> None:
    """The table has exactly the codes of the code, in its order."""
    rows = table(_PAGE, "code", "status", "meaning", "what to do")

    assert [(code, int(status)) for code, status, _, _ in rows] == [
        (code, known.status) for code, known in CODES.items()
    ]


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    """No code is a name alone."""
    for _, _, meaning, advice in table(_PAGE, "code", "status", "meaning", "what to do"):
        assert len(meaning) > 10
        assert len(advice) > 5


def test_every_status_has_its_types() -> None:
    """The table of types is what is rendered, for every status a code has."""
    rows = table(_PAGE, "status", "OpenAI's type", "Anthropic's type")

    assert {known.status for known in CODES.values()} <= {int(status) for status, _, _ in rows}
    for status, *types in rows:
        for dialect, kind in zip(("openai", "anthropic"), types, strict=True):
            body = render(Refusal("internal_error", status=int(status)), "req_1", dialect)[2]
            assert json.loads(body)["error"]["type"] == kind


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_the_examples_are_what_is_sent(dialect: str) -> None:
    """Both shapes are shown as they are."""
    examples = [json.loads(block.text) for block in blocks("json") if block.document == _PAGE]

    refusal = Refusal("unknown_model", param="model", detail="gpt-5")
    body = render(refusal, "req_5f2c9e0b7a1d4c3e8f6a2b10", dialect)[2]
    assert json.loads(body) in examples


def test_every_named_header_may_be_sent() -> None:
    """The headers of the page are those of a refusal that has them all."""
    named_there = {
        name for row in table(_PAGE, "header", "says") for name in re.findall(r"[a-z-]+", row[0])
    } - {"x-should-retry"}
    full = Refusal("method_not_allowed", retry_after=1.0, close=True, headers=[(b"allow", b"GET")])

    report = Exchange("req_1", 0.0, ()).report()
    sent = {name.decode() for name, _ in (*render(full, "req_1", "openai")[1], *report)}

    assert named_there <= sent


def test_the_limits_are_the_codes_own() -> None:
    """What the page says of sizes and times holds."""
    page, limits = named(_PAGE), ServerLimits()

    assert f"more than {MAX_HEADERS} headers, more than {limits.head_bytes // 1024} KiB" in page
    assert f"exceed {limits.target_bytes // 1024} KiB" in page
    assert (
        f"longer than {limits.head_seconds:.0f} s, or the body longer than {limits.body_seconds:.0f} s"
        in page
    )
    assert f"({DEFAULT_MAX_BODY // 2**20} MiB unless" in page
