"""A gateway that answers natively, or over bridges: `python -m tests.clients.bridged_demo SCENE`.

All scenes have the pools `support`, for callers of OpenAI's dialect, and `drafting`, for those of
Anthropic's. All providers give the same content, so that the scenes differ in the bridge alone.

    native     a provider of the caller's own dialect answers
    bridged    that one is down, and one of the other dialect answers
    chat-only  a provider with Chat Completions, but not Responses, answers at `support`
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import orjson
import uvicorn
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.rehearsal.simulator import Answer, Received, Status
from standby.proxy.rehearsal.simulator.answer import encode, event
from standby.proxy.server import configuration
from typing_extensions import override

from tests.clients.able_demo import AbleProvider

__all__ = ["BOTH", "CALLS", "FIRST", "SAID", "BridgedProvider", "run"]

SAID: Final = "alpha says: all is well."
"""What the providers say where no tool is to be called."""
BOTH: Final = "Paris and Oslo"
"""A request with these words, and with a tool, gets two calls at once."""
FIRST: Final = ("I ask ", "for both.")
"""What is said before the two calls, in its deltas."""
CALLS: Final = (('{"ci', 'ty":"', 'Paris"}'), ('{"city"', ":", '"Oslo"}'))
"""The fragments of the two calls' arguments."""

_PROVIDERS: Final = """\
stack = ["route_select", "failover"]
[providers.openai]
dialect = "openai"
base_url = "{openai}"
[providers.openai-down]
dialect = "openai"
base_url = "{openai_down}"
[providers.anthropic]
dialect = "anthropic"
base_url = "{anthropic}"
[providers.anthropic-down]
dialect = "anthropic"
base_url = "{anthropic_down}"
[targets]
gpt = {{ provider = "openai", model = "gpt" }}
gpt-down = {{ provider = "openai-down", model = "gpt" }}
claude = {{ provider = "anthropic", model = "claude" }}
claude-down = {{ provider = "anthropic-down", model = "claude" }}
[targets.chat-only]
provider = "openai"
model = "chat-only"
can = ["chat", "stream", "tools", "parallel_tools", "json_schema", "vision", "reasoning"]
"""
_POOLS: Final = MappingProxyType(
    {
        "native": """\
[pools.support]
prefer = ["gpt"]
[pools.drafting]
prefer = ["claude"]
""",
        "bridged": """\
[pools.support]
prefer = ["gpt-down"]
alternates = [{{ target = "claude", for = ["outage", "rate_limited"] }}]
[pools.drafting]
prefer = ["claude-down"]
alternates = [{{ target = "gpt", for = ["outage", "rate_limited"] }}]
""",
        "chat-only": """\
[pools.support]
prefer = ["chat-only"]
""",
    }
)


class BridgedProvider(AbleProvider):
    """A provider that calls a tool until it has the result, and two at once if it is asked about both."""

    @override
    def _good(self, received: Received) -> Answer:
        answer = super()._good(received)
        if answer.status != 200 or not self.calls_tools or BOTH.encode() not in received.body:
            return answer
        tools: list[dict[str, Any]] | None = received.json.get("tools")
        if not tools:
            return answer
        name: str = tools[0].get("function", tools[0])["name"]
        write = {"chat": _chat, "messages": _messages, "responses": _responses}[answer.api]
        return write(answer, name)


def _chat(answer: Answer, name: str) -> Answer:
    calls: list[dict[str, Any]] = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": "".join(parts)}}
        for at, parts in enumerate(CALLS)
    ]
    if not answer.streamed:
        document = orjson.loads(bytes(answer.events[0]))
        document["choices"][0]["message"] |= {"content": "".join(FIRST), "tool_calls": calls}
        return answer.whole(encode(document))
    head = _document(answer.events[0])
    deltas: list[dict[str, Any]] = [{"content": word} for word in FIRST]
    for at, (call, parts) in enumerate(zip(calls, CALLS, strict=True)):
        begun = {**call, "index": at, "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": part}}]} for part in parts]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}]}
        for delta in deltas
    ]
    middle = tuple(event(chunk, named=False) for chunk in chunks)
    events = (answer.events[0], *middle, *answer.events[answer.ending :])
    return replace(answer, events=events, preamble=1, ending=1 + len(middle))


