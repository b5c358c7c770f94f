"""Asks every target for one tiny answer of each kind: `standby check --live`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from ..asgi import Message, Scope
from ..bridge.bridges import bridge_to, operation_at_target
from ..budget.metering.token_estimate import measure
from ..budget.metering.usage_meter import Requested, expected_usage
from ..config import Pool, Routes, Target, dollars, targets_of
from ..dialects.base import AnswerReader, Operation, Signal
from ..dialects.json_values import is_list, is_object, read_json, within
from ..dialects.registry import operation_named
from ..dialects.sse import Splitter
from ..errors import Interrupted
from ..exchange import Candidate, Exchange
from ..health.target_health import Health
from ..http.body import Body
from ..http.opened import resolve
from ..upstream.relay import Relay
from ..upstream.transports import Transports
from .columns import columns

__all__ = ["Trial", "cost_of", "run_trials", "shown", "trials"]

_OUTPUT: Final = 256
"""Tokens that each answer may have: a model that reasons needs some before its first word."""
_SCHEMA: Final = MappingProxyType[str, Any](
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)
_TOOL: Final = MappingProxyType[str, Any]({"name": "note", "description": "Notes an answer."})
_QUESTION: Final = "Answer with the word ok."
_FEATURES: Final = MappingProxyType(
    {"plain": None, "stream": "stream", "tools": "tools", "json_schema": "json_schema"}
)
"""What is asked for, and the capability that it needs."""
_MAIN: Final = MappingProxyType({"openai": ("chat", "responses"), "anthropic": ("messages",)})
"""The operations of which callers of a dialect use the first one that a target has."""


@dataclass(slots=True, eq=False)
class Trial:
    """One request to one target, as a caller of `operation` sends it to `pool`.

    `problem` is what was wrong with the answer, None while it has not been asked for or if nothing was.
    """

    pool: Pool
    target: Target
    operation: Operation
    feature: str
    request: dict[str, Any] = field(repr=False)
    problem: str | None = None

    @property
    def cost(self) -> int:
        """The most that it can cost, in nano-dollars; 0 without a price."""
        name = self.operation.name
        requested = Requested.of(self.request, name)
        expected = expected_usage(measure(self.request, name), requested, self.target)
        return expected.cost(self.target.price)


class _Answer(NamedTuple):
    status: int
    body: bytes


def trials(routes: Routes) -> list[Trial]:
    """Returns the requests that are to be sent: one for each target of a pool and each thing it claims to do.

    A target is asked once in each dialect in which callers can reach it, whatever the number of pools.
    """
    found: dict[tuple[str, str, str], Trial] = {}
    for pool in routes.pools.values():
        for target in targets_of(pool):
            for operation in _operations(pool, target):
                for feature in _claimed(target):
                    request = _request(operation.name, feature)
                    trial = Trial(pool, target, operation, feature, request)
                    found.setdefault((target.name, operation.name, feature), trial)
    return list(found.values())


def cost_of(requests: Sequence[Trial]) -> str:
    """Returns what the requests cost at most, in words."""
    unpriced = sorted({trial.target.name for trial in requests if trial.target.price is None})
    known = dollars(sum(trial.cost for trial in requests))
    names = len({trial.target.name for trial in requests})
    rest = f", without the targets that have no price ({', '.join(unpriced)})" if unpriced else ""
    return f"{len(requests)} requests to {names} targets, at most ${known}{rest}"


async def run_trials(routes: Routes, requests: Sequence[Trial]) -> None:
    """Send the requests, those to one target one after the other, and write each one's `problem`."""
    transports = Transports()
    by_target: dict[str, list[Trial]] = {}
    for trial in requests:
        by_target.setdefault(trial.target.name, []).append(trial)

    async def run(mine: list[Trial]) -> None:
        for trial in mine:
            trial.problem = await _asked(routes, transports, trial)

    try:
        await asyncio.gather(*map(run, by_target.values()))
    finally:
        await transports.aclose()


