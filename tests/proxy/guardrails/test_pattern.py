"""Patterns: what they promise of their matches."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standby.proxy.guardrails.encoded import ENCODED
from standby.proxy.guardrails.links import links
from standby.proxy.guardrails.pattern import Pattern, compiled
from standby.proxy.guardrails.personal_data import COUNTRIES, PERSONAL_DATA, national
from standby.proxy.guardrails.secrets import SECRETS

PROMISING = tuple(
    each
    for each in chain(
        SECRETS,
        PERSONAL_DATA,
        national(COUNTRIES),
        links((), ("evil.example",), images_only=False),
        [ENCODED],
    )
    if each.needs or each.opens
)
ASCII = st.characters(min_codepoint=9, max_codepoint=126)


@pytest.mark.parametrize("pattern", PROMISING, ids=lambda pattern: pattern.code)
@settings(max_examples=30, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_what_a_match_needs(pattern: Pattern, data: st.DataObject) -> None:
    """A match has one of the bytes of `needs`, and is visible ASCII up to the first of those of `opens`."""
    text = data.draw(st.from_regex(pattern.expression, fullmatch=True, alphabet=ASCII)).encode()
    match = compiled(pattern.expression).search(text)
    if match is None:  # `\b` and classes mean another thing at the edges of RE2's texts
        return
    found = match.group()
    assert not pattern.needs or set(found) & set(pattern.needs)
    opened = next((at for at, byte in enumerate(found) if byte in pattern.opens), len(found))
    assert not pattern.opens or all(0x20 < byte < 0x7F for byte in found[:opened])
