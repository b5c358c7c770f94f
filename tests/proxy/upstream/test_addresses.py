"""The address and the key of a provider whose API differs from its dialect in these."""

from __future__ import annotations

from standby.proxy.config import parse_routes
from standby.proxy.upstream.transports import Transports

from tests.proxy.harness import routes_to

__all__: list[str] = []


def test_a_deployment_of_azures() -> None:
    """The model is a part of the path, the version a parameter, and the key has a header of its own."""
    source = routes_to(
        "https://acme.openai.azure.com/openai/deployments/{model}",
        provider='query = { api-version = "2024-10-21" }',
    ).source.replace('dialect = "openai"', 'dialect = "openai"\nkey = "env:K"')
    upstream = Transports().to(parse_routes(source, environ={"K": "secret"}).targets["a"])
    assert str(upstream.url("/chat/completions")) == (
        "https://acme.openai.azure.com/openai/deployments/model-a/chat/completions?api-version=2024-10-21"
    )
    assert (b"api-key", b"secret") in upstream.headers
