"""What stores keep: holds against limits, ledger entries, keys. No I/O.

Amounts are integers: nano-dollars, tokens or requests. Times are seconds since 1970 by the store's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

__all__ = ["Denied", "Held", "KeyRecord", "Kind", "LedgerEntry", "Line", "Outcome", "Source"]

Kind = Literal["sum", "rate", "lease"]
"""How an account counts.

sum:   what was spent and what is held, in the buckets that count, stay within the limit. A settled hold turns
       into spending; an expired one too, at what was held, since the provider may have billed it.
rate:  a bucket of tokens that refills; the limit is its size. What was held is taken at once, and settling
       gives back what was held too much, or takes what was held too little.
lease: what is held stays within the limit. Settled or expired it is gone.
"""

Source = Literal["provider", "estimated", "unpriced", "expired"]
"""Where the figures of an entry come from: the provider's own usage; our count of what was relayed; a served
model without a price, booked at what was held; a hold that nobody settled, booked at what was held."""

Outcome = Literal["served", "failed", "truncated", "client_gone", "expired"]


class Line(NamedTuple):
    """One limit that a request is measured against, and how much of it the request takes.

    `bucket` is the beginning of the window, or of the part of a rolling window, that is booked; buckets from
    `since` on count (for a calendar window that is the bucket alone, `rolling` being false). `keep` is how
    many seconds after `bucket` its figures can be forgotten, 0 meaning never. `per_second` is the refill of a
    rate. A `limit` of None counts and never refuses.
    """

    account: str
    kind: Kind
    amount: int
    limit: int | None
    bucket: int = 0
    since: int = 0
    rolling: bool = False
    keep: int = 0
    per_second: float = 0.0


class Held(NamedTuple):
    """A hold that was taken.

    `used` gives for each line what is spent and held now, this hold included (of a rate: what is gone from
    its bucket). `exceeded` are the positions of lines that are beyond their limit, when nothing was enforced.
    """

    used: tuple[int, ...]
    exceeded: tuple[int, ...] = ()


class Denied(NamedTuple):
    """A hold that was refused; nothing of it was taken.

    `line` is the position of the first line that does not fit; `used` what is spent and held there;
    `ready_in` the seconds until it would fit by itself, where that is known (rates). `unsure`: somebody else
    refused it while the store was silent, which may have taken it all the same.
    """

    line: int
    used: int
    ready_in: float | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger: one attempt, what it took and what it cost.

    `input` includes `cached` and `cache_write`; `output` includes `reasoning`. `cost` is what the provider
    charges, `charged` what counts against budgets, both in nano-dollars, None where there is no price.
    `first_token` and `duration` are seconds.
    """

    at: float
    request_id: str
    attempt: int
    organisation: str | None = None
    team: str | None = None
    user: str | None = None
    key: str | None = None
    pool: str | None = None
    target: str = ""
    provider: str | None = None
    operation: str | None = None
    model: str | None = None
    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: int | None = None
    charged: int | None = None
    source: Source = "provider"
    outcome: Outcome = "served"
    fault: str | None = None
    first_token: float | None = None
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A virtual key as a store keeps it.

    `hashes` maps each valid hash (as `[keys]` spells it) to the time at which it ends, or None: a key that is
    being rotated has two. `table` is what `[keys.NAME]` would hold besides.
    """

    name: str
    hashes: Mapping[str, float | None]
    table: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType[str, Any]({}))
    created: float = 0.0
