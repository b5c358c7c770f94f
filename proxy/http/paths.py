"""The paths of the gateway, with the methods that each accepts. No I/O.

Paths match exactly. Nothing is joined or normalised, so no other spelling (`%2e`, `//`, `;`) leads to the
same path. Only the name of a model may be percent-encoded. Query parameters are never forwarded.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, NamedTuple

from ..dialects.base import Operation
from ..dialects.registry import OPERATIONS
from ..errors import Refusal

__all__ = ["HEALTH", "MODELS", "PROBES", "READY", "Route", "route", "unknown_route"]

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


_READ: Final = frozenset({"GET", "HEAD"})
_WRITE: Final = frozenset({"POST"})
_MODELS: Final = Route(_READ)
_ROUTES: Final = MappingProxyType(
    {
        MODELS: _MODELS,
        HEALTH: Route(_READ),
        READY: Route(_READ),
        **{operation.path: Route(_WRITE, operation) for operation in OPERATIONS.values()},
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
            raise unknown_route(path)
        matched = _MODELS
    if method not in matched.methods:
        allowed = ", ".join(sorted(matched.methods)).encode()
        raise Refusal("method_not_allowed", headers=((b"allow", allowed),))
    return matched


def unknown_route(path: str) -> Refusal:
    """Returns the refusal for `path`. It names the path that is meant if only what stands before it is wrong,
    as when a base URL lacks `/v1` or has it twice."""
    for meant in _ROUTES:
        if path.endswith(meant.removeprefix("/v1")) and meant not in PROBES:
            return Refusal("unknown_route", detail=f"call {meant}")
    return Refusal("unknown_route")