def shown(requests: Sequence[Trial]) -> str:
    """Returns the results as a table: a line for each target and dialect."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for trial in requests:
        row = rows.setdefault((trial.target.name, trial.operation.name), {})
        row[trial.feature] = trial.problem or "ok"
        asked = operation_at_target(trial.target, trial.operation)
        row["way"] = (
            trial.operation.path if asked is trial.operation else f"{trial.operation.path} as {asked.name}"
        )
    lines = [("target", "asked at", *_FEATURES)]
    lines += [
        (name, row["way"], *(row.get(feature, "not in can") for feature in _FEATURES))
        for (name, _), row in rows.items()
    ]
    return "\n".join(columns(lines))


# -- what is asked ----------------------------------------------------------------------------


def _operations(pool: Pool, target: Target) -> Iterator[Operation]:
    """Yields the operations by which callers of the pool reach a target."""
    for dialect in pool.dialects:
        for name in _MAIN[dialect]:
            operation = operation_named(name)
            if name in target.operations or bridge_to(target, operation) is not None:
                yield operation
                break


def _claimed(target: Target) -> Iterator[str]:
    for feature, capability in _FEATURES.items():
        if capability is None or target.can is None or capability in target.can:
            yield feature


def _request(operation: str, feature: str) -> dict[str, Any]:
    request: dict[str, Any] = {"model": "any", **_WRITERS[operation](feature)}
    if feature == "stream":
        request["stream"] = True
    return request


def _chat(feature: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_completion_tokens": _OUTPUT,
    }
    if feature == "tools":
        request["tools"] = [{"type": "function", "function": {**_TOOL, "parameters": dict(_SCHEMA)}}]
        request["tool_choice"] = "required"
    elif feature == "json_schema":
        schema = {"name": "answer", "schema": dict(_SCHEMA), "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif feature == "stream":
        request["stream_options"] = {"include_usage": True}
    return request


def _responses(feature: str) -> dict[str, Any]:
    request: dict[str, Any] = {"input": _QUESTION, "max_output_tokens": _OUTPUT, "store": False}
    if feature == "tools":
        request["tools"] = [{"type": "function", **_TOOL, "parameters": dict(_SCHEMA), "strict": True}]
        request["tool_choice"] = "required"
    elif feature == "json_schema":
        schema = {"type": "json_schema", "name": "answer", "schema": dict(_SCHEMA), "strict": True}
        request["text"] = {"format": schema}
    return request


def _messages(feature: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_tokens": _OUTPUT,
    }
    if feature == "tools":
        request["tools"] = [{**_TOOL, "input_schema": dict(_SCHEMA)}]
        request["tool_choice"] = {"type": "any"}
    elif feature == "json_schema":
        request["output_config"] = {"format": {"type": "json_schema", "schema": dict(_SCHEMA)}}
    return request


_WRITERS: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = MappingProxyType(
    {"chat": _chat, "responses": _responses, "messages": _messages}
)


# -- what comes -------------------------------------------------------------------------------


async def _asked(routes: Routes, transports: Transports, trial: Trial) -> str | None:
    """Send one request, and return what is wrong with its answer, or None."""
    exchange = Exchange("live", time.monotonic(), (), routes=routes)
    exchange.operation, exchange.dialect, exchange.path = (
        trial.operation,
        trial.operation.dialect,
        trial.operation.path,
    )
    exchange.health, exchange.relayed = Health(), True
    body = Body(orjson.dumps({**trial.request, "model": trial.pool.serves[0]}), _nothing)
    resolve(exchange, body)
    asked = operation_at_target(trial.target, trial.operation)
    candidate = Candidate(trial.target.name, trial.target)
    candidate.operation = None if asked is trial.operation else asked
    exchange.plan = (candidate,)
    status, parts = 0, list[bytes]()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    scope: Scope = {"type": "http", "standby": exchange, "headers": [], "path": trial.operation.path}
    with suppress(Interrupted):  # which is a fault of the attempt
        await Relay(transports)(scope, body, send)
    if candidate.rejected is not None:
        return f"{candidate.rejected}{'' if candidate.field is None else f' ({candidate.field})'}"
    fault = exchange.attempts[0].fault if exchange.attempts else None
    if fault is not None:
        details = [str(each) for each in (fault.status, fault.code) if each is not None]
        return " ".join((fault.kind, *details))
    return _problem(trial, _Answer(status, b"".join(parts)))


async def _nothing() -> Message:
    """The ASGI `receive` of a caller who neither says more nor leaves."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


def _problem(trial: Trial, answer: _Answer) -> str | None:
    """Returns what of an answer a caller of the operation could not use, or None."""
    if trial.feature == "stream":
        return _problem_of_stream(trial.operation.reader(), answer.body)
    value: object = read_json(answer.body)
    reader = trial.operation.reader()
    if reader.document(value) is not Signal.CONTENT or not is_object(value):
        return "not an answer"
    if reader.usage is None:
        return "tells no usage"
    if trial.feature == "tools":
        return None if any(map(_is_note, _calls(value))) else "calls no tool"
    if trial.feature == "json_schema":
        return None if _is_note("".join(_texts(value))) else "is not as the schema says"
    return None


def _problem_of_stream(reader: AnswerReader, body: bytes) -> str | None:
    splitter = Splitter()
    signals = [reader.event(name, data) for name, data, _ in (*splitter.feed(body), *splitter.finish())]
    if Signal.CONTENT not in signals or Signal.END not in signals:
        return "not a whole stream"
    return "tells no usage" if reader.usage is None else None


def _calls(value: object) -> Iterator[object]:
    """Yields the arguments of every tool call in an answer of any format."""
    for node in _nodes(value):
        if node.get("type") == "tool_use":
            yield node.get("input")
        elif "arguments" in node:
            yield node["arguments"]


def _texts(value: object) -> Iterator[str]:
    """Yields the texts of an answer of any format."""
    for node in _nodes(value):
        given = node.get("text") if node.get("type") in {"text", "output_text"} else node.get("content")
        if isinstance(given, str) and (node.get("role") == "assistant" or "text" in node):
            yield given


def _nodes(value: object) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        node = pending.pop(0)
        if is_list(node):
            pending = [*node, *pending]
        elif is_object(node):
            yield node
            pending = [*node.values(), *pending]


def _is_note(given: object) -> bool:
    """Whether arguments, or a text, are an object as the schema says."""
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            return False
    return isinstance(within(given, "answer"), str)
