"""Where a provider is, in the words of the GenAI conventions. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..config import Provider

__all__ = ["Endpoint", "endpoint_of"]

_VENDORS: Final = (
    ("api.anthropic.com", "anthropic"),
    ("api.cohere.com", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.openai.com", "openai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    (".aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("-aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".amazonaws.com", "aws.bedrock"),
    (".ml.cloud.ibm.com", "ibm.watsonx.ai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
)
"""Ends of host names, and the value of `gen_ai.provider.name` for them."""


class Endpoint(NamedTuple):
    """A provider's host and port, and its vendor; for an unknown host the vendor whose dialect it speaks."""

    host: str
    port: int
    vendor: str


def endpoint_of(provider: Provider) -> Endpoint:
    """Returns where the provider is."""
    return _endpoint(provider.base_url, provider.dialect)


@lru_cache(maxsize=1024)
def _endpoint(base_url: str, dialect: str) -> Endpoint:
    url = urlsplit(base_url)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    return Endpoint(host, port, next((name for end, name in _VENDORS if host.endswith(end)), dialect))
