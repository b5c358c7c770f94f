"""The records of stores: lines of holds, ledger entries, keys, and issuers of state. No I/O.

Amounts are integers: nano-dollars, tokens or requests. Times are in seconds since 1970 by the store's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

__all__ = [
    "ISSUED",
    "Denied",
    "Held",
    "Issued",
    "KeyRecord",
    "Kind",
    "LedgerEntry",
    "Line",
    "Outcome",
    "Source",
]

ISSUED: Final = 7 * 86_400
"""Seconds for which a store remembers an issuer.

OpenAI keeps responses for 30 days, but a conversation that goes on gets new ids with every answer."""

Kind = Literal["sum", "rate", "lease"]
"""How an account counts.

sum:   the total of spent and held amounts in the buckets that count must stay within the limit. A settled
       hold becomes spending. An expired hold becomes spending in full, since the provider may have billed it.
rate:  a token bucket that refills over time; the limit is its size. A hold consumes its amount at once, and
       the settlement corrects it to the actual amount, up or down.
lease: the total of held amounts must stay within the limit. It is released when the hold settles or expires.
"""

Source = Literal["provider", "estimated", "unpriced", "expired"]
"""The source of an entry's usage and cost.

provider:  the usage that the provider reported.
estimated: Standby's estimate from what was relayed.
unpriced:  the model that answered has no price; the held amount was booked.
expired:   the hold was never settled; the held amount was booked.
"""

Outcome = Literal["served", "failed", "truncated", "client_gone", "expired"]
"""How an attempt ended. client_gone: the caller disconnected. expired: the hold was never settled."""


class Line(NamedTuple):
    """One limit that a request counts against, and the amount to take from it.

    `bucket` is the start of the calendar window, or of the part of a rolling window, in which the amount is
    booked, in seconds since 1970. With `rolling`, all buckets from `since` on count against the limit;
    otherwise only `bucket` does. `keep` is the number of seconds after `bucket` until its total can be
    deleted; 0 means never. `per_second` is the refill of a rate. With a `limit` of None the amount is counted
    but never refused.
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

    def of(self, amount: int) -> Line:
        """Returns this line with another amount. Faster than `_replace`."""
        members = (self[0], self[1], amount, *self[3:])
        return tuple.__new__(Line, members)  # pyright: ignore[reportUnknownMemberType]


class Held(NamedTuple):
    """The result of a hold that was taken.

    `used` is the total of spent and held amounts for each line, including this hold; for a rate it is the
    amount consumed from its token bucket. `exceeded` are the positions of lines that exceed their limit; it
    is empty if limits are enforced.
    """

    used: tuple[int, ...]
    exceeded: tuple[int, ...] = ()


class Denied(NamedTuple):
    """The result of a hold that was refused. Nothing of it was taken.

    `line` is the position of the first line that does not fit, or -1 if the hold has already ended. `used` is
    the total of spent and held amounts on that line. `ready_in` is the number of seconds until the line would
    fit, if known (only for rates). `unsure` means that the outage allowance refused the hold while the store
    did not answer, so the store may have taken it nevertheless.
    """

    line: int
    used: int
    ready_in: float | None = None
    unsure: bool = False


class LedgerEntry(NamedTuple):
    """One entry of the ledger: the usage and the cost of one attempt.

    `input` to `reasoning` are tokens. `input` includes `cached` and `cache_write`; `output` includes
    `reasoning`. `cost` is the provider's charge and `charged` the amount that counts against budgets, both in
    nano-dollars; they are None if there is no price. `first_token` and `duration` are in seconds.
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


class Issued(NamedTuple):
    """The provider that issued an id, a signature or encrypted reasoning (as `dialects.state_key`).

    `owner` is the name of the API key to which it was issued, "" without one.
    """

    key: str
    provider: str
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A virtual key as it is stored.

    `hashes` maps each valid hash, in the format of `[keys]`, to the time at which it stops working, or None.
    A key that is being rotated has two. `table` holds the other settings that `[keys.NAME]` would have.
    `damaged` is whether what is stored cannot be read; then there are no hashes and settings.
    """

    name: str
    hashes: Mapping[str, float | None]
    table: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType[str, Any]({}))
    created: float = 0.0
    damaged: bool = False
