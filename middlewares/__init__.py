"""The concerns around the core, one file each: every one is plain ASGI and works alone in a foreign app."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .auth import Auth
    from .budget import Budget
    from .failover import Failover
    from .guardrails import Guardrails
    from .route_select import RouteSelect
    from .trace import Trace

__all__ = ["Auth", "Budget", "Failover", "Guardrails", "RouteSelect", "Trace"]

_FILES: Final = MappingProxyType(
    {
        "Auth": "auth",
        "Budget": "budget",
        "Failover": "failover",
        "Guardrails": "guardrails",
        "RouteSelect": "route_select",
        "Trace": "trace",
    }
)
"""Loaded once they are asked for: who imports one file of this package does not load the others."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _FILES:
            return getattr(import_module(f".{_FILES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
