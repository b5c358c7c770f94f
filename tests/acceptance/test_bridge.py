"""A pool of both dialects over sockets: what goes to the fallback, what it costs, what it never sees."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pytest
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import TRIP, Health
from standby.proxy.rehearsal.simulator import Content, Cut, ErrorEvent, Fault, Html, Simulator, Status
from standby.proxy.stores.records import LedgerEntry

from tests.acceptance.clients import CHAT, MESSAGES, RESPONSES, Api, Raw, Recorded, raw_client
from tests.acceptance.money import SECRETS, hashed
from tests.acceptance.scene import Forgetful
from tests.acceptance.serving import Front, until
from tests.chaos.setting import Card

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CARD: Final = Card(3_000_000_019, 15_000_000_023, 0)
KEY: Final = MappingProxyType({"authorization": f"Bearer {SECRETS['checkout']}"})
SECRET: Final = "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6"
ROUTES: Final = """
stack = ["trace", "auth", "guardrails", "budget", "route_select", "failover"]
[providers.openai]
dialect = "openai"
base_url = "{openai}"
region = "eu"
[providers.anthropic]
dialect = "anthropic"
base_url = "{anthropic}"
region = "us"
headers = {{ anthropic-beta = "operators-1,shared" }}
[targets.gpt]
provider = "openai"
model = "gpt-of-the-provider"
price = {{ input = "2.00", output = "8.00" }}
[targets.chat-only]
provider = "openai"
model = "chat-of-the-provider"
can = ["chat", "stream", "tools"]
price = {{ input = "2.00", output = "8.00" }}
[targets.claude]
provider = "anthropic"
model = "claude-of-the-provider"
price = {{ input = "3.000000019", output = "15.000000023" }}
[pools.gpt]
prefer = ["gpt"]
alternates = [{{ target = "claude", for = ["outage", "rate_limited"] }}]
{pool}
[pools.claude]
prefer = ["claude"]
alternates = [{{ target = "gpt", for = ["outage", "rate_limited"] }}]
{pool}
[pools.claude-only]
serves = ["claude-only"]
prefer = ["claude"]
alternates = [{{ target = "chat-only", for = ["budget"] }}]
[pools.chat-only]
prefer = ["chat-only"]
[keys.checkout]
hash = "{hash}"
pools = ["*"]
budget = [{{ limit = "{limit}", window = "month" }}]
[guardrails]
rules = [
  {{ kind = "secrets", on = "request", action = "redact", when = {{ region = "us" }} }},
]
[failover]
deadline = "10s"
"""


@dataclass
class Mixed:
    """A gateway whose pools mix dialects, its two providers, and who calls it."""

    front: Front
    gateway: Gateway
    openai: Simulator
    anthropic: Simulator
    raw: Raw

    async def ask(self, api: Api, *, stream: bool = False, **fields: Any) -> Recorded:
        """One request of the checkout's key, in the words of an API."""
        model = {"model": "claude" if api is MESSAGES else "gpt"}
        return await self.raw.ask(api, stream=stream, headers=dict(KEY), **{**model, **fields})

    async def ledger(self) -> list[LedgerEntry]:
        """The ledger, once nothing is held."""
        store = self.gateway.store
        assert store is not None
        await until(lambda: not self.front.under_way)
        while await store.held():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return [entry async for entry in store.entries()]


@asynccontextmanager
async def mixed(front: Front, *, pool: str = "", limit: str = "1.00") -> AsyncGenerator[Mixed]:
    """All of it ends with the block. Targets are always tried, so that every request meets the fault."""
    async with Simulator("alpha") as openai, Simulator("beta") as anthropic:
        text = ROUTES.format(
            openai=openai.url,
            anthropic=anthropic.url,
            hash=hashed(SECRETS["checkout"]),
            pool=pool,
            limit=limit,
        )
        async with Gateway(parse_routes(text, environ={})) as gateway, raw_client(front.origin) as raw:
            gateway.health = Forgetful()
            front.app = gateway
            try:
                yield Mixed(front, gateway, openai, anthropic, raw)
            finally:
                front.app = None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", [CHAT, RESPONSES, MESSAGES], ids=str)
