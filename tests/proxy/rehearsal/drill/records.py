"""Records of cells of a drill, made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from standby.proxy.config import Routes, load_routes
from standby.proxy.dialects.registry import operation_named
from standby.proxy.gateway import Gateway
from standby.proxy.guardrails.rules import Rule
from standby.proxy.keys.principal import Principal
from standby.proxy.rehearsal.drill.client import PLANTED
from standby.proxy.rehearsal.drill.record import Cell, Record, Reply
from standby.proxy.rehearsal.drill.scenarios import SCENARIOS
from standby.proxy.rehearsal.simulator import Cut, Received, Status
from standby.proxy.stores.records import LedgerEntry

__all__ = [
    "CANARY",
    "COST",
    "DONE",
    "FAILED",
    "OTHER",
    "STOPPED",
    "answer",
    "cut",
    "entry",
    "europe",
    "healthy",
    "kept",
    "nobody",
    "observing",
    "over_budget",
    "planted",
    "received",
    "refusal",
    "routes",
    "rules",
    "stopped",
    "stream",
]

CANARY: Final = "canary-p1-0123456789ab"
OTHER: Final = "canary-p2-0123456789ab"
COST: Final = 10 * 3_000 + 20 * 9_000
"""What 10 + 20 tokens cost at main-eu, in nano-dollars."""
DONE: Final = b"data: [DONE]\n\n"
STOPPED: Final = b'data: {"choices":[],"standby":{"guardrail":"secrets"}}\n\n'
"""What a rule for answers sends in place of the rest of a stream."""
FAILED: Final = b'data: {"error":{"message":"cut","type":"server_error","code":"upstream_cut"}}\n\n'


@cache
def routes() -> Routes:
    """The configuration with everything that a drill looks at."""
    return load_routes(Path(__file__).with_name("full.toml"), lenient=True)


@cache
def rules() -> tuple[Rule, ...]:
    """Its guardrails: `secrets` binds in the region eu, `personal_data` everywhere."""
    middleware: Any = Gateway(routes()).middleware("guardrails")
    return cast("tuple[Rule, ...]", tuple(middleware.rules))


def answer(
    target: str = "main-eu", says: str | None = "overloaded", text: str = CANARY, **more: str
) -> Reply:
    """A whole answer of a target, as a caller has it."""
    headers = {"x-standby-target": target, "x-standby-attempts": "2"}
    if says is not None:
        headers["x-standby-degraded"] = says
    message = {"role": "assistant", "content": text}
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return Reply(200, headers | more, json.dumps(body).encode(), 0.1)


def stream(end: bytes = DONE, target: str = "main-eu", says: str | None = "overloaded") -> Reply:
    """The same, streamed."""
    delta = {"index": 0, "delta": {"content": CANARY}, "finish_reason": None}
    chunk = {"object": "chat.completion.chunk", "choices": [delta]}
    return answer(target, says)._replace(body=b"data: %s\n\n%s" % (json.dumps(chunk).encode(), end))


def refusal(status: int = 503, code: str = "overloaded", attempts: int = 2) -> Reply:
    """An error in the dialect of the caller."""
    body = {"error": {"message": "no", "type": "server_error", "code": code}}
    return Reply(status, {"x-standby-attempts": str(attempts)}, json.dumps(body).encode(), 0.1)


def over_budget() -> Reply:
    """The gateway's own refusal, for a budget of the caller."""
    return refusal(402, "budget_exceeded")._replace(headers={"x-standby-limit": "key.anywhere.budget.day"})


def stopped() -> Reply:
    """The refusal by a guardrail, of a request or of an answer."""
    return refusal(502, "guardrail_answer_blocked")._replace(headers={"x-standby-guardrail": "secrets"})


def received(text: str = "", fault: Any = None, *, billed: bool = True, model: str = "large") -> Received:
    """One request at a provider, whose answer took 10 + 20 tokens if it is billed."""
    document = {"model": model, "messages": [{"role": "user", "content": text}]}
    tokens: dict[str, Any] = {"input": 10, "output": 20, "generates": True} if billed else {}
    return Received(
        number=1,
        connection=1,
        reused=False,
        method="POST",
        path="/v1/chat/completions",
        headers=[],
        body=json.dumps(document).encode(),
        json=document,
        at=0.0,
        fault=fault,
        done=True,
        **tokens,
    )


def entry(target: str = "main-eu", **changes: Any) -> LedgerEntry:
    """The ledger's line of an answer."""
    fields: dict[str, Any] = {"key": "anywhere", "input": 10, "output": 20, "cost": COST, "charged": COST}
    return LedgerEntry(at=0.0, request_id="r", attempt=1, target=target, **(fields | changes))


def kept(fault: str = "outage", key: str = "anywhere", *, streamed: bool = False, **changes: Any) -> Record:
    """A record that keeps every promise: main fails, and main-eu answers in its place."""
    principal = Principal.of(routes().keys[key])
    pool = routes().pools["support"]
    down = received(fault=Status(503), billed=False)
    record = Record(
        Cell(pool, SCENARIOS[fault], key, principal, operation_named("chat"), streamed),
        routes().targets,
        [stream() if streamed else answer()],
        {"main": [down], "main-eu": [received()], "claude": []},
        [entry()],
        0,
        frozenset({"pool_degraded"}),
        {"us large": 1, "eu large": 1},
        rules(),
        {},
        counts_money=True,
    )
    return replace(record, **changes)


def healthy(**changes: Any) -> Record:
    """One in which nothing fails, and the preferred target answers."""
    facts: dict[str, Any] = {
        "replies": [answer("main", None)],
        "received": {"main": [received()], "main-eu": [], "claude": []},
        "entries": [entry("main", cost=10 * 2_000 + 20 * 8_000)],
        "conditions": frozenset[str](),
    }
    return kept("healthy", **(facts | changes))


def europe(**changes: Any) -> Record:
    """One of a caller whose data may not go to the preferred target."""
    facts: dict[str, Any] = {
        "replies": [answer(says="policy.region")],
        "received": {"main": [], "main-eu": [received()], "claude": []},
        "entries": [entry(key="europe")],
        "conditions": frozenset[str](),
    }
    return kept("healthy", "europe", **(facts | changes))


def cut(reply: Reply) -> Record:
    """One of a stream of the preferred target that broke after its beginning."""
    return kept(
        "mid_stream_cut",
        streamed=True,
        replies=[reply],
        received={"main": [received(fault=Cut(), billed=False)], "main-eu": [], "claude": []},
        entries=[],
    )


def nobody(**changes: Any) -> Record:
    """One in which every target fails, so that nobody answers."""
    facts: dict[str, Any] = {
        "replies": [refusal()] * 4,
        "received": {"main": [received(fault=Status(503), billed=False)], "main-eu": [], "claude": []},
        "entries": [],
        "conditions": frozenset({"pool_exhausted"}),
    }
    return kept("everything_down", **(facts | changes))


def planted(*texts: str, at: str, **changes: Any) -> Record:
    """One whose caller's secret and address were planted, and what of them a target received."""
    got: dict[str, list[Received]] = {name: [] for name in routes().targets} | {
        at: [received(" ".join(texts), billed=False)]
    }
    facts: dict[str, Any] = {"received": got, "entries": [], "planted": PLANTED}
    return kept(**(facts | changes))


def observing() -> tuple[Rule, ...]:
    """The same guardrails, of which none does more than report."""
    return tuple(rule.model_copy(update={"action": "observe"}) for rule in rules())
