"""Answers of real vendors, and what is right to make of each.

In `money.jsonl` a line has a request, an answer (with `stream` the list of its events), the card, and the
right counts and cost; `cost_nano` is null where what served has no card. In `faults.jsonl` it has an answer
and whose fault it is, whether another target may be asked, and what rests. `why` is the reason and `source`
where it is public; ids in bodies are invented, and messages are shortened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from standby.proxy.classify.faults import RULES, Fault
from standby.proxy.config import parse_routes
from standby.proxy.dialects.json_values import is_list, is_object
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway

from tests.acceptance.raw_provider import RawAnswer, RawProvider, raw_provider
from tests.proxy.harness import Caller, scope_of

__all__ = ["Case", "cases", "judge_all", "misjudged", "mismetered"]

Case: TypeAlias = dict[str, Any]

_HERE: Final = Path(__file__).parent
_LIMIT: Final = 20.0  # seconds for one case
_AT_ONCE: Final = 6
_PATHS: Final = MappingProxyType(
    {
        "chat": ("/v1/chat/completions", "openai"),
        "responses": ("/v1/responses", "openai"),
        "embeddings": ("/v1/embeddings", "openai"),
        "messages": ("/v1/messages", "anthropic"),
        "count_tokens": ("/v1/messages/count_tokens", "anthropic"),
    }
)
_OTHER: Final[Mapping[str, str]] = MappingProxyType({"chat": "embeddings", "messages": "count_tokens"})
_KINDS: Final[Mapping[str | None, str]] = MappingProxyType(
    {
        "bad_request": "caller",
        "incompatible": "caller",
        "conflict": "caller",
        "target_missing": "target",
        "upstream_auth": "credential",
        "quota": "account",
        "rate_limited": "rate_limited",
        "ramp_limited": "rate_limited",
        "context_overflow": "context",
        "content_refused": "refused",
        "stream_truncated": "truncated",
        None: "complete",
    }
)
"""The gateway's faults in the words of the cases; every other one is `unavailable`."""


