"""The table of vendors: by which host each is known, and in what its API differs from its dialect's own.

A vendor that is not in the table needs no row: it counts as one that follows its dialect in everything. Error
codes, wait times and members of usage are read by tables of their own (`classify/error_table`,
`json_values`), which hold for every vendor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

__all__ = ["VENDORS", "LimitMember", "Vendor", "vendor_at"]

LimitMember = Literal["max_completion_tokens", "max_tokens"]
"""The members by which chat requests limit their output."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor, or a kind of server that people run themselves.

    * `conventional` is its name in the GenAI conventions (`gen_ai.provider.name`).
    * `hosts` matches the whole host of its base URLs, and for local servers the host with the port.
    * `key` is how its key is sent, None as the dialect does.
    * `chat` and `messages` are the operations that it has in the dialects of OpenAI and Anthropic. They are
      empty where it does not speak the dialect.
    * `limit` is the only member by which a chat request may limit its output there; None if it knows both.
    * `leaves_out` are members of a chat request that it refuses and that change nothing for the caller.
    * `refuses` are other members that it refuses, so that a bridge does not write them.
    * `developer` is whether it takes messages of the role "developer".
    """

    name: str
    conventional: str
    hosts: re.Pattern[str] | None
    key: Literal["bearer", "x-api-key", "api-key"] | None = None
    chat: frozenset[str] = frozenset()
    messages: frozenset[str] = frozenset()
    limit: LimitMember | None = None
    leaves_out: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    developer: bool = False
    source: str = ""

    def operations(self, dialect: str) -> frozenset[str]:
        """Returns the operations that it has in a dialect, empty if that is not known."""
        return self.messages if dialect == "anthropic" else self.chat

    @property
    def adapts(self) -> bool:
        """Whether a chat request that OpenAI takes may need a change."""
        return self.limit is not None or bool(self.leaves_out) or not self.developer


def _vendor(
    name: str,
    hosts: str = "",
    *,
    conventional: str = "",
    key: Literal["bearer", "x-api-key", "api-key"] | None = None,
    chat: str = "",
    messages: str = "",
    limit: LimitMember | None = None,
    leaves_out: str = "",
    refuses: str = "",
    developer: bool = False,
    source: str = "",
) -> Vendor:
    return Vendor(
        name,
        conventional or name,
        re.compile(hosts) if hosts else None,
        key,
        frozenset(chat.split()),
        frozenset(messages.split()),
        limit,
        frozenset(leaves_out.split()),
        frozenset(refuses.split()),
        developer,
        source,
    )


_ALL: Final = "chat responses embeddings"
_COUNTED: Final = "messages count_tokens"

VENDORS: Final = MappingProxyType(
    {
        vendor.name: vendor
        for vendor in (
            _vendor(
                "openai",
                r"(?:\w+\.)?api\.openai\.com",
                chat=_ALL,
                developer=True,
                source="platform.openai.com/docs/api-reference",
            ),
            _vendor(
                "azure",
                r".+\.(?:openai\.azure\.com|cognitiveservices\.azure\.com)",
                conventional="azure.ai.openai",
                key="api-key",
                chat=_ALL,
                developer=True,
                source="learn.microsoft.com: Azure OpenAI, v1 API and deployments",
            ),
            _vendor(
                "azure-foundry",
                r".+\.services\.ai\.azure\.com",
                conventional="azure.ai.inference",
                key="api-key",
                chat=_ALL,
                messages="messages",
                developer=True,
                source="learn.microsoft.com: Foundry, Claude models",
            ),
            _vendor(
                "anthropic",
                r"api\.anthropic\.com",
                chat="chat",
                messages=_COUNTED,
                developer=True,
                source="docs.anthropic.com: API, OpenAI SDK compatibility",
            ),
            _vendor(
                "gemini",
                r"generativelanguage\.googleapis\.com",
                conventional="gcp.gemini",
                chat="chat embeddings",
                refuses="store web_search_options",
                source="ai.google.dev/gemini-api/docs/openai",
            ),
            _vendor(
                "mistral",
                r"api\.mistral\.ai",
                conventional="mistral_ai",
                chat="chat embeddings",
                limit="max_tokens",
                # It refuses to be asked for the usage of a stream, and tells it without.
                leaves_out="stream_options",
                refuses="user store service_tier safety_identifier logit_bias reasoning_effort verbosity",
                source="docs.mistral.ai/api: 422 extra_forbidden",
            ),
            _vendor(
                "groq",
                r"api\.groq\.com",
                chat="chat responses",
                refuses="safety_identifier verbosity metadata",
                source="console.groq.com/docs/openai",
            ),
            _vendor(
                "deepseek",
                r"api\.deepseek\.com",
                chat="chat responses",
                messages="messages",
                limit="max_tokens",  # the other one is ignored
                source="api-docs.deepseek.com",
            ),
            _vendor(
                "xai",
                r"(?:.+\.)?api\.x\.ai",
                conventional="x_ai",
                chat="chat responses",
                messages="messages",
                refuses="reasoning_effort",
                developer=True,
                source="docs.x.ai/docs/api-reference",
            ),
            _vendor(
                "together",
                r"api\.together\.(?:ai|xyz)",
                chat="chat embeddings",
                limit="max_tokens",
                source="docs.together.ai/reference/chat-completions-1",
            ),
            _vendor(
                "fireworks",
                r"(?:.+\.)?api\.fireworks\.ai",
                chat="chat embeddings responses",
                messages="messages",
                limit="max_tokens",
                refuses="safety_identifier service_tier verbosity",
                source="docs.fireworks.ai/api-reference: 400 extra inputs are not permitted",
            ),
            _vendor(
                "openrouter",
                r"(?:.+\.)?openrouter\.ai",
                chat=_ALL,
                messages="messages",
                source="openrouter.ai/docs/api-reference",
            ),
            _vendor(
                "bedrock",
                r"bedrock-(?:runtime|mantle)\.[a-z0-9-]+\.(?:amazonaws\.com|api\.aws)",
                conventional="aws.bedrock",
                chat="chat responses",
                messages="messages",
                source="docs.aws.amazon.com/bedrock: OpenAI-compatible endpoints, with a Bedrock API key",
            ),
            _vendor(
                "vertex",
                r"(?:.+-)?aiplatform\.googleapis\.com|aiplatform\.\w+\.rep\.googleapis\.com",
                conventional="gcp.vertex_ai",
                chat="chat",
                source="cloud.google.com/vertex-ai: OpenAI compatibility, with an OAuth token as the key",
            ),
            _vendor("vllm", chat=_ALL, messages=_COUNTED, source="docs.vllm.ai: OpenAI-compatible server"),
            _vendor(
                "ollama",
                r"(?:localhost|127\.0\.0\.1|::1):11434|ollama\.com",
                chat=_ALL,
                messages="messages",
                limit="max_tokens",  # the other one is ignored
                source="docs.ollama.com/api/openai-compatibility",
            ),
            _vendor(
                "llamacpp",
                chat=_ALL,
                messages=_COUNTED,
                limit="max_tokens",  # the other one is ignored before February 2026
                source="github.com/ggml-org/llama.cpp tools/server/README.md",
            ),
            _vendor(
                "lmstudio",
                r"(?:localhost|127\.0\.0\.1|::1):1234",
                chat=_ALL,
                messages="messages",
                limit="max_tokens",
                source="lmstudio.ai/docs/developer/openai-compat",
            ),
            _vendor(
                "cerebras",
                r"api\.cerebras\.ai",
                chat="chat",
                leaves_out="stream_options",
                refuses="service_tier verbosity safety_identifier",
                source="inference-docs.cerebras.ai",
            ),
            _vendor(
                "moonshot",
                r"api\.moonshot\.(?:ai|cn)|api\.kimi\.com",
                conventional="moonshot_ai",
                chat="chat responses",
                messages="messages",
                limit="max_tokens",
                source="platform.moonshot.ai/docs",
            ),
            _vendor(
                "zai",
                r"api\.z\.ai|open\.bigmodel\.cn",
                chat="chat",
                messages="messages",
                limit="max_tokens",  # the other one is ignored
                source="docs.z.ai/api-reference",
            ),
            _vendor(
                "perplexity",
                r"api\.perplexity\.ai",
                chat="responses embeddings",
                source="docs.perplexity.ai",
            ),
            _vendor("cohere", r"api\.cohere\.(?:com|ai)", chat="chat embeddings", source="docs.cohere.com"),
            _vendor("watsonx", r".+\.ml\.cloud\.ibm\.com", conventional="ibm.watsonx.ai", chat="chat"),
        )
    }
)
"""All known vendors, by name. A row without `hosts` holds only where a provider names it."""


@lru_cache(maxsize=1024)
def vendor_at(base_url: str) -> Vendor | None:
    """Returns the vendor whose host a base URL has, or None."""
    url = urlsplit(base_url)
    place = url.hostname or ""
    places = (place, f"{place}:{url.port}")
    return next(
        (
            vendor
            for vendor in VENDORS.values()
            if vendor.hosts is not None and any(map(vendor.hosts.fullmatch, places))
        ),
        None,
    )
