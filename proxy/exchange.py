"""The shared state of one request: its input, its plan, its attempts, and its outcome.

All code that handles a request shares one `Exchange` (`scope["standby"]`), and all code that handles one
attempt at one target shares one `Attempt` (`scope["standby.attempt"]`). Every field has one writer, named in
its class's docstring. Any code may read every field. Longer than 400 lines because what is known of a request
stands in one place.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

from .asgi import Headers, Scope
from .classify.answer import Answer
from .classify.faults import Fault, Rejection
from .config import Cause, Pool, Routes, Target
from .dialects.base import Operation
from .health.state_affinity import StateAffinity
from .health.target_health import Health
from .keys.principal import Principal
from .stores.store import Store

__all__ = [
    "DEFAULT_MAX_BODY",
    "STORE_DOWN",
    "Attempt",
    "Break",
    "BudgetUse",
    "Candidate",
    "Clearance",
    "Exchange",
    "Kind",
    "Notice",
    "OwnEvents",
    "Role",
    "Step",
    "TraceContext",
]


# `list[Attempt]()` costs ten times as much as `list()`.
_list: Final = cast("Callable[[], list[Any]]", list)
_dict: Final = cast("Callable[[], dict[Any, Any]]", dict)

DEFAULT_MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes: the most that Anthropic takes, for images and PDFs. What blocks the event loop is not the bytes but
the objects in them, whose number `json_document` limits."""


Role = Literal["prefer", "alternate", "canary", "last"]
"""The role of a target in a plan: `canary` for a share of the callers, `last` if no other target is left."""