async def test_the_ledger_has_the_bill_of_the_fallback(front: Front, api: Api, *, stream: bool) -> None:
    """Tokens and cost of a translated attempt are what the provider that served it bills."""
    async with mixed(front) as scene:
        failing, serving = (
            (scene.anthropic, scene.openai) if api is MESSAGES else (scene.openai, scene.anthropic)
        )
        failing.fault = Status(503)
        answer = await scene.ask(api, stream=stream)
        assert answer.status == 200
        assert answer.header("x-standby-degraded") == "overloaded"
        (entry,) = [each for each in await scene.ledger() if each.outcome == "served"]
        (line,) = serving.bill
        assert (entry.input, entry.output) == (line.input, line.output)
        card = CARD if serving is scene.anthropic else Card(2_000_000_000, 8_000_000_000, 0)
        assert entry.cost == entry.charged == card.cost(line.input, line.output)
        assert entry.source == "provider"
        assert not failing.bill


async def test_a_budget_holds_on_the_fallback(front: Front) -> None:
    """What the fallback may cost is held before it is asked: too dear a one is never sent anything."""
    async with mixed(front, limit="0.01") as scene:
        scene.openai.fault = Status(503)
        answer = await scene.ask(CHAT, max_tokens=1_000)
        assert answer.status == 503
        assert b"claude: budget.exhausted" in answer.body
        assert scene.anthropic.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", [CHAT, RESPONSES], ids=str)
async def test_a_secret_never_reaches_the_fallback(front: Front, api: Api, *, stream: bool) -> None:
    """A rule for one region redacts what is translated for it, and the preferred target sees all."""
    asked: dict[str, Any] = {"instructions": f"The key is {SECRET}.", "input": f"Use {SECRET}."}
    if api is CHAT:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "login", "arguments": f'{{"key":"{SECRET}"}}'},
        }
        asked = {
            "messages": [
                {"role": "system", "content": f"The key is {SECRET}."},
                {"role": "user", "content": [{"type": "text", "text": f"Use {SECRET}."}]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": f"{SECRET} is right"},
            ]
        }
    async with mixed(front) as scene:
        scene.openai.fault = Status(503)
        answer = await scene.ask(api, stream=stream, **asked)
        assert answer.status == 200
        assert SECRET.encode() in scene.openai.requests[0].body
        (received,) = scene.anthropic.requests
        assert SECRET.encode() not in received.body
        assert received.body.count(b"[REDACTED:openai_key]") == (4 if api is CHAT else 2)


FAILED: Final = MappingProxyType(
    {"chat": b'data: {"error":', "responses": b"event: response.failed", "messages": b"event: error"}
)
CANNOT: Final[tuple[tuple[Api, dict[str, Any], str], ...]] = (
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"logprobs": True}, "logprobs"),
    (CHAT, {"store": True}, "store"),
    (CHAT, {"modalities": ["text", "audio"]}, "modalities"),
    (CHAT, {"response_format": {"type": "json_object"}}, "response_format"),
    (CHAT, {"guided_choice": ["a"]}, "guided_choice"),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        "messages[0].content[0].type",
    ),
    (RESPONSES, {"store": True}, "store"),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (RESPONSES, {"text": {"format": {"type": "json_object"}}}, "text.format"),
)


@pytest.mark.parametrize(("api", "fields", "field"), CANNOT)
async def test_what_cannot_be_carried_is_named(
    front: Front, api: Api, fields: dict[str, Any], field: str
) -> None:
    """With no target that could ever take the request, the caller gets a 400 with the field."""
    async with mixed(front) as scene:
        answer = await scene.ask(api, model="claude-only", **fields)
        assert answer.status == 400
        error = json.loads(answer.body)["error"]
        assert (error["code"], error["param"]) == ("untranslatable", field)
        assert {"target": "claude", "fault": "capability.untranslatable", "field": field} in error["attempts"]
        assert scene.anthropic.requests == []
        assert scene.openai.requests == []


