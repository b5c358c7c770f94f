"""Where a provider is, in the words of the GenAI conventions. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from ..config import Provider

__all__ = ["Endpoint", "endpoint_of"]


class Endpoint(NamedTuple):
    """A provider's host and port, and its vendor; for an unknown host the vendor whose dialect it speaks."""

    host: str
    port: int
    vendor: str


def endpoint_of(provider: Provider) -> Endpoint:
    """Returns where the provider is."""
    vendor = provider.known_as
    return _endpoint(provider.base_url, provider.dialect if vendor is None else vendor.conventional)


@lru_cache(maxsize=1024)
def _endpoint(base_url: str, vendor: str) -> Endpoint:
    url = urlsplit(base_url)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    return Endpoint(host, port, vendor)