Kind = Literal["primary", "retry", "failover", "hedge"]
"""Why an attempt is made: the first one, the same target again, the next target, or the next in parallel."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A target considered for this request.

    Written by the planner (RouteSelect, or Failover in its absence). Failover adds a rejection that occurs
    between plan and attempt, and Relay one that a clearance returns.

    `causes` is None if the target may be tried at once; an alternate is tried only after one of its causes.
    `rejected` is the reason code why the target is not tried, or None. `ready_in` is the number of seconds
    until that reason no longer applies, if known, and `limit` the name of the limit that refused, if one did.
    `degraded` is the reason why it is tried after others. `score` is the balancer's value among equal
    candidates (lower is better), and `cost` the estimated cost of the request there, in nano-dollars.
    `operation` is what it is asked for, if that is not what the caller asks for: the attempt is translated.
    `field` is the part of the request that could not be translated, if that is the reason.
    `presumed` is whether it gets reasoning of unknown origin in the prompt, which may be left out elsewhere,
    and `strips` whether reasoning in the prompt is left out for it.
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
    presumed: bool = False
    strips: bool = False
    operation: Operation | None = None
    field: str | None = None


class Break(NamedTuple):
    """A break of a committed stream: the error code, and the final event if no other attempt continues."""

    code: str
    words: bytes


class Step(NamedTuple):
    """What one middleware did before any attempt: from when to when (times of the exchange's clock).

    `refusal` is the error code if it refused the request.
    """

    name: str
    began: float
    ended: float
    refusal: str | None = None


class OwnEvents(Protocol):
    """Writes the gateway's own events into a stream, in the caller's format, as an `AnswerReader` does."""

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        """Returns the error event that ends a broken stream."""
        ...

    def restarted(self, reason: str, attempt: int) -> bytes:
        """Returns the event that asks a client to discard this stream, since a new one follows."""
        ...


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt at one candidate. Times are of the exchange's clock.

    Written by Failover (or Relay, without Failover): `number`, `kind`, `candidate`, `began`.
    Written by Failover: `ended`.
    Written by Failover: `continues` (the answer follows a broken one, so it must be a readable stream) and
    `takes_over` (called with the Break when the stream breaks after its commit; returns whether another
    attempt continues the response, which is then left open).
    Written by Relay: `sent` (whether any part of the request may have reached the provider), `answer`,
    `fault`, `upstream_wait` (seconds until the answer proved good or failed; None before), `finished` (when
    the provider's connection was no longer needed).
    Written by ForeignAnswer, around an app that is no Relay: `answer`, `fault`, `finished`.
    Written by Budget: `cost` (in nano-dollars, as in the ledger; None where it cannot be known).
    Written by Guardrails and RouteSelect: `amendments` (members of the document that this target sees
    otherwise than others).
    Written by RouteSelect and Relay: `dropped` (what this target does not see at all: "reasoning" or
    "thinking", and the fields that a translation left out).
    Written by Relay: `events` (writes the gateway's own events into the stream of a translated answer; None
    for the answer's reader).
    """

    number: int
    candidate: Candidate
    began: float
    sent: bool = False
    answer: Answer | None = None
    fault: Fault | None = None
    upstream_wait: float | None = None
    kind: Kind = "primary"
    ended: float | None = None
    continues: bool = False
    takes_over: Callable[[Break], bool] | None = None
    finished: float | None = None
    cost: int | None = None
    amendments: dict[str, Any] | None = None
    dropped: tuple[str, ...] = ()
    events: OwnEvents | None = None

    @staticmethod
    def of(scope: Scope) -> Attempt | None:
        """Returns the attempt to which this scope belongs, or None."""
        attempt = scope.get("standby.attempt")
        return attempt if isinstance(attempt, Attempt) else None


class BudgetUse(NamedTuple):
    """What the store said about a budget in money: its label and scope (as "key/checkout"), amounts in
    nano-dollars, and when it starts anew, in seconds since 1970."""

    scope: str
    label: str
    used: int
    limit: int
    resets: int | None


class GuardrailResult(NamedTuple):
    """What one guardrail decided about a request or an answer, without any of its text.

    `outcome` is "blocked", "redacted", "observed", "undecided" or "not_scanned". `codes` name what was found,
    and `times` is how often. `target` is the one for which it was decided, None if for all.
    """

    rule: str
    stage: Literal["request", "response"]
    outcome: str
    codes: tuple[str, ...]
    times: int = 0
    target: str | None = None


class Notice(NamedTuple):
    """Something that a request met and that an operator should be told: the kind of the alert, what it is
    about, and a sentence. One that is not `lasting` has happened, and is told once for each `occasion`."""

    alert: str
    subject: str
    text: str
    lasting: bool = False
    occasion: str = ""


STORE_DOWN: Final = Notice(
    "store_down", "store", "the store of keys and budgets does not answer", lasting=True
)


class TraceContext(Protocol):
    """The trace of one request, as far as others need it."""

    def outgoing(self, exchange: Exchange, attempt: Attempt) -> Headers:
        """Returns the W3C trace headers of a request to the attempt's provider."""
        ...

    def note(self, exchange: Exchange) -> Headers:
        """Returns the headers that tell the caller the trace."""
        ...

    @property
    def trace_id(self) -> str | None:
        """The trace id in hexadecimal; None if it is not known (yet)."""
        ...


Clearance = Callable[["Exchange", Attempt], Awaitable[Rejection | None]]
"""A check of every attempt before any byte is sent to its target. Returns a Rejection to refuse it."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request, from its arrival to its ledger entry.

    Written by `Exchange.of`: `id`, `clock` (all times of the request are of it, in seconds), `began`, `path`
    (relative to the mount point), `headers` (a snapshot; later changes such as trailers have no effect).
    Written by Gateway: `routes` (the configuration that this request keeps to its end), `health`, `store`,
    `affinity`, `large` (the lock under which large bodies are parsed, one at a time), `relayed` (the
    innermost app is a Relay, so a response that is not the provider's is the gateway's own).
    Written by Hygiene: `operation`, `dialect`, `max_body` (bytes), `time_limit` (the caller's, in seconds),
    and the cleaned `headers` and `path`.
    Written by `opened.resolve`: `pool`, `model`, `streamed`, `bound`.
    Written by RouteSelect, or by Failover in its absence: `plan`.
    Written by Failover: `deadline` (when the last attempt must have been committed; None for never).
    Written by Failover, or by Relay without Failover: `attempts`.
    Written by Auth: `principal`.
    Written by Budget: `amendments` (members added to the forwarded document that the caller left out),
    `hides_usage` (whether the usage event that results from an amendment is hidden from the caller), `share`
    (the used part of the caller's fullest budget, 1.0 is all of it), `estimates` (the estimated cost at each
    target with a price, in nano-dollars).
    Appended to by Budget: `notes` (further headers of every response, added to the `x-standby-*` headers).
    Appended to by Auth, Guardrails, Budget and RouteSelect: `clearances`.
    Appended to by Auth, Guardrails, Budget and RouteSelect: `steps`.
    Appended to by Guardrails: `guardrails`.
    Written by Budget: `held` (the most that was held for the request, in nano-dollars).
    Appended to by Budget: `budgets`. Appended to by Auth and Budget: `notices`.
    Written by Trace: `trace`, and around a foreign app `broke` (it raised after its answer had begun).
    Appended to by Trace: `observers` (the gateway calls them once everything else about the request is over).
    Written by Gate and Relay: `served` (the attempt whose bytes the client receives).
    Written by Relay: `client_gone`.
    Written by `send_refusal`: `refusal` (the error code, if the gateway itself responds).
    Written by Hygiene, or by Trace in its absence: `status` (of the response) and `responded` (when that was
    sent).
    """

    id: str
    began: float
    headers: Headers
    routes: Routes | None = None
    health: Health | None = None
    store: Store | None = None
    affinity: StateAffinity | None = None
    large: asyncio.Lock | None = None
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
    deadline: float | None = None
    pool: Pool | None = None
    model: str | None = None
    streamed: bool = False
    bound: bool = False
    plan: tuple[Candidate, ...] | None = None
    attempts: list[Attempt] = field(default_factory=_list)
    clearances: list[Clearance] = field(default_factory=_list)
    served: Attempt | None = None
    client_gone: bool = False
    refusal: str | None = None
    status: int | None = None
    responded: float | None = None
    steps: list[Step] = field(default_factory=_list)
    held: int = 0
    budgets: list[BudgetUse] = field(default_factory=_list)
    guardrails: list[GuardrailResult] = field(default_factory=_list)
    notices: list[Notice] = field(default_factory=_list)
    trace: TraceContext | None = None
    broke: bool = False
    observers: list[Callable[[Exchange], None]] = field(default_factory=_list)
    clock: Callable[[], float] = monotonic

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """Returns the exchange of this request. The first call creates it and puts it in the scope."""
        if "standby" in scope:
            existing: Exchange = scope["standby"]
            return existing
        clock = monotonic
        exchange = cls(
            id=_new_id(),
            began=clock(),
            clock=clock,
            headers=tuple(scope.get("headers", ())),
            path=scope.get("path", "").removeprefix(scope.get("root_path", "")),
        )
        scope["standby"] = exchange
        return exchange

    def begin(self, candidate: Candidate, kind: Kind = "primary") -> Attempt:
        """Record and return a new attempt at `candidate`, which begins now."""
        attempts = self.attempts
        number = attempts[-1].number + 1 if attempts else 1
        attempt = Attempt(number, candidate, self.clock(), kind=kind)
        attempts.append(attempt)
        return attempt

    def withdraw(self, attempt: Attempt, rejection: Rejection) -> None:
        """Remove `attempt` because a clearance refused it and nothing was sent. Its candidate is rejected."""
        candidate = attempt.candidate
        candidate.rejected, candidate.ready_in, candidate.limit, candidate.field = rejection
        self.attempts.remove(attempt)
        if self.served is attempt:
            self.served = None

    def tried(self) -> list[dict[str, str]]:
        """Returns each tried or rejected target with its fault kind or reason code, without provider text.

        They are in the order of the plan.
        """
        faults: dict[str, list[str]] = {candidate.name: [] for candidate in self.plan or ()}
        fields = {candidate.name: field for candidate in self.plan or () if (field := candidate.field)}
        for attempt in self.attempts:
            fault = "unknown" if attempt.fault is None else attempt.fault.kind
            faults.setdefault(attempt.candidate.name, []).append(fault)
        for candidate in self.plan or ():
            if candidate.rejected is not None:
                faults[candidate.name].append(candidate.rejected)
        return [
            {"target": name, "fault": fault}
            | ({"field": fields[name]} if fault == "capability.untranslatable" else {})
            for name, each in faults.items()
            for fault in each
        ]

    def asked_of(self, candidate: Candidate) -> Operation | None:
        """Returns the operation that a candidate is asked for; None if the request has none."""
        return candidate.operation or self.operation

    @property
    def owner(self) -> str:
        """The name of the caller's API key, to which ids are issued; "" without one."""
        return "" if self.principal is None else self.principal.name("key") or ""

    @property
    def degraded(self) -> str | None:
        """The reason why the answer does not come from a healthy preferred target, or None if it does."""
        degradation = self.degradation
        return None if degradation is None else degradation[0]

    @property
    def degradation(self) -> tuple[str, str] | None:
        """That reason, and the name of the target that it is about.

        A failed canary is not a reason, and neither is the provider to which a request is bound by its state,
        nor an alternate that was passed over. A target that policy or a guardrail keeps from this request is
        one only if no preferred target is left for it.
        """
        if self._is_as_planned():
            return None  # nearly always
        served = self.served
        if (failed := self._first_failed()) is not None:
            # An attempt without a fault was slower than its hedge.
            return "hedged" if failed.fault is None else failed.fault.kind, failed.candidate.name
        kept_away = None
        for candidate in self.plan or ():
            rejected = candidate.rejected
            if candidate.role == "canary" or (candidate.role == "alternate" and rejected is not None):
                continue
            if served is not None and candidate is served.candidate:
                reason = candidate.degraded or self._passed_over(candidate)
                if reason is not None:
                    return reason, candidate.name
                return None if candidate.role == "prefer" else kept_away
            if rejected is not None and rejected.startswith(("policy.", "guardrail.")):
                kept_away = kept_away or (rejected, candidate.name)
            elif rejected is not None and not rejected.startswith("state."):
                return rejected, candidate.name
            elif candidate.degraded is not None and candidate.role == "prefer":
                return candidate.degraded, candidate.name
        return kept_away

    def _is_as_planned(self) -> bool:
        """Whether the first target of the plan, a preferred and healthy one, served at once."""
        served, plan = self.served, self.plan
        if served is None or not plan or len(self.attempts) != 1:
            return False
        candidate = served.candidate
        return candidate is plan[0] and candidate.role == "prefer" and candidate.degraded is None

    def _first_failed(self) -> Attempt | None:
        """The first attempt before the served one, without those at a canary or at the target that served."""
        served = self.served
        for attempt in self.attempts:
            if attempt is served:
                break
            candidate = attempt.candidate
            if candidate.role == "canary" or (served is None and attempt.fault is None):
                continue  # without an answer, an attempt without a fault was cancelled with its request
            if served is None or candidate is not served.candidate:
                return attempt
        return None

    def _passed_over(self, served: Candidate) -> str | None:
        """The reason why a fallback was tried before a degraded preferred target that stands behind it."""
        if served.role == "prefer":
            return None
        behind = (each.degraded for each in self.plan or () if each.role != "alternate")
        return next((reason for reason in behind if reason is not None), None)

    def report(self) -> list[tuple[bytes, bytes]]:
        """Returns the `x-standby-*` headers of every response, and `notes`."""
        overhead = self.clock() - self.began
        for attempt in self.attempts:
            overhead -= attempt.upstream_wait or 0.0
        headers = [
            (b"x-standby-request-id", self.id.encode()),
            (b"x-standby-attempts", b"%d" % len(self.attempts)),
            (b"x-standby-overhead-ms", b"%.2f" % max(0.0, overhead * 1000)),
            *self.notes,
        ]
        if (served := self.served) is not None:
            headers += ((b"x-standby-target", served.candidate.name.encode()),)
            if (degraded := self.degraded) is not None:
                headers += ((b"x-standby-degraded", degraded.encode()),)
            if served.dropped:
                headers += ((b"x-standby-dropped", ", ".join(served.dropped).encode()),)
        if self.trace is not None:
            headers += self.trace.note(self)
        return headers

    def step(self, name: str, began: float, refusal: str | None = None) -> None:
        """Record what a middleware did from `began` until now."""
        self.steps += (Step(name, began, self.clock(), refusal),)


def _new_id() -> str:
    """Returns an id that is unique across processes, as Python seeds `random` from the OS. Not a secret."""
    return f"req_{random.getrandbits(96):024x}"
