"""Which paths there are, and what each takes. No I/O.

The table is exact: a path is one of these or it does not exist. Nothing is decoded, joined or normalised, so
that no other spelling (`%2e`, `//`, `;`) can mean the same.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, NamedTuple

from ..dialects.base import Operation
from ..dialects.registry import OPERATIONS
from ..errors import Refusal

__all__ = ["HEALTH", "MODELS", "READY", "Route", "admit_query", "route"]

MODELS: Final = "/v1/models"
HEALTH: Final = "/healthz"
READY: Final = "/readyz"

_MODEL: Final = re.compile(
    # RFC 3986 pchar without `%` and `;`. A segment of dots only is a step in a tree, which this is not.
    r"/v1/models/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+"
    r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)*"
)
_LONGEST_NAME: Final = 256  # characters; no model has a longer name, as config holds


class Route(NamedTuple):
    """What a path takes. `operation` is None where the gateway itself answers."""

    methods: frozenset[str]
    operation: Operation | None = None
    queries: frozenset[bytes] = frozenset()


_READ: Final = frozenset({"GET", "HEAD"})
_WRITE: Final = frozenset({"POST"})
_BETA: Final = frozenset({b"beta"})
"""The Anthropic SDK adds `?beta=true` to all of `client.beta`. Its headers say it too: it goes no further."""

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
    """What is at `path`. Raises Refusal `unknown_route`, or `method_not_allowed` with what is allowed."""
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
    """Raise Refusal `unknown_query` for a parameter that the path does not take, however it is spelled."""
    for parameter in query.split(b"&"):
        if parameter.partition(b"=")[0] not in matched.queries:
            raise Refusal("unknown_query")
