"""The table of vendors: each is found by its host, and gets requests as it takes them."""

from __future__ import annotations

import pytest
from standby.proxy.config import Provider, Target
from standby.proxy.dialects.registry import OPERATIONS
from standby.proxy.dialects.vendor_request import adapted
from standby.proxy.dialects.vendors import VENDORS, vendor_at

from tests.docs.documents import named

__all__: list[str] = []


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://acme.openai.azure.com/openai/deployments/{model}", "azure"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://acme.services.ai.azure.com/anthropic/v1", "azure-foundry"),
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.deepseek.com/anthropic/v1", "deepseek"),
        ("https://us-east-1.api.x.ai/v1", "xai"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1", "bedrock"),
        ("https://bedrock-mantle.us-east-1.api.aws/anthropic/v1", "bedrock"),
        ("https://europe-west1-aiplatform.googleapis.com/v1/projects/p/endpoints/openapi", "vertex"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:1234/v1", "lmstudio"),
        ("http://[::1]:1234/v1", "lmstudio"),
        ("https://api.cerebras.ai/v1", "cerebras"),
        ("http://127.0.0.1:8000/v1", None),
        ("https://api.openai.com.example.org/v1", None),
        ("https://notapi.groq.com.example/v1", None),
        ("https://evil-api.mistral.ai/v1", None),
    ],
)
def test_a_vendor_is_found_by_its_whole_host(base_url: str, name: str | None) -> None:
    """A host that only contains the name of another is nobody's."""
    vendor = vendor_at(base_url)
    assert (None if vendor is None else vendor.name) == name


def test_every_row_names_what_there_is() -> None:
    """Operations are those of the gateway, of the right dialect, and each row has some."""
    for vendor in VENDORS.values():
        for dialect in ("openai", "anthropic"):
            for name in vendor.operations(dialect):
                assert OPERATIONS[name].dialect == dialect
        assert vendor.chat | vendor.messages


def test_the_page_has_every_row() -> None:
    """docs/vendors.md has a row for each vendor, with its operations and its differences."""
    page = named("docs/vendors.md")
    for vendor in VENDORS.values():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{vendor.name}` |")]
        _, _, chat, messages, differences, _ = row.split("|")
        for cell, names in ((chat, vendor.chat), (messages, vendor.messages)):
            assert {each.strip() for each in cell.split(",")} == (names or {"-"})
        for member in (vendor.limit, *vendor.leaves_out, *vendor.refuses, vendor.key):
            assert member is None or f"`{member}`" in differences
        assert ("developer" in differences) == (not vendor.developer)


@pytest.mark.parametrize(
    ("name", "request_", "sent"),
    [
        ("mistral", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("mistral", {"max_tokens": 9}, {"max_tokens": 9}),
        ("mistral", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        (
            "groq",
            {"messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]},
            {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]},
        ),
        ("groq", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
    ],
)
def test_a_request_is_written_as_the_vendor_takes_it(
    name: str, request_: dict[str, object], sent: dict[str, object]
) -> None:
    """A limit has the name that the vendor knows, what it refuses is left out, and roles are its own."""
    before = repr(request_)
    assert adapted(request_, VENDORS[name]) == sent
    assert repr(request_) == before


def test_openai_gets_what_was_sent() -> None:
    """Nothing is changed for a vendor that takes all, nor for one that is unknown."""
    for base_url in ("https://api.openai.com/v1", "http://127.0.0.1:9/v1"):
        provider = Provider(name="p", dialect="openai", base_url=base_url)
        assert provider.adapted_for is None


def test_a_vendor_says_what_its_targets_are_asked_for() -> None:
    """`can` decides, then the vendor, then the dialect."""
    mistral = Provider(name="p", dialect="openai", base_url="https://api.mistral.ai/v1")
    unknown = Provider(name="q", dialect="openai", base_url="https://example.org/v1")
    assert Target(name="a", provider=mistral, model="m").operations == {"chat", "embeddings"}
    assert Target(name="b", provider=mistral, model="m", can=frozenset({"chat"})).operations == {"chat"}
    assert Target(name="c", provider=unknown, model="m").operations == {"chat", "responses", "embeddings"}
    named_so = Provider(name="r", dialect="anthropic", base_url="https://example.org/v1", vendor="openrouter")
    assert Target(name="d", provider=named_so, model="m").operations == {"messages"}
