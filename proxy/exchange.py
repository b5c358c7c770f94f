"""The facts of one request: what came, who may answer it, what was tried, and how it ended.

One `Exchange` is shared by reference by everything that handles a request (`scope["standby"]`), and one
`Attempt` by everything that handles one try at one target (`scope["standby.attempt"]`). Every field has
one writer, named in its class's docstring; everybody may read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, cast

from .asgi import Headers, Scope
from .classify.answer import Answer
from .classify.faults import Fault, Rejection
from .config import Cause, Pool, Routes, Target
from .dialects.base import Operation
from .health.state_affinity import StateAffinity
from .health.target_health import Health
from .keys.principal import Principal
from .stores.store import Store

__all__ = ["DEFAULT_MAX_BODY", "Attempt", "Break", "Candidate", "Clearance", "Exchange", "Kind", "Role"]


# `list[Attempt]()` costs ten times as much as `list()`.
_list: Final = cast("Callable[[], list[Any]]", list)
_dict: Final = cast("Callable[[], dict[Any, Any]]", dict)

DEFAULT_MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes. Past 4 MiB of brackets even a fast parser blocks the loop for over 100 ms."""


Role = Literal["prefer", "alternate", "canary", "last"]
"""Why a target is in a plan: `canary` for a share of the callers, `last` when nothing better is left."""

Kind = Literal["primary", "retry", "failover", "hedge"]
"""Why an attempt is made: the first, the same target again, the next one, the next one besides."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A target considered for this request. Written by whoever plans; Failover adds a rejection that came up
    between the plan and the attempt, Relay one that a clearance gave.

    `causes` is None where it may be entered at once; an alternate is entered only after one of its causes.
    `rejected` is the reason why the target is not tried at all, or None; `ready_in` is the seconds
    until that reason passes, where it is known to pass, and `limit` the limit that refused, if one did.
    `degraded` is the reason why it is asked after others, `score` what placed it among its equals (the lower
    the better), and `cost` what the request may cost there, in nano-dollars.
    """

    name: str
    target: Target | None = None
    causes: frozenset[Cause] | None = None
    rejected: str | None = None
    ready_in: float | None = None
    limit: str | None = None
    role: Role = "prefer"
    degraded: str | None = None
    score: float | None = None
    cost: int | None = None


