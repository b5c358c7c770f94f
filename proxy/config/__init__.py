"""The configuration: `routes.toml` as frozen, validated objects.

Every error names the file, the line, the key and the nearest valid one, and all of them come at once.
"""

from __future__ import annotations

from .chain import BUILT_IN
from .describe import describe
from .report import nearest
from .routes import Routes
from .secret import Secret
from .settings import settings
from .tables import Alternate, Cause, Dialect, Pool, Provider, Table, Target, Timeouts
from .values import Duration, ImportString, ModelName, Name, Size, spelled

__all__ = [
    "BUILT_IN",
    "Alternate",
    "Cause",
    "Dialect",
    "Duration",
    "ImportString",
    "ModelName",
    "Name",
    "Pool",
    "Provider",
    "Routes",
    "Secret",
    "Size",
    "Table",
    "Target",
    "Timeouts",
    "describe",
    "nearest",
    "settings",
    "spelled",
]
