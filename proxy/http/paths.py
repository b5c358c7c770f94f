"""The paths of the gateway, with the methods and query parameters that each accepts. No I/O.

Paths match exactly. Nothing is decoded, joined or normalised, so no other spelling (`%2e`, `//`, `;`) leads
to the same path.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, NamedTuple

from ..dialects.base import Operation
from ..dialects.registry import OPERATIONS
from ..errors import Refusal

__all__ = ["HEALTH", "MODELS", "PROBES", "READY", "Route", "admit_query", "route"]

MODELS: Final = "/v1/models"
HEALTH: Final = "/healthz"
READY: Final = "/readyz"
PROBES: Final = frozenset({HEALTH, READY})

_MODEL: Final = re.compile(
    # RFC 3986 pchar without `%` and `;`. The segments `.` and `..` are rejected, as path traversal.
    r"/v1/models/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+"
    r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)*"
)
_LONGEST_NAME: Final = 256  # characters; the limit of model names in the configuration


class Route(NamedTuple):
    """What a path accepts. `operation` is None if the gateway itself answers."""

    methods: frozenset[str]
    operation: Operation | None = None
    queries: frozenset[bytes] = frozenset()


_READ: Final = frozenset({"GET", "HEAD"})
_WRITE: Final = frozenset({"POST"})
_BETA: Final = frozenset({b"beta"})
"""The Anthropic SDK adds `?beta=true` to all requests of `client.beta`. It is not forwarded, since the SDK's
headers carry the same information."""

_MODELS: Final = Route(_READ, queries=_BETA)
_ROUTES: Final = MappingProxyType(
    {
        MODELS: _MODELS,
        HEALTH: Route(_READ),
        READY: Route(_READ),
        **{
            operation.path: Route(
                _WRITE, operation, _BETA if operation.dialect == "anthropic" else frozenset()
            )
            for operation in OPERATIONS.values()
        },
    }
)


def route(method: str, path: str) -> Route:
    """Returns the route at `path`.

    Raises Refusal `unknown_route`, or `method_not_allowed` with an `allow` header.
    """
    matched = _ROUTES.get(path)
    if matched is None:
        name = path[len(MODELS) + 1 :]
        if len(name) > _LONGEST_NAME or _MODEL.fullmatch(path) is None:
            raise Refusal("unknown_route")
        matched = _MODELS
    if method not in matched.methods:
        allowed = ", ".join(sorted(matched.methods)).encode()
        raise Refusal("method_not_allowed", headers=((b"allow", allowed),))
    return matched


def admit_query(matched: Route, query: bytes) -> None:
    """Raise Refusal `unknown_query` for a query parameter that the route does not accept, in any encoding."""
    for parameter in query.split(b"&"):
        if parameter.partition(b"=")[0] not in matched.queries:
            raise Refusal("unknown_query")
