"""What a metric is. No I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["Metric"]


class Metric(NamedTuple):
    """One metric: its OpenTelemetry name, kind, unit (UCUM), labels and meaning.

    `buckets` are the upper bounds of a histogram, without the last, infinite one.
    """

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, without the suffix of counters."""
        base = self.name.replace(".", "_")
        suffix = _SUFFIXES.get(self.unit, "")
        return base if not suffix or base.endswith(suffix) else base + suffix


_SUFFIXES: Final = MappingProxyType({"s": "_seconds"})