def _messages(answer: Answer, name: str) -> Answer:
    uses: list[dict[str, Any]] = [
        {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": {}} for at in range(len(CALLS))
    ]
    said: dict[str, Any] = {"type": "text", "text": ""}
    if not answer.streamed:
        document = orjson.loads(bytes(answer.events[0]))
        document["content"] = [
            said | {"text": "".join(FIRST)},
            *(use | {"input": orjson.loads("".join(parts))} for use, parts in zip(uses, CALLS, strict=True)),
        ]
        return answer.whole(encode(document))
    deltas = [
        [{"type": "text_delta", "text": word} for word in FIRST],
        *([{"type": "input_json_delta", "partial_json": part} for part in parts] for parts in CALLS),
    ]
    middle: list[dict[str, Any]] = []
    for at, (block, pieces) in enumerate(zip((said, *uses), deltas, strict=True)):
        middle.append({"type": "content_block_start", "index": at, "content_block": block})
        middle += [{"type": "content_block_delta", "index": at, "delta": piece} for piece in pieces]
        middle.append({"type": "content_block_stop", "index": at})
    events = [answer.events[0], *(event(each, named=True) for each in middle), *answer.events[-2:]]
    return replace(answer, events=tuple(events), preamble=1, ending=1 + len(middle))


def _responses(answer: Answer, name: str) -> Answer:
    part: dict[str, Any] = {"type": "output_text", "text": "".join(FIRST), "annotations": [], "logprobs": []}
    head = {"id": "msg_0", "type": "message", "role": "assistant"}
    items: list[dict[str, Any]] = [
        {**head, "status": "completed", "content": [part]},
        *(
            {
                "id": f"fc_{at}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{at}",
                "name": name,
                "arguments": "".join(parts),
            }
            for at, parts in enumerate(CALLS)
        ),
    ]
    if not answer.streamed:
        return answer.whole(encode({**orjson.loads(bytes(answer.events[0])), "output": items}))
    last = _document(answer.events[-1])
    documents = [
        *map(_document, answer.events[:2]),
        *_message_events(items[0], part),
        *(made for at, parts in enumerate(CALLS, 1) for made in _call_events(at, items[at], parts)),
        {**last, "response": {**last["response"], "output": items}},
    ]
    events = [event({**each, "sequence_number": number}, named=True) for number, each in enumerate(documents)]
    return replace(answer, events=tuple(events), preamble=4, ending=len(events) - 1)


def _message_events(item: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of one item of words."""
    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun: dict[str, Any] = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for word in FIRST:
        yield {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def _call_events(at: int, item: dict[str, Any], parts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The events of one item that calls a tool."""
    place: dict[str, Any] = {"item_id": item["id"], "output_index": at}
    begun = {**item, "status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": at, "item": begun}
    kind = "response.function_call_arguments"
    for part in parts:
        yield {"type": f"{kind}.delta", **place, "delta": part}
    yield {"type": f"{kind}.done", **place, "name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _document(sent: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(sent.partition(b"data: ")[2])
    return found


async def run(scene: str) -> None:
    """Run the providers and the gateway until stopped."""
    async with (
        BridgedProvider("alpha") as openai,
        BridgedProvider("alpha") as anthropic,
        BridgedProvider("down", fault=Status(503)) as openai_down,
        BridgedProvider("down", fault=Status(529)) as anthropic_down,
    ):
        text = (_PROVIDERS + _POOLS[scene]).format(
            openai=openai.url,
            openai_down=openai_down.url,
            anthropic=anthropic.url,
            anthropic_down=anthropic_down.url,
        )
        gateway = Gateway(parse_routes(text, "the bridged demo's routes.toml"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            print(f"Standby listens on http://{host}:{port}", flush=True)
            config = configuration(gateway, graceful_seconds=5, log_level="warning")
            await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
