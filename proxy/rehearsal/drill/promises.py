"""What a gateway promises, checked against what was seen in a cell. No I/O, and none of the gateway's rules.

Which targets may answer is read from the configuration, by `eligibility`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from ...config import Target
from ...dialects.base import Signal
from ...dialects.json_values import is_list, within
from ...dialects.sse import Splitter
from ..simulator import Slow
from .eligibility import against_policy, first_choices, is_kept_away, is_limited, may_answer, must_answer
from .record import Finding, Record, Reply

__all__ = ["PROMISES", "findings"]

PROMISES: Final = MappingProxyType(
    {
        "routing": "A target that policy and causes allow takes over, and no other",
        "budget": "Tokens and cost are on the right key, as the provider bills them, and nothing stays held",
        "guardrails": "Guardrails run before a target receives a byte",
        "format": "The application can parse what it gets, in its dialect",
        "alert": "Degraded routing has its header and its alert",
        "load": "Attempts and connections stay within their limits",
    }
)
"""The promises, each in a sentence."""

_CANARY: Final = re.compile(rb"canary-(p\d+)-[0-9a-f]{12}")
_MOST: Final = 3
"""Reasons that the evidence of one promise names."""
_NANO: Final = 1_000_000_000
_ALERTS: Final = frozenset({"pool_exhausted", "pool_degraded", "credential_rejected", "quota_exhausted"})
_ABOUT_CALLER: Final = ("guardrail.", "budget.", "limit.")
"""Beginnings of the reasons that are about the caller, and not about a target's health."""
_RESTS: Final = frozenset({"health.breaker_open", "health.cooldown"})


def findings(record: Record) -> list[Finding]:
    """Returns a finding for each promise."""
    checks = (_routing, _budget, _guardrails, _format, _alert, _load)
    made: list[Finding] = []
    for name, check in zip(PROMISES, checks, strict=True):
        broken = list(dict.fromkeys(check(record)))[:_MOST]  # each once, though several requests met it
        if broken and record.is_late:
            broken.append(f"timers were {record.late:.1f} s late: try again when this machine has less to do")
        made.append(Finding(name, kept=not broken, evidence="; ".join(broken) or _evidence(name, record)))
    return made


# -- routing ----------------------------------------------------------------------------------


def _routing(record: Record) -> Iterator[str]:
    cell, able = record.cell, may_answer(record)
    for name, requests in record.received.items():
        if requests and (why := against_policy(record, record.targets[name])) is not None:
            yield f"{name} was sent {len(requests)} requests, though {why}"
    breaks = cell.scenario.breaks and cell.streamed
    for reply in record.replies:
        if reply.planted:
            continue
        if 200 <= reply.status <= 299:
            if len(mixed := set(_CANARY.findall(reply.body))) > 1:
                names = ", ".join(sorted(each.decode() for each in mixed))
                yield f"one answer has bytes of several providers ({names})"
            if reply.target not in able and not (breaks and reply.target in cell.scenario.fails(cell.pool)):
                yield f"{reply.target} answered, and is none that may: {_listed(able)}"
        # A limit or budget of the caller holds in an outage too.
        elif (sure := must_answer(record)) and not breaks and not _by_rule(reply):
            yield f"{_listed(sure)} may answer, and the caller got {reply.status} {_code(reply)}"


def _by_rule(reply: Reply) -> bool:
    """Whether a budget, a limit or a guardrail is why no target, or no further one, was tried."""
    if not reply.headers.keys().isdisjoint({"x-standby-limit", "x-standby-guardrail"}):
        return True
    attempts = within(within(_json(reply.body), "error"), "attempts")
    faults = [str(within(each, "fault")) for each in attempts] if is_list(attempts) else []
    return any(fault.startswith(_ABOUT_CALLER) for fault in faults)


def _listed(able: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in able.items()) or "nobody"


# -- budget -----------------------------------------------------------------------------------


