"""Tests of the vocabularies of models."""

from __future__ import annotations

import pytest
from standby.proxy.budget.metering import vocabularies
from standby.proxy.budget.metering.vocabularies import NONE, Vocabularies, encoding_of

__all__: list[str] = []


def _missing(name: str) -> None:
    """The result of `find_spec` for a package that is not installed: None."""


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5-mini", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("o4-mini-2025-04-16", "o200k_base"),
        ("openai/gpt-oss-120b", "o200k_harmony"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
        ("llama3", "llama3"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen3"),
        ("qwen3-32b", "qwen3"),
        ("claude-sonnet-4-5", None),
        ("gemini-2.5-pro", None),
        ("llama-4-scout", None),
        ("llama-2-7b", None),
        ("o100k", None),
        ("my-gpt-4o", None),
        ("qwen-max", None),
        ("text-embedding-004", None),
    ],
)
def test_the_vocabulary_of_a_model(model: str, encoding: str | None) -> None:
    """A model has the vocabulary of its family; an unknown model has none."""
    assert encoding_of(model) == encoding


def test_only_what_is_needed_is_read() -> None:
    """Models with the same vocabulary load it once; for those that are not public another stands in."""
    assert Vocabularies.load(["gpt-4", "unheard-of"]).stand_in("unheard-of") is None
    known = Vocabularies.load(["gpt-4", "gpt-3.5-turbo", "claude-sonnet-4-5"])
    count = known.count("gpt-4-0613")
    assert count is not None
    assert count("hello world") == 2
    assert known.count("claude-sonnet-4-5") is None
    assert known.stand_in("anthropic/Claude-Sonnet-4-5") is known.count("gpt-4o")
    assert known.stand_in("unheard-of") is None


def test_what_looks_like_a_special_token_is_text() -> None:
    """The name of a special token in a text is counted as ordinary text, not as one token."""
    count = Vocabularies.load(["gpt-4"]).count("gpt-4")
    assert count is not None
    assert count("<|endoftext|>") > 1


def test_without_the_extra_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without quicktok nothing is counted and there is no error."""
    monkeypatch.setattr(vocabularies, "find_spec", _missing)
    assert Vocabularies.load(["gpt-4"]).count("gpt-4") is None
    assert NONE.count("gpt-4") is None
