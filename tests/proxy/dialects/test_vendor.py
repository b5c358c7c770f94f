"""Tests of the headers that reach a provider."""

from __future__ import annotations

import pytest
from standby.proxy.dialects.vendor import ANTHROPIC, OPENAI, Dialect

__all__: list[str] = []

NEVER = (
    b"anthropic-dangerous-direct-browser-access api-key authorization baggage connection content-encoding "
    b"content-length cookie cookie2 forwarded host idempotency-key openai-organization openai-project origin "
    b"proxy-authorization referer te tracestate traceparent trailer transfer-encoding upgrade via "
    b"x-api-key x-forwarded-for x-forwarded-host x-goog-api-key x-real-ip x-standby-timeout-ms "
    b"x-stainless-os x-stainless-retry-count"
)


def test_credential() -> None:
    """Each dialect sends a key in its own header."""
    assert OPENAI.credential("sk-1") == ((b"authorization", b"Bearer sk-1"),)
    assert ANTHROPIC.credential("sk-2") == ((b"x-api-key", b"sk-2"),)


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI])
def test_a_provider_that_differs_from_its_dialect(dialect: Dialect) -> None:
    """The scheme of a provider wins over that of its dialect."""
    assert dialect.credential("k", "bearer") == ((b"authorization", b"Bearer k"),)
    assert dialect.credential("k", "x-api-key") == ((b"x-api-key", b"k"),)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda dialect: dialect.name)
def test_nothing_private_is_forwarded(dialect: Dialect) -> None:
    """No credential, address, trace or framing of the caller's reaches a provider."""
    sent = tuple((name, b"canary") for name in NEVER.split())
    assert all(value != b"canary" for _, value in dialect.forwarded(sent))


def test_what_is_forwarded() -> None:
    """The allowed headers of a caller are forwarded in order, repeated ones too."""
    sent = (
        (b"anthropic-beta", b"a"),
        (b"authorization", b"Bearer caller"),
        (b"user-agent", b"app/1"),
        (b"anthropic-beta", b"b"),
        (b"anthropic-version", b"2024-01-01"),
    )
    assert ANTHROPIC.forwarded(sent) == (sent[0], sent[2], sent[3], sent[4])
    assert OPENAI.forwarded((*sent, (b"openai-beta", b"c"))) == (sent[2], (b"openai-beta", b"c"))


def test_version_is_supplied() -> None:
    """Anthropic's API requires a version, which other clients do not send."""
    assert ANTHROPIC.forwarded(()) == ((b"anthropic-version", b"2023-06-01"),)
    assert OPENAI.forwarded(()) == ()
