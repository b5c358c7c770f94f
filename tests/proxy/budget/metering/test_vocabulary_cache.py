"""Tests of loading vocabularies while requests are served."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import pytest
from standby.proxy.budget.metering.vocabularies import NONE
from standby.proxy.budget.metering.vocabulary_cache import VocabularyCache
from standby.proxy.config import parse_routes

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def test_models_without_a_vocabulary() -> None:
    """For models without a vocabulary nothing is loaded."""
    cache, before = VocabularyCache(), asyncio.all_tasks()
    assert cache.of(None) is NONE
    assert cache.of(routes_to("http://127.0.0.1:9/v1")) is NONE
    assert asyncio.all_tasks() == before


@pytest.mark.skipif(find_spec("quicktok") is None, reason="needs the extra: tokens")
async def test_models_that_have_one() -> None:
    """The first request gets no vocabulary and does not wait; later requests get it."""
    text = routes_to("http://127.0.0.1:9/v1").source.replace('"model-a"', '"gpt-4.1"')
    routes = parse_routes(text, environ={})
    cache, before = VocabularyCache(), asyncio.all_tasks()
    assert cache.of(routes) is NONE
    (reader,) = asyncio.all_tasks() - before
    await reader
    count = cache.of(routes).count("gpt-4.1")
    assert count is not None
    assert count("Hello world") == 2


@pytest.mark.skipif(find_spec("quicktok") is None, reason="needs the extra: tokens")
async def test_loading_before_the_first_request() -> None:
    """A server that loads them as it starts has them for its first request, and loads nothing again."""
    text = routes_to("http://127.0.0.1:9/v1").source.replace('"model-a"', '"gpt-4.1"')
    routes = parse_routes(text, environ={})
    cache, before = VocabularyCache(), asyncio.all_tasks()
    cache.load(routes)
    assert cache.of(routes).count("gpt-4.1") is not None
    assert asyncio.all_tasks() == before
