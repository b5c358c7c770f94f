"""Conversations through the official SDKs while the preferred provider is down at times, with two workers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import anthropic
import openai
import pytest
from standby.proxy import Gateway
from standby.proxy.config import parse_routes
from standby.proxy.keys.credentials import digests

from tests.acceptance.serving import Front, until, uvicorn_under
from tests.acceptance.vendor_state import VendorState

__all__: list[str] = []

pytestmark = pytest.mark.anyio

ANN: Final = "sk-sb-" + "a" * 43
BEN: Final = "sk-sb-" + "b" * 43
TURNS: Final = ("One.", "Two.", "Three.")


@dataclass(frozen=True)
class Turn:
    """What became of one turn: who gave the answer ("" if it was refused), and what it did not see."""

    target: str
    dropped: str = ""


A: Final = Turn("a")
B: Final = Turn("b")
REFUSED: Final = Turn("")
STRIPPED: Final = Turn("b", "reasoning")


@dataclass
class Stage:
    """Two providers, of which the first is preferred, and two workers on one store."""

    a: VendorState
    b: VendorState
    workers: list[tuple[Gateway, str]]

    async def written(self) -> None:
        """Wait until both workers have written what they remember."""
        await until(lambda: not any(gateway.affinity.waiting for gateway, _ in self.workers))


@asynccontextmanager
async def stage_of(
    store: str, dialect: str, pool: str, *, layers: Sequence[str] = ("route_select", "failover")
) -> AsyncGenerator[Stage]:
    async with AsyncExitStack() as stack:
        a, b = VendorState("a"), VendorState("b")
        urls: list[str] = []
        for vendor in (a, b):
            front = Front()
            front.app = vendor
            urls.append((await stack.enter_async_context(uvicorn_under(front, "httptools"))).origin)
        file = f"""
            store = "{store}"
            stack = {json.dumps(layers)}
            [providers]
            at-a = {{ dialect = "{dialect}", base_url = "{urls[0]}/v1" }}
            at-b = {{ dialect = "{dialect}", base_url = "{urls[1]}/v1" }}
            [targets]
            a = {{ provider = "at-a", model = "m" }}
            b = {{ provider = "at-b", model = "m" }}
            [pools.support]
            prefer = ["a"]
            alternates = [{{ target = "b", for = ["outage"] }}]
            {pool}
        """
        workers: list[tuple[Gateway, str]] = []
        for _ in range(2):
            gateway = await stack.enter_async_context(Gateway(parse_routes(file, environ={})))
            front = Front()
            front.app = gateway
            workers.append(
                (gateway, (await stack.enter_async_context(uvicorn_under(front, "httptools"))).origin)
            )
        yield Stage(a, b, workers)


class _Responses:
    """A conversation over the Responses API, by what its client sends of earlier turns."""

    def __init__(self, by: str, *, stream: bool) -> None:
        self.by = by
        self.stream = stream
        self.items: list[Any] = []
        self.previous: str | None = None

    async def turn(self, origin: str, text: str) -> Turn:
        fields: dict[str, Any] = {"input": [*self.items, {"role": "user", "content": text}]}
        if self.by == "previous_response_id":
            fields = {"input": text, "previous_response_id": self.previous}
        elif self.by == "encrypted":
            fields |= {"store": False, "include": ["reasoning.encrypted_content"]}
        async with openai.AsyncOpenAI(base_url=f"{origin}/v1", api_key="k", max_retries=0) as opened:
            client: Any = opened
            try:
                if self.stream:
                    async with client.responses.stream(model="support", **fields) as stream:
                        response = await stream.get_final_response()
                        headers = stream._response.headers  # the SDK has no other way to them
                else:
                    raw = await client.responses.with_raw_response.create(model="support", **fields)
                    response, headers = raw.parse(), raw.headers
            except openai.InternalServerError:
                return REFUSED
        self.previous = response.id
        self.items.append({"role": "user", "content": text})
        for item in response.output:
            whole = item.model_dump(exclude_none=True, exclude={"parsed_arguments"})
            self.items.append({"type": "item_reference", "id": item.id} if self.by == "reference" else whole)
        return Turn(headers["x-standby-target"], headers.get("x-standby-dropped", ""))


class _Messages:
    """A conversation with signed thinking."""

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.messages: list[Any] = []

    async def turn(self, origin: str, text: str) -> Turn:
        asked: list[Any] = [*self.messages, {"role": "user", "content": text}]
        async with anthropic.AsyncAnthropic(base_url=origin, api_key="k", max_retries=0) as opened:
            client: Any = opened
            fields: dict[str, Any] = {
                "model": "support",
                "max_tokens": 2048,
                "messages": asked,
                "thinking": {"type": "enabled", "budget_tokens": 1024},
            }
            try:
                if self.stream:
                    async with client.messages.stream(**fields) as stream:
                        message = await stream.get_final_message()
                        headers = stream.response.headers
                else:
                    raw = await client.messages.with_raw_response.create(**fields)
                    message, headers = await raw.parse(), raw.headers
            except anthropic.InternalServerError:
                return REFUSED
        content = [
            block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in message.content
        ]
        self.messages = [*asked, {"role": "assistant", "content": content}]
        return Turn(headers["x-standby-target"], headers.get("x-standby-dropped", ""))


KINDS: Final[dict[str, tuple[str, Callable[[bool], _Responses | _Messages]]]] = {
    "previous_response_id": ("openai", lambda stream: _Responses("previous_response_id", stream=stream)),
    "reference": ("openai", lambda stream: _Responses("reference", stream=stream)),
    "encrypted": ("openai", lambda stream: _Responses("encrypted", stream=stream)),
    "items": ("openai", lambda stream: _Responses("items", stream=stream)),
    "thinking": ("anthropic", lambda stream: _Messages(stream=stream)),
}


async def turns(
    stage: Stage, turn: Callable[[str, str], Awaitable[Turn]], down: frozenset[int]
) -> list[Turn]:
    """Three turns, each at the other worker, while the preferred provider is down in some."""
    result: list[Turn] = []
    for number, text in enumerate(TURNS):
        stage.a.down = number in down
        result.append(await turn(stage.workers[number % 2][1], text))
        await stage.written()
    return result


DOWN: Final = ((frozenset({0}), [B, B, B]), (frozenset({1}), [A, REFUSED, A]), (frozenset({0, 1}), [B, B, B]))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", KINDS)
async def test_state_stays_where_it_was_made(tmp_path: Path, kind: str, stream: bool) -> None:
    """While the preferred provider is down in the first turn, in the second or in both, a conversation goes
    on where its state was made. No other provider ever receives it."""
    dialect, conversation = KINDS[kind]
    async with stage_of(f"sqlite:///{tmp_path}/s.db", dialect, "") as stage:
        for down, expected in DOWN:
            before = len(stage.a.seen), len(stage.b.seen)
            assert await turns(stage, conversation(stream).turn, down) == expected
            received = len(stage.a.seen) - before[0], len(stage.b.seen) - before[1]
            assert received == (expected.count(A), expected.count(B))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("encrypted", [A, STRIPPED, STRIPPED]),
        ("thinking", [A, STRIPPED, STRIPPED]),
        ("items", [A, STRIPPED, STRIPPED]),
        ("reference", [A, REFUSED, A]),
    ],
)
async def test_reasoning_is_left_out_where_its_issuer_cannot_be_asked(
    tmp_path: Path, kind: str, expected: list[Turn], stream: bool
) -> None:
    """With `strip` the next provider gets the conversation without what the first has signed, and says so."""
    dialect, conversation = KINDS[kind]
    async with stage_of(f"sqlite:///{tmp_path}/s.db", dialect, 'reasoning_state = "strip"') as stage:
        assert await turns(stage, conversation(stream).turn, frozenset({1})) == expected
        for document in stage.b.seen:
            assert not re.search("(rs|enc|sig)_a", str(document))
            assert "One." in str(document)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["encrypted", "thinking"])
async def test_reasoning_of_unknown_origin(kind: str, stream: bool) -> None:
    """With `strip`, reasoning whose issuer nobody remembers ends no conversation: the first target rejects
    it, and the next one gets the request without it."""
    dialect, conversation = KINDS[kind]
    async with stage_of("memory:", dialect, 'reasoning_state = "strip"') as stage:
        (_, first), (_, second) = stage.workers
        turn = conversation(stream).turn
        stage.a.down = True
        assert await turn(first, "One.") == B
        stage.a.down = False
        assert await turn(second, "Two.") == STRIPPED
        assert not re.search("(enc|sig)_b", str(stage.b.seen[-1]))


async def test_an_id_of_another_key(tmp_path: Path) -> None:
    """What was issued to one key is unknown to all others, also at another worker."""
    keys = "\n".join(
        f'[keys.{name}]\nhash = "{digests(secret)[0]}"\npools = ["*"]'
        for name, secret in (("ann", ANN), ("ben", BEN))
    )
    store = f"sqlite:///{tmp_path}/s.db"
    async with stage_of(store, "openai", keys, layers=("auth", "route_select", "failover")) as stage:
        first, second = (origin for _, origin in stage.workers)
        async with openai.AsyncOpenAI(base_url=f"{first}/v1", api_key=ANN, max_retries=0) as ann:
            response = await ann.responses.create(model="support", input="One.")
        await stage.written()
        item = {"type": "item_reference", "id": response.output[1].id}
        async with openai.AsyncOpenAI(base_url=f"{second}/v1", api_key=BEN, max_retries=0) as ben:
            for fields in ({"previous_response_id": response.id, "input": "Two."}, {"input": [item]}):
                with pytest.raises(openai.BadRequestError) as refused:
                    await ben.responses.create(model="support", **cast("dict[str, Any]", fields))
                assert refused.value.code == "unknown_state"
        async with openai.AsyncOpenAI(base_url=f"{second}/v1", api_key=ANN, max_retries=0) as ann:
            await ann.responses.create(model="support", previous_response_id=response.id, input="Two.")
        assert len(stage.a.seen) == 2
