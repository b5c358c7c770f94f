"""The configuration: `routes.toml` as frozen, validated objects.

Every error names the file, the line, the key and the nearest valid one, and all of them come at once.
"""

from __future__ import annotations

from .chain import BUILT_IN
from .limits import BudgetUnit, Limits, Window, WindowName
from .load import PriceLookup, load_routes, parse_routes, stored_key
from .money import NANO, Money, dollars
from .price import Card, Price, Rates, Tier
from .report import nearest
from .routes import Routes
from .scopes import EVERY, Grants, Key, Organisation, ScopeKind, Team, User, kind_of, parent_of
from .secret import Secret
from .settings import settings
from .storage import shown
from .table import Table
from .tables import Alternate, Cause, Dialect, Pool, Provider, Target, Timeouts, targets_of
from .values import Duration, ImportString, ModelName, Moment, Name, Size, imported, seconds, spelled

__all__ = [
    "BUILT_IN",
    "EVERY",
    "NANO",
    "Alternate",
    "BudgetUnit",
    "Card",
    "Cause",
    "Dialect",
    "Duration",
    "Grants",
    "ImportString",
    "Key",
    "Limits",
    "ModelName",
    "Moment",
    "Money",
    "Name",
    "Organisation",
    "Pool",
    "Price",
    "PriceLookup",
    "Provider",
    "Rates",
    "Routes",
    "ScopeKind",
    "Secret",
    "Size",
    "Table",
    "Target",
    "Team",
    "Tier",
    "Timeouts",
    "User",
    "Window",
    "WindowName",
    "dollars",
    "imported",
    "kind_of",
    "load_routes",
    "nearest",
    "parent_of",
    "parse_routes",
    "seconds",
    "settings",
    "shown",
    "spelled",
    "stored_key",
    "targets_of",
]
