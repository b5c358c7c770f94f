"""The configuration: `routes.toml` as frozen, validated objects.

All errors of a file are reported at once; each has the file, the line, the key and, if there is one, the most
similar valid key.
"""

from __future__ import annotations

from .chain import BUILT_IN
from .diff import Changes, differences
from .limits import BudgetUnit, BudgetWindow, Limits, WindowName
from .load import PriceLookup, load_routes, parse_routes, stored_key
from .money import NANO, Money, dollars
from .operations import Admin, Alerts, Decisions
from .origins import Origin
from .pools import Alternate, Pool, Portion, Timeouts, targets_of
from .price import Card, Price, Rates, Tier
from .report import nearest
from .routes import Routes
from .routing import Balance, Capability, Cause, DegradeOn, Hedge, Probe, Slow
from .scopes import EVERY, Grants, Key, Network, Organisation, ScopeKind, Team, User, kind_of, parent_of
from .secret import Secret
from .settings import settings
from .storage import shown
from .table import Table
from .tables import Dialect, Provider, Target
from .values import Duration, ImportString, ModelName, Moment, Name, Size, imported, seconds, spelled

__all__ = [
    "BUILT_IN",
    "EVERY",
    "NANO",
    "Admin",
    "Alerts",
    "Alternate",
    "Balance",
    "BudgetUnit",
    "BudgetWindow",
    "Capability",
    "Card",
    "Cause",
    "Changes",
    "Decisions",
    "DegradeOn",
    "Dialect",
    "Duration",
    "Grants",
    "Hedge",
    "ImportString",
    "Key",
    "Limits",
    "ModelName",
    "Moment",
    "Money",
    "Name",
    "Network",
    "Organisation",
    "Origin",
    "Pool",
    "Portion",
    "Price",
    "PriceLookup",
    "Probe",
    "Provider",
    "Rates",
    "Routes",
    "ScopeKind",
    "Secret",
    "Size",
    "Slow",
    "Table",
    "Target",
    "Team",
    "Tier",
    "Timeouts",
    "User",
    "WindowName",
    "differences",
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