async def test_another_target_may_take_it_later(front: Front) -> None:
    """While the preferred target is down, a request that cannot be carried gets that target's error."""
    async with mixed(front) as scene:
        scene.openai.fault = Status(429, retry_after=7)
        answer = await scene.ask(CHAT, n=2)
        assert (answer.status, answer.header("retry-after")) == (429, "7")
        assert b"claude: capability.untranslatable (n)" in answer.body
        assert scene.anthropic.requests == []


async def test_signed_thinking_stays_with_its_issuer(front: Front) -> None:
    """A conversation with signed thinking goes to no provider that cannot verify it."""
    thinking = {"type": "thinking", "thinking": "so", "signature": "c2lnbmVk"}
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "well"}]},
        {"role": "user", "content": "go on"},
    ]
    async with mixed(front) as scene:
        scene.anthropic.fault = Status(503)
        answer = await scene.ask(MESSAGES, messages=turns)
        assert b"gpt: state.signed" in answer.body
        assert scene.openai.requests == []
    async with mixed(front, pool='reasoning_state = "strip"') as scene:
        scene.anthropic.fault = Status(503)
        answer = await scene.ask(MESSAGES, messages=turns)
        assert (answer.status, answer.header("x-standby-dropped")) == (200, "reasoning")
        assert b"c2lnbmVk" not in scene.openai.requests[0].body


async def test_what_was_left_out_is_said_or_forbidden(front: Front) -> None:
    """A harmless field is dropped, and a header says so. A strict pool passes the target over instead."""
    async with mixed(front) as scene:
        scene.openai.fault = Status(503)
        answer = await scene.ask(
            CHAT, seed=7, user="ann", messages=[{"role": "user", "content": "a", "name": "x"}]
        )
        assert answer.header("x-standby-dropped") == "seed, messages[].name"
    async with mixed(front, pool="strict = true") as scene:
        scene.openai.fault = Status(503)
        answer = await scene.ask(CHAT, seed=7)
        assert b"claude: capability.untranslatable (seed)" in answer.body
        assert (await scene.ask(CHAT)).header("x-standby-target") == "claude"


@pytest.mark.parametrize("api", [CHAT, RESPONSES, MESSAGES], ids=str)
@pytest.mark.parametrize("fault", [Cut(after=Content(2)), ErrorEvent(after=Content(2))], ids=repr)
async def test_a_broken_stream_ends_in_the_dialect_of_the_caller(
    front: Front, api: Api, fault: Fault
) -> None:
    """After its first content a translated stream that breaks ends with one error event, and no end."""
    async with mixed(front) as scene:
        serving, failing = scene.anthropic, scene.openai
        if api is MESSAGES:
            serving, failing = failing, serving
        failing.fault, serving.fault = Status(503), fault
        answer = await scene.ask(api, stream=True)
        last = answer.body.rstrip().split(b"\n\n")[-1]
        assert b'"error"' in last
        assert api.end not in last
        assert last.startswith(FAILED[api.name])
        numbers = [int(each) for each in re.findall(rb'"sequence_number":(\d+)', answer.body)]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("fault", [Cut(after=Content(1)), Html()], ids=repr)
async def test_a_whole_answer_that_breaks_is_no_answer(front: Front, fault: Fault) -> None:
    """A translated document is sent when it is complete, so one that is not lets the next target try."""
    async with mixed(front) as scene:
        scene.anthropic.fault = fault
        answer = await scene.ask(CHAT, model="claude")
        assert (answer.status, answer.header("x-standby-target")) == (200, "gpt")


