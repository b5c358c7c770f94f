"""Usage is known without being shown, and what a caller says about it holds, through the real SDKs."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from standby.proxy.budget.metering.usage_meter import ActualUsage
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.rehearsal.simulator import Content, Cut, Simulator, Stall, Status

from tests.acceptance.clients import APIS, CHAT, MESSAGES, Api, Sdks, raw_client
from tests.acceptance.metered import took
from tests.acceptance.serving import Front, until

__all__: list[str] = []

pytestmark = pytest.mark.anyio

ROUTES: Final = """
stack = ["metered", "failover"]
[metered]
use = "tests.acceptance.metered:Metered"
[providers.openai]
dialect = "openai"
base_url = "{url}"
[providers.anthropic]
dialect = "anthropic"
base_url = "{url}"
[targets.gpt]
provider = "openai"
model = "gpt-of-the-provider"
price = {{ input = "2.00", output = "8.00" }}
[targets.claude]
provider = "anthropic"
model = "claude-of-the-provider"
price = {{ input = "2.00", output = "8.00" }}
[pools.gpt]
prefer = ["gpt"]
[pools.claude]
prefer = ["claude"]
"""


@dataclass
class Metering:
    """A gateway that meters, one provider, and the SDKs."""

    front: Front
    provider: Simulator
    sdks: Sdks

    def took(self, document: Mapping[str, Any]) -> ActualUsage:
        """What the only attempt of the last request took."""
        (found,) = took(self.front.exchanges[-1], dict(document))
        return found

    def sent(self) -> dict[str, Any]:
        """The document that the provider got."""
        document: dict[str, Any] = json.loads(self.provider.requests[-1].body)
        return document

    async def chunks(self, **options: Any) -> list[ChatCompletionChunk]:
        """Every chunk of a streamed chat."""
        messages: Any = CHAT.document["messages"]
        more: Any = {"stream_options": options} if options else {}
        async with await self.sdks.openai.chat.completions.create(
            model="gpt", messages=messages, stream=True, **more
        ) as stream:
            return [chunk async for chunk in stream]


@asynccontextmanager
async def metering(front: Front) -> AsyncGenerator[Metering]:
    """Everything there is, for one test."""
    async with Simulator("alpha") as provider:
        known = parse_routes(ROUTES.format(url=provider.url), environ={})
        async with Gateway(known) as gateway, Sdks(front.origin) as sdks:
            front.app = gateway
            front.exchanges.clear()
            try:
                yield Metering(front, provider, sdks)
            finally:
                front.app = None


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_usage_is_the_same_streamed_or_not(front: Front, api: Api) -> None:
    """What the provider says it used is booked, to the token, and costs the same either way."""
    async with metering(front) as stage:
        found: list[ActualUsage] = []
        cost = 0
        for stream in (False, True):
            assert await stage.sdks.say(api, stream=stream)
            found.append(stage.took(api.asking(stream=stream)))
            billed = stage.provider.bill[-1]
            assert (found[-1].usage[:2], found[-1].source) == ((billed.input, billed.output), "provider")
            cost = 2_000 * billed.input + 8_000 * billed.output
        assert [each.cost for each in found] == [cost, cost]


async def test_who_does_not_ask_sees_nothing(front: Front) -> None:
    """A caller that did not ask for usage gets no event of usage, and every other byte of the provider's."""
    async with metering(front) as stage:
        chunks = await stage.chunks()
        assert all(chunk.choices for chunk in chunks)
        assert all(chunk.usage is None for chunk in chunks)
        assert stage.sent()["stream_options"] == {"include_usage": True}
        async with raw_client(stage.provider.origin) as direct:
            asked = CHAT.asking(
                stream=True, model="gpt-of-the-provider", stream_options={"include_usage": True}
            )
            own = bytes((await direct.post(CHAT, asked)).body)
    events = own.split(b"\n\n")
    (hidden,) = [event for event in events if b'"choices":[]' in event]
    shown = bytes(stage.sdks.answers[-1].body).split(b"\n\n")
    assert [_anonymous(event) for event in shown] == [
        _anonymous(event) for event in events if event is not hidden
    ]


def _anonymous(event: bytes) -> bytes:
    """An event without what differs between two answers to one request."""
    return event.partition(b'"choices"')[2] or event


async def test_who_asks_is_told(front: Front) -> None:
    """A caller that asks for usage gets the event, once."""
    async with metering(front) as stage:
        *before, last = await stage.chunks(include_usage=True)
        assert (last.choices, last.usage is not None) == ([], True)
        assert all(chunk.usage is None for chunk in before)
        assert stage.took(CHAT.asking(stream=True)).source == "provider"


async def test_who_declines_sees_none(front: Front) -> None:
    """An explicit false keeps the usage from the caller, but not from the ledger."""
    async with metering(front) as stage:
        chunks = await stage.chunks(include_usage=False)
        assert stage.sent()["stream_options"] == {"include_usage": True}
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert stage.took(CHAT.asking(stream=True)).source == "provider"


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_a_break_is_estimated(front: Front, api: Api) -> None:
    """An answer that breaks off costs at least what the provider had generated when it did."""
    async with metering(front) as stage:
        stage.provider.fault = Cut(Content(2))
        with pytest.raises((openai.APIError, anthropic.APIError)):
            await stage.sdks.say(api, stream=True)
        found, billed = stage.took(api.asking(stream=True)), stage.provider.bill[-1]
        assert found.source == "estimated"
        assert found.usage.input >= billed.input
        assert found.usage.output >= billed.output > 0


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_a_hang_up_is_estimated(front: Front, api: Api) -> None:
    """A caller that leaves pays at least for what was generated until then."""
    async with metering(front) as stage:
        stage.provider.fault = Stall(Content(3))
        async for word in stage.sdks.words(api, stream=True):
            if word:
                break
        await until(lambda: front.under_way == 0)
        assert front.exchanges[-1].client_gone
        found, billed = stage.took(api.asking(stream=True)), stage.provider.bill[-1]
        assert found.source == "estimated"
        assert found.usage.input >= billed.input
        assert found.usage.output >= 1


async def test_a_refusal_is_free(front: Front) -> None:
    """A provider that refuses has generated nothing, and nothing is booked."""
    async with metering(front) as stage:
        stage.provider.fault = Status(429)
        with pytest.raises(openai.RateLimitError):
            await stage.sdks.say(CHAT, stream=True)
        assert stage.took(CHAT.asking(stream=True)).charge == 0
        assert stage.provider.bill == []