def _budget(record: Record) -> Iterator[str]:
    if not record.counts_money:
        return
    if record.held:
        yield f"{record.held} holds are still open"
    for entry in record.entries:
        if entry.key != record.cell.key:
            yield f"an attempt is booked on key {entry.key}, and key {record.cell.key} asked"
    unread = {reply.target for reply in record.replies if _is_stopped(reply)}
    for name, requests in record.received.items():
        target = record.targets[name]
        if name in unread:
            continue  # a rule hung up before its usage came
        # Of an answer that could not be read, nobody but the provider knows what it took.
        billed = [
            line
            for each in requests
            if (line := each.billed) is not None
            and not line.aborted
            and (each.fault is None or isinstance(each.fault, Slow))
        ]
        booked = [entry for entry in record.entries if entry.target == name and entry.outcome == "served"]
        tokens = [sum(line.input for line in billed), sum(line.output for line in billed)]
        counted = [sum(entry.input for entry in booked), sum(entry.output for entry in booked)]
        if tokens != counted:
            yield f"{name} bills {tokens[0]} + {tokens[1]} tokens, and {counted[0]} + {counted[1]} are booked"
        elif target.price is not None and target.price.tiers is None and not target.price.above:
            due = sum(_due(target, line.input, line.output) for line in billed)
            cost = sum(entry.cost or 0 for entry in booked)
            if abs(due - cost) > len(billed):
                yield f"{name} bills ${due / _NANO:.6f}, and ${cost / _NANO:.6f} are booked"


def _due(target: Target, tokens_in: int, tokens_out: int) -> int:
    price = target.price
    if price is None:
        return 0
    million = 1_000_000
    cost = (price.input * tokens_in + (price.output or 0) * tokens_out) / million
    return round(cost) + (price.per_request or 0)


# -- guardrails -------------------------------------------------------------------------------


def _guardrails(record: Record) -> Iterator[str]:
    for rule in record.rules:
        text = record.planted.get(rule.kind)
        if text is None or rule.action == "observe" or rule.on == "response":
            continue
        for name, requests in record.received.items():
            target = record.targets[name]
            if rule.when is not None and not _binds(rule.when, target):
                continue
            if any(text.encode() in each.body for each in requests):
                yield f"{name} received what rule {rule.name} must {rule.action} there"


def _binds(when: Any, target: Target) -> bool:
    provider = target.provider
    for names, value in (
        (when.region, provider.region),
        (when.provider, provider.name),
        (when.trust, provider.trust),
    ):
        if names is None:
            continue
        excluded = [name[1:] for name in names if name.startswith("!")]
        if value in excluded or (not excluded and value not in names):
            return False
    return True


# -- format -----------------------------------------------------------------------------------


def _format(record: Record) -> Iterator[str]:
    cell = record.cell
    for reply in record.replies:
        reader = cell.operation.reader()
        if not 200 <= reply.status <= 299:
            if not _is_error(_json(reply.body), cell.operation.dialect):
                yield f"a {reply.status} without an error in the caller's dialect"
        elif cell.streamed and cell.operation.name != "embeddings":
            splitter = Splitter()
            signals = [
                reader.event(name, data) for name, data, _ in (*splitter.feed(reply.body), *splitter.finish())
            ]
            ended = Signal.END in signals
            broken = signals[-1:] == [Signal.ERROR] and signals.count(Signal.ERROR) == 1 and not ended
            if cell.scenario.breaks and reply.target in cell.scenario.fails(cell.pool):
                if not broken and not _is_stopped(reply):
                    yield "a stream that broke does not end with one error event"
            elif not ended or Signal.ERROR in signals:
                yield f"the stream of {reply.target} has no proper end"
        elif reader.document(_json(reply.body)) is not Signal.CONTENT:
            yield f"the answer of {reply.target} is none in the caller's dialect"


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _is_stopped(reply: Reply) -> bool:
    """Whether a rule for answers has ended a stream before its end."""
    return b'"standby":{"guardrail"' in reply.body


def _is_error(document: Any, dialect: str) -> bool:
    """Whether a document is an error as SDKs of the dialect read one."""
    error = within(document, "error")
    texts = (within(error, "type"), within(error, "message"))
    return all(isinstance(text, str) for text in texts) and (
        (within(document, "type") == "error") is (dialect == "anthropic")
    )


