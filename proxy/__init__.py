"""The core of Standby: one request's way from accept to answer, and the providers at its end."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .gateway import Gateway

__all__ = ["Gateway"]

_FILES: Final = MappingProxyType({"Gateway": "gateway"})
"""Loaded once they are asked for: who imports one file of this package does not load the others."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _FILES:
            return getattr(import_module(f".{_FILES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