@pytest.mark.parametrize(("model", "size"), [("gpt", 180_000), ("claude", 180_000), ("claude", 600_000)])
async def test_a_large_answer_that_breaks_early_is_no_answer(front: Front, model: str, size: int) -> None:
    """Also one too large to be held: as long as nothing was sent, the next target is tried."""
    async with mixed(front) as scene:
        failing, other = scene.openai, "claude"
        if model == "claude":
            failing, other = scene.anthropic, "gpt"
        failing.words, failing.fault = ("word " * (size // 5),), Cut(after=Content(1))
        answer = await scene.ask(CHAT, model=model)
        assert (answer.status, answer.header("x-standby-target")) == (200, other)


async def test_arguments_that_a_limit_cut_off_are_the_callers_limit(front: Front) -> None:
    """A tool call without the end of its arguments is served as cut off, and rests nothing."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "tru'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    document: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }
    async with mixed(front) as scene:
        scene.gateway.health = health = Health()
        scene.anthropic.fault = Status(503)
        scene.openai.fault = Status(200, body=json.dumps(document).encode())
        answer = await scene.ask(MESSAGES)
        served = json.loads(answer.body)
        assert (served["stop_reason"], served["content"][0]["input"]) == ("max_tokens", {})
        document["choices"][0]["finish_reason"] = "tool_calls"
        scene.openai.fault = Status(200, body=json.dumps(document).encode())
        for _ in range(TRIP + 1):
            assert b"gpt: bad_response" in (await scene.ask(MESSAGES)).body
        assert health.rejection("gpt", "openai", "chat") is None


async def test_a_target_without_responses_serves_them(front: Front) -> None:
    """Responses are carried to a target that only has chat, at the same provider."""
    async with mixed(front) as scene:
        answer = await scene.ask(RESPONSES, model="chat-only", stream=True)
        assert answer.status == 200
        assert scene.openai.requests[0].path == "/v1/chat/completions"
        assert answer.body.rstrip().endswith(b"}")
        assert b"event: response.completed" in answer.body


async def test_headers_are_those_of_the_target_that_is_asked(front: Front) -> None:
    """A translated request has Anthropic's version, and none of the caller's headers for OpenAI; the features
    that the operator and a caller of Anthropic's API switch on are joined."""
    async with mixed(front) as scene:
        scene.openai.fault = Status(503)
        await scene.raw.ask(CHAT, stream=False, headers={**KEY, "openai-beta": "x"})
        headers = dict(scene.anthropic.requests[0].headers)
        assert headers[b"anthropic-version"] == b"2023-06-01"
        assert headers[b"anthropic-beta"] == b"operators-1,shared"
        assert b"openai-beta" not in headers
        await scene.raw.ask(MESSAGES, stream=False, headers={**KEY, "anthropic-beta": "shared,callers-2"})
        headers = dict(scene.anthropic.requests[1].headers)
        assert headers[b"anthropic-beta"] == b"operators-1,shared,callers-2"


@pytest.mark.parametrize("rests", [False, True])
async def test_a_rejected_translation_is_not_the_callers_fault(front: Front, *, rests: bool) -> None:
    """While the preferred target is down, the fallback's 400 is one of two faults, and the answer a 503."""
    async with mixed(front) as scene:
        if rests:
            scene.gateway.health = Health()
        scene.openai.fault, scene.anthropic.fault = Status(503), Status(400)
        for _ in range(TRIP + 1):
            answer = await scene.ask(CHAT)
            assert answer.status == 503
            assert b"claude: incompatible" in answer.body


async def test_the_error_of_a_fallback_is_passed_on_translated(front: Front) -> None:
    """A request that the fallback alone rejects as wrong gets its message, in the caller's dialect."""
    async with mixed(front) as scene:
        scene.anthropic.fault = Status(400)
        answer = await scene.ask(CHAT, model="claude-only")
        assert answer.status == 400
        error = json.loads(answer.body)["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]
        assert "request_id" not in json.loads(answer.body)
        assert json.loads(answer.body).get("type") is None