class Break(NamedTuple):
    """That a committed stream broke: the code of it, and the last event of the stream if nobody goes on."""

    code: str
    words: bytes


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at one candidate.

    Written by Failover (or Relay, when it stands alone): `number`, `kind`, `candidate`, `started` and
    `deadline` (on the loop's clock; an app that keeps clocks ends at the deadline what has not proved good).
    Written by Failover: `ended`.
    Written by Failover: `continues` (its answer follows one that broke, so that only a stream which can be
    read will do) and `takes_over` (asked, with what the client would be told, when its stream breaks after it
    was committed: whether another attempt goes on in its place, so that the answer is left open).
    Written by Relay: `sent` (something of the request may have reached the provider), `answer`, `fault`,
    `upstream_wait` (seconds).
    Written by Gate, around an app that keeps no such record: `answer`, `fault`.
    """

    number: int
    candidate: Candidate
    started: float
    deadline: float | None = None
    sent: bool = False
    answer: Answer | None = None
    fault: Fault | None = None
    upstream_wait: float = 0.0
    kind: Kind = "primary"
    ended: float | None = None
    continues: bool = False
    takes_over: Callable[[Break], bool] | None = None

    @staticmethod
    def of(scope: Scope) -> Attempt | None:
        """The attempt this scope belongs to, or None outside any."""
        attempt = scope.get("standby.attempt")
        return attempt if isinstance(attempt, Attempt) else None


Clearance = Callable[["Exchange", Attempt], Awaitable[Rejection | None]]
"""A check that every attempt must pass before a byte is sent to its target; it may refuse."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request from accept to ledger.

    Written by `Exchange.of`: `id`, `began`, `path` (below where we are mounted), `headers` (a snapshot:
    nothing that arrives later counts).
    Written by Gateway: `routes` (the snapshot of the configuration this request keeps), `health`,
    `store`, `affinity`, `relayed` (a Relay stands below, so what is not the provider's answer is our own
    stack's).
    Written by Hygiene: `operation`, `dialect`, `max_body`, `time_limit` (the caller's, in seconds), and
    `headers` and `path` again, cleaned.
    Written by `opened.resolve`: `pool`, `model`, `streamed`, `bound`.
    Written by RouteSelect, or by Failover in its absence: `plan`.
    Written by Failover, or by Relay when it stands alone: `attempts`.
    Written by Auth: `principal`.
    Written by Budget: `amendments` (members that the forwarded document has besides the caller's own, because
    the caller left them out), `hides_usage` (the event that answers an amendment is not the caller's to see),
    `share` (how much of its fullest budget the caller has used, 1.0 being all of it), `estimates` (what the
    request may cost at each target that has a price, in nano-dollars).
    Appended to by Budget: `notes` (headers of every answer besides `x-standby-*` of the report).
    Appended to by Auth, Guardrails and Budget: `clearances`.
    Written by Gate and Relay: `served` (the attempt whose bytes the client receives).
    Written by Relay: `client_gone`.
    """

    id: str
    began: float
    headers: Headers
    routes: Routes | None = None
    health: Health | None = None
    store: Store | None = None
    affinity: StateAffinity | None = None
    principal: Principal | None = None
    amendments: dict[str, Any] = field(default_factory=_dict)
    hides_usage: bool = False
    share: float = 0.0
    estimates: dict[str, int] = field(default_factory=_dict)
    notes: list[tuple[bytes, bytes]] = field(default_factory=_list)
    relayed: bool = False
    operation: Operation | None = None
    path: str = ""
    dialect: str = "openai"
    max_body: int = DEFAULT_MAX_BODY
    time_limit: float | None = None
    pool: Pool | None = None
    model: str | None = None
    streamed: bool = False
    bound: bool = False
    plan: tuple[Candidate, ...] | None = None
    attempts: list[Attempt] = field(default_factory=_list)
    clearances: list[Clearance] = field(default_factory=_list)
    served: Attempt | None = None
    client_gone: bool = False

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """The exchange of this request, created on first sight."""
        existing: Exchange | None = scope.get("standby")
        if existing is not None:
            return existing
        exchange = cls(
            id=_new_id(),
            began=time.perf_counter(),
            headers=tuple(scope.get("headers", ())),
            path=scope.get("path", "").removeprefix(scope.get("root_path", "")),
        )
        scope["standby"] = exchange
        return exchange

    def begin(self, candidate: Candidate, now: float, kind: Kind = "primary") -> Attempt:
        """Record that `candidate` is tried from `now` on."""
        attempts = self.attempts
        number = attempts[-1].number + 1 if attempts else 1
        attempt = Attempt(number=number, candidate=candidate, started=now, kind=kind)
        attempts.append(attempt)
        return attempt

    def withdraw(self, attempt: Attempt, rejection: Rejection) -> None:
        """A clearance refused `attempt`: nothing was sent, so that it is none."""
        candidate = attempt.candidate
        candidate.rejected, candidate.ready_in, candidate.limit = rejection
        self.attempts.remove(attempt)
        if self.served is attempt:
            self.served = None

    def tried(self) -> list[dict[str, str]]:
        """Each target that was tried or passed over, with the class of its fault; no word of a provider."""
        tried = [
            {
                "target": attempt.candidate.name,
                "fault": attempt.fault.kind if attempt.fault is not None else "unknown",
            }
            for attempt in self.attempts
        ]
        passed_over = [
            {"target": candidate.name, "fault": candidate.rejected}
            for candidate in self.plan or ()
            if candidate.rejected is not None
        ]
        return tried + passed_over

    @property
    def degraded(self) -> str | None:
        """Why the answer does not come from a preferred target that is well; None when it does.

        That a canary gave none is no reason, and neither is where a request must go for its own sake.
        """
        served = self.served
        for attempt in self.attempts:
            if attempt is served:
                break
            candidate = attempt.candidate
            if candidate.role == "canary" or (served is not None and candidate is served.candidate):
                continue
            # One without a fault was only slower than the one beside it.
            return "hedged" if attempt.fault is None else attempt.fault.kind
        for candidate in self.plan or ():
            if candidate.role == "canary":
                continue
            if served is not None and candidate is served.candidate:
                return candidate.degraded
            if candidate.rejected is not None and not candidate.rejected.startswith("state."):
                return candidate.rejected
            if candidate.degraded is not None and candidate.role == "prefer":
                return candidate.degraded
        return None

    def report(self) -> list[tuple[bytes, bytes]]:
        """The `x-standby-*` headers that every answer carries."""
        headers = [(b"x-standby-request-id", self.id.encode())]
        if self.served is not None:
            headers.append((b"x-standby-target", self.served.candidate.name.encode()))
            if (degraded := self.degraded) is not None:
                headers.append((b"x-standby-degraded", degraded.encode()))
        overhead = time.perf_counter() - self.began
        for attempt in self.attempts:
            overhead -= attempt.upstream_wait
        headers.append((b"x-standby-attempts", b"%d" % len(self.attempts)))
        headers.append((b"x-standby-overhead-ms", b"%.2f" % max(0.0, overhead * 1000)))
        headers += self.notes
        return headers


def _new_id() -> str:
    """Unlike any other of any process: Python seeds its generator from the OS in each. It is no secret."""
    return f"req_{random.getrandbits(96):024x}"
