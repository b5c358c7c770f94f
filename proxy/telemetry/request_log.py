"""The line of each request in the log that people read."""

from __future__ import annotations

import logging
from typing import Final

from ..exchange import Exchange
from .outcome import Outcome, error_type

__all__ = ["log_request"]

_log: Final = logging.getLogger("standby.access")


def log_request(exchange: Exchange, outcome: Outcome) -> None:
    """Log a request that has ended: a warning if it failed or broke off, else for information.

    The line has names and numbers, and nothing that the caller wrote.
    """
    level = logging.WARNING if outcome in {"failed", "broken"} else logging.INFO
    if not _log.isEnabledFor(level):
        return
    operation = "" if exchange.operation is None else exchange.operation.name
    words = [operation or exchange.dialect]
    if exchange.pool is not None:
        words.append(f"pool {exchange.pool.name}")
    if exchange.principal is not None and (key := exchange.principal.name("key")) is not None:
        words.append(f"key {key}")
    words.append(outcome)
    if exchange.served is not None:
        words.append(f"by {exchange.served.candidate.name}")
    if (reason := error_type(exchange, outcome)) is not None:
        words.append(f"({reason})")
    if exchange.served is not None and (degraded := exchange.degraded) is not None:
        words.append(f"degraded ({degraded})")
    failed = [f"{each.candidate.name}: {each.fault.kind}" for each in exchange.attempts if each.fault]
    if failed:
        words.append(f"after {', '.join(failed)}")
    status = "-" if exchange.status is None else exchange.status
    seconds = exchange.clock() - exchange.began
    _log.log(level, "%s: %s %s in %.2f s", exchange.id, status, " ".join(words), seconds)
