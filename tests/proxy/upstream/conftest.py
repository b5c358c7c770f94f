"""Fixtures for the tests of upstream calls."""

from __future__ import annotations

import pytest

from tests.proxy.streams import SPOKEN, Spoken

__all__ = ["spoken"]


@pytest.fixture(params=[*SPOKEN.values()], ids=[*SPOKEN])
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Each of the streamed dialects."""
    dialect: Spoken = request.param
    return dialect
