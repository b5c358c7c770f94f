"""Typed answers of instructor while another dialect answers. Skipped where it is not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import anthropic
import openai
import pytest

from tests.clients.bridged_demo import BOTH, SAID
from tests.clients.bridging import Pair, http, same
from tests.clients.weather import City

__all__: list[str] = []

pytest_plugins = ("tests.clients.bridge_scenes",)

instructor: Any = pytest.importorskip("instructor", exc_type=ImportError)

Opened = Callable[..., tuple[Any, Any]]


@pytest.fixture
def opened(bridge: Pair) -> Iterator[Opened]:
    """Makes the client of a dialect in a mode, at the native gateway and at the one that translates."""
    with ExitStack() as stack:

        def one(address: str, dialect: str, mode: str) -> Any:
            named = instructor.Mode[mode]
            if dialect == "openai":
                gpt = openai.OpenAI(
                    base_url=f"{address}/v1", api_key="unused", max_retries=0, http_client=http()
                )
                return instructor.from_openai(stack.enter_context(gpt), mode=named, model="support")
            claude = anthropic.Anthropic(
                base_url=address, api_key="unused", max_retries=0, http_client=http()
            )
            return instructor.from_anthropic(
                stack.enter_context(claude), mode=named, model="drafting", max_tokens=64
            )

        def both(dialect: str, mode: str) -> tuple[Any, Any]:
            return one(bridge.native, dialect, mode), one(bridge.translated, dialect, mode)

        yield both


_TYPED: Final = (
    ("openai", "TOOLS", "Paris"),
    ("openai", "JSON_SCHEMA", SAID),
    ("openai", "RESPONSES_TOOLS", "Paris"),
    ("anthropic", "TOOLS", "Paris"),
)


@pytest.mark.parametrize(("dialect", "mode", "city"), _TYPED)
def test_a_typed_answer(opened: Opened, dialect: str, mode: str, city: str) -> None:
    """A type comes as the same object, with the same count of tokens."""

    def ask(client: Any) -> Any:
        found, raw = client.create_with_completion(
            response_model=City, messages=[{"role": "user", "content": "hello"}], max_retries=0
        )
        usage = raw.usage
        return found.model_dump(), getattr(usage, "completion_tokens", None) or usage.output_tokens

    assert same(ask, opened(dialect, mode))[0] == {"city": city}


@pytest.mark.parametrize(("dialect", "mode", "city"), _TYPED)
def test_a_partial_answer(opened: Opened, dialect: str, mode: str, city: str) -> None:
    """A type that is streamed grows to the same object."""

    def ask(client: Any) -> Any:
        parts = client.create_partial(
            response_model=City, messages=[{"role": "user", "content": "hello"}], max_retries=0
        )
        return [part.model_dump() for part in parts][-1]

    assert same(ask, opened(dialect, mode)) == {"city": city}


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_parallel_answers(opened: Opened, dialect: str) -> None:
    """Two objects at once, as two calls of a tool, are the same."""

    def ask(client: Any) -> Any:
        found = client.create(
            response_model=Iterable[City], messages=[{"role": "user", "content": BOTH}], max_retries=0
        )
        return [city.model_dump() for city in found]

    assert same(ask, opened(dialect, "PARALLEL_TOOLS")) == [{"city": "Paris"}, {"city": "Oslo"}]
