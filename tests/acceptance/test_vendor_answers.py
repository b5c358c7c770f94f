"""Answers of real vendors as recorded bytes: each is judged, and its usage booked, as it should be."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.vendor_answers import cases, judge_all, misjudged, mismetered

__all__: list[str] = []


@pytest.fixture(scope="module")
def judgements() -> dict[str, list[str]]:
    """What is wrong with the judgement of each answer."""
    return asyncio.run(judge_all("faults", misjudged))


@pytest.fixture(scope="module")
def bookings() -> dict[str, list[str]]:
    """What is wrong with the ledger's line of each answer."""
    return asyncio.run(judge_all("money", mismetered))


@pytest.mark.parametrize("name", [case["name"] for case in cases("faults")])
def test_an_answer_is_judged(judgements: dict[str, list[str]], name: str) -> None:
    """Its fault, the next target and what rests are what the vendor's documentation says that it means."""
    assert judgements[name] == []


@pytest.mark.parametrize("name", [case["name"] for case in cases("money")])
def test_an_answer_is_booked(bookings: dict[str, list[str]], name: str) -> None:
    """Its tokens and its cost are those of the vendor's bill."""
    assert bookings[name] == []
