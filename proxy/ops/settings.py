"""Settings of the middlewares' tables, which have been validated already. No I/O."""

from __future__ import annotations

from typing import Final

from ..config import Routes

__all__ = ["max_attempts", "setting"]

_MAX_ATTEMPTS: Final = 3
"""The default of Failover's `max_attempts`."""


def setting(routes: Routes, table: str, key: str, default: int) -> int:
    """Returns a whole number from a middleware's table."""
    value = routes.tables.get(table, {}).get(key, default)
    return value if isinstance(value, int) else default


def max_attempts(routes: Routes) -> int:
    """Returns how many attempts one request may have at most."""
    return setting(routes, "failover", "max_attempts", _MAX_ATTEMPTS) if "failover" in routes.stack else 1