def cases(kind: str) -> list[Case]:
    """The cases of `money.jsonl` or `faults.jsonl`."""
    return [json.loads(line) for line in (_HERE / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()]


async def judge_all(
    kind: str, judge: Callable[[Case, RawProvider], Awaitable[list[str]]]
) -> dict[str, list[str]]:
    """What is wrong with each case, by its name. Several run at once, each with a gateway of its own."""
    gate = asyncio.Semaphore(_AT_ONCE)
    found: dict[str, list[str]] = {}

    async def run(case: Case) -> None:
        async with gate, asyncio.timeout(_LIMIT):
            found[case["name"]] = await judge(case, provider)

    async with raw_provider() as provider, asyncio.TaskGroup() as group:
        for case in cases(kind):
            group.create_task(run(case))
    return found


async def _call(gateway: Gateway, case: Case, document: object, leaves: bytes | None = None) -> Exchange:
    path, _ = _PATHS[case["operation"]]
    caller = Caller(json.dumps(document).encode())
    scope = scope_of(path, headers=[(b"anthropic-version", b"2023-06-01")])
    exchange = Exchange.of(scope)
    call = asyncio.create_task(gateway(scope, caller.receive, caller.send))
    if leaves is not None:
        await caller.until(lambda: leaves in caller.body)
        caller.leave()
    with suppress(Exception):  # an exception is how an answer is cut
        await call
    return exchange


def _bytes(event: Any) -> bytes:
    if not isinstance(event, str):  # a large one
        event = event["before"] + event["repeat"] * event["times"] + event["after"]
    return str(event).encode()


def _toml(value: object) -> str:
    if is_object(value):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if is_list(value):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


async def mismetered(case: Case, provider: RawProvider) -> list[str]:
    """What is wrong with the ledger after a case of `money.jsonl`."""
    name, model = case["name"], json.dumps(case["request"]["model"])
    stream = case["stream"]
    pieces = [_bytes(event) for event in case["answer"]] if stream else [json.dumps(case["answer"]).encode()]
    kind = {"content-type": "text/event-stream" if stream else "application/json"}
    delays = [each / 1000 for each in case.get("delays_ms", [])]
    provider.answers[f"{name}/a"] = RawAnswer(200, kind, pieces, delays)
    routes = parse_routes(f"""
store = "memory:"
stack = ["budget", "failover"]
[providers.p]
dialect = "{_PATHS[case["operation"]][1]}"
base_url = "{provider.url(name)}/a"
[targets.a]
provider = "p"
model = {model}
price = {_toml(case["price"])}
[pools.w]
serves = [{model}]
prefer = ["a"]
budget = [{{ limit = "100000.00", window = "day" }}]
""")
    leaves: int | None = case.get("client_leaves_after")
    async with Gateway(routes) as gateway:
        await _call(gateway, case, case["request"], None if leaves is None else pieces[leaves].strip())
        store = gateway.store
        assert store is not None
        while not (entries := [entry async for entry in store.entries()]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [entry] = entries
    got = {
        "input": entry.input,
        "output": entry.output,
        "cache_read": entry.cached,
        "cache_write": entry.cache_write,
        "reasoning": entry.reasoning,
    }
    right: dict[str, int] = case["usage"]
    wrong = [
        f"{each}: {got[each]}, not {right[each]}" for each in got.keys() & right if got[each] != right[each]
    ]
    if case.get("unpriced_tier"):
        return [*wrong, *([] if entry.source == "unpriced" else [f"booked as {entry.source}"])]
    if (entry.cost, entry.source) != (case["cost_nano"], "provider"):
        wrong.append(f"cost: {entry.cost} by {entry.source}, not {case['cost_nano']}")
    return wrong


async def misjudged(case: Case, provider: RawProvider) -> list[str]:
    """What is wrong with the fault, the next target and what rests after a case of `faults.jsonl`."""
    name, operation = case["name"], case["operation"]
    stream = bool(case.get("stream"))
    body = case.get("body")
    pieces = [_bytes(event) for event in case.get("events", ())] or [
        body.encode() if isinstance(body, str) else json.dumps(body).encode()
    ]
    answer = RawAnswer(case["status"], case["headers"], pieces, [], case.get("forever", "").encode())
    answer.breaks = case.get("breaks", False)
    other = RawAnswer(200, *_good(operation, stream=stream))
    provider.answers.update({f"{name}/a": answer, f"{name}/b": other})
    async with Gateway(parse_routes(_fault_routes(provider.url(name), _PATHS[operation][1]))) as gateway:
        exchange = await _call(gateway, case, _request(operation, stream=stream))
        health = gateway.health
        resting = (
            health.rejection("a", "pa", operation) is not None,
            health.rejection("a", "pa", _OTHER.get(operation, "chat")) is not None,
            health.rejection("a2", "pa", operation) is not None,
        )
    assert answer.asked == 1
    fault = exchange.attempts[0].fault
    kind = _KINDS.get(None if fault is None else fault.kind, "unavailable")
    wrong: list[str] = []
    if kind not in {case["kind"], *case.get("kind_accept", ())}:
        wrong.append(f"kind: {kind}, not {case['kind']} ({fault})")
    if (moved := other.asked > 0) is not case["next_target"]:
        wrong.append(f"next_target: {moved} ({fault})")
    elif moved and fault is not None:
        only = {"larger": "larger", "opt_in": "opted_in"}.get(RULES[fault.kind].moves)
        if only != case.get("next_only"):
            wrong.append(f"next_only: {only} ({fault})")
    if _cooled(fault, *resting).isdisjoint({case["cools"], *case.get("cools_accept", ())}):
        wrong.append(f"cools: {resting}, not {case['cools']} ({fault})")
    wait = case.get("retry_after_s")
    if wait is not None and (fault is None or fault.retry_after != wait):
        wrong.append(f"retry_after: {fault}, not {wait}")
    return wrong


def _cooled(fault: Fault | None, operation: bool, target: bool, provider: bool) -> set[str]:
    """In the words of the cases, from which of these rests."""
    if provider:
        return {"credential", "account"}
    if operation:
        return {"target"} if target else {"target", "operation"}
    if fault is not None and RULES[fault.kind].health == "failure":
        return {"target", "operation"}  # it counts towards the breaker of both
    return {"nothing"}


def _fault_routes(url: str, dialect: str) -> str:
    """The target under test, another model with the same key, and a larger target elsewhere."""
    return f"""
stack = ["failover"]
[providers.pa]
dialect = "{dialect}"
base_url = "{url}/a"
[providers.pb]
dialect = "{dialect}"
base_url = "{url}/b"
[targets]
a = {{ provider = "pa", model = "m", context = 1000 }}
a2 = {{ provider = "pa", model = "m2", context = 1000 }}
b = {{ provider = "pb", model = "other", context = 1000000 }}
[pools.w]
prefer = ["a"]
alternates = [{{ target = "b", for = ["outage", "slow", "rate_limited", "context", "refused"] }}]
timeouts = {{ connect = "2s", first_token = "600ms", answer = "3s", stall = "600ms", total = "8s" }}
[pools.w2]
prefer = ["a2"]
"""


def _request(operation: str, *, stream: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"model": "w"}
    if operation in {"responses", "embeddings"}:
        document["input"] = "Hi"
    else:
        document["messages"] = [{"role": "user", "content": "Hi"}]
    if operation == "messages":
        document["max_tokens"] = 100
    if stream:
        document["stream"] = True
    return document


def _good(operation: str, *, stream: bool) -> tuple[dict[str, str], list[bytes]]:
    """Headers and pieces of a good answer."""
    kind = {"content-type": "text/event-stream" if stream else "application/json"}
    whole, events = _GOOD[operation]
    if not stream:
        return kind, [json.dumps(whole).encode()]
    return kind, [b"data: %s\n\n" % json.dumps(event).encode() for event in events]


_CHOICE: Final = {"index": 0, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}
_STOP: Final[dict[str, Any]] = {"index": 0, "delta": {}, "finish_reason": "stop"}
_RESPONSE: Final = {
    "id": "r2",
    "object": "response",
    "status": "completed",
    "model": "other",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "good"}]}],
}
_MESSAGE: Final = {
    "id": "m2",
    "type": "message",
    "role": "assistant",
    "model": "other",
    "content": [{"type": "text", "text": "good"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
_GOOD: Final[Mapping[str, tuple[object, list[object]]]] = MappingProxyType(
    {
        "chat": (
            {"id": "c2", "model": "other", "choices": [_CHOICE]},
            [
                {"id": "c2", "model": "other", "choices": [{"index": 0, "delta": {"content": "good"}}]},
                {
                    "id": "c2",
                    "model": "other",
                    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                },
            ],
        ),
        "responses": (
            _RESPONSE,
            [
                {"type": "response.output_text.delta", "sequence_number": 0, "delta": "good"},
                {"type": "response.completed", "sequence_number": 1, "response": _RESPONSE},
            ],
        ),
        "embeddings": (
            {
                "object": "list",
                "model": "other",
                "data": [{"object": "embedding", "embedding": [0.5]}],
            },
            [],
        ),
        "count_tokens": ({"input_tokens": 3}, []),
        "messages": (
            _MESSAGE,
            [
                {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "good"}},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": 1},
                },
                {"type": "message_stop"},
            ],
        ),
    }
)