def _code(reply: Reply) -> str:
    """Returns the code of an error, "" if it has none."""
    error = within(_json(reply.body), "error")
    return str(within(error, "code") or within(error, "type") or "")


# -- alert ------------------------------------------------------------------------------------


def _alert(record: Record) -> Iterator[str]:
    scenario, first, kept_away = record.cell.scenario, first_choices(record), is_kept_away(record)
    true = scenario.degraded | _RESTS if scenario.fails(record.cell.pool) else scenario.degraded
    if record.cell.pool.hedge is not None:
        true |= {"hedged"}
    asked = [reply for reply in record.replies if not reply.planted]
    degraded = 0
    for reply in asked:
        if not 200 <= reply.status <= 299:
            continue
        degraded_by, first_choice = reply.headers.get("x-standby-degraded"), reply.target in first
        about_caller = degraded_by is not None and degraded_by.startswith(_ABOUT_CALLER)
        degraded += not first_choice and not about_caller
        if degraded_by is None:
            if not first_choice:
                yield f"{reply.target} answered in place of a preferred target, and no header says so"
            continue
        excluded = kept_away and degraded_by.startswith(("policy.", "capability.", "disabled"))
        if degraded_by not in true and not about_caller and not excluded:
            causes = ", ".join(sorted(scenario.degraded)) or "nothing"
            yield f"x-standby-degraded says {degraded_by}, where {causes} is true"
    if scenario.intermittent or kept_away or is_limited(record):
        return
    if degraded == len(asked) and degraded and "pool_degraded" not in record.conditions:
        yield f"{degraded} answers came from alternates, and no alert is raised"
    refused = [reply for reply in asked if reply.status >= 500 and "x-standby-guardrail" not in reply.headers]
    if len(refused) == scenario.requests and record.conditions.isdisjoint(_ALERTS):
        yield "nobody answered, and no alert is raised"


# -- load -------------------------------------------------------------------------------------


def _load(record: Record) -> Iterator[str]:
    sent = sum(map(len, record.received.values()))
    asked = len(record.replies) + record.cell.scenario.at_once
    most = record.max_attempts * asked
    if sent > most:
        yield f"{asked} requests became {sent}"
    for reply in record.replies:
        attempts = reply.headers.get("x-standby-attempts", "0")
        if int(attempts) > record.max_attempts:
            yield f"a request had {attempts} attempts"
    for target in record.targets.values():
        busy = record.busy.get(f"{target.provider.name} {target.model}", 0)
        if busy > target.connections:
            yield f"{target.name} had {busy} requests at once, and allows {target.connections}"


def _evidence(promise: str, record: Record) -> str:
    """Returns what was seen where a promise was kept."""
    if promise == "routing":
        return _answered(record.replies)
    if promise == "budget":
        total = sum(entry.charged or 0 for entry in record.entries)
        return (
            f"{len(record.entries)} attempts, ${total / _NANO:.6f}"
            if record.counts_money
            else "nothing counts"
        )
    if promise == "guardrails":
        return (
            f"{len(record.rules)} rules read these requests"
            if record.rules
            else "no rule reads these requests"
        )
    if promise == "format":
        return f"{len(record.replies)} answers"
    if promise == "alert":
        headers = sorted({each.headers.get("x-standby-degraded", "") for each in record.replies} - {""})
        return ", ".join((*headers, *sorted(record.conditions))) or "nothing to tell"
    sent = {name: len(requests) for name, requests in record.received.items() if requests}
    return ", ".join(f"{name} {count}" for name, count in sent.items()) or "nothing was sent"


def _answered(replies: Sequence[Reply]) -> str:
    counts: dict[str, int] = {}
    for each in replies:
        who = (
            (each.target or str(each.status))
            if 200 <= each.status <= 299
            else f"{each.status} {_code(each)}".strip()
        )
        counts[who] = counts.get(who, 0) + 1
    return ", ".join(f"{who} x{count}" for who, count in counts.items())
