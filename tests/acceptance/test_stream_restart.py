"""A stream that breaks after content and is begun anew, for clients that ask for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any, Final

import openai
import pytest
from standby.proxy.rehearsal.simulator import Byte, Content, Cut, ErrorEvent, Fault, Stall

from tests.acceptance.clients import APIS, CHAT, MESSAGES, RESPONSES, Api
from tests.acceptance.scene import Scene, said_by, scene
from tests.acceptance.serving import Front, until

__all__ = ["anew"]

pytestmark = pytest.mark.anyio

WORDS: Final = "What the second one says."
WANTED: Final = {"x-standby-on-break": "restart"}
BREAKS: Final = MappingProxyType[str, Fault](
    {
        "reset": Cut(Content(2)),
        "closed": Cut(Content(2), reset=False),
        "within an event": Cut(Byte(4000)),
        "stalled": Stall(Content(2)),
        "error event": ErrorEvent(Content(2)),
    }
)


@pytest.fixture
async def anew(front: Front) -> AsyncIterator[Scene]:
    """A gateway whose pools begin broken streams anew, after at most 300 ms of silence."""
    async with scene(front, stall="300ms", pool='on_break = "restart"') as set_up:
        set_up.alpha.words = ["word "] * 100
        set_up.beta.words = [WORDS[:9], WORDS[9:]]
        yield set_up


async def full_text(stage: Scene, api: Api) -> str:
    """The text that a client of an official SDK is left with: it forgets when it is told to."""
    texts: list[str] = []
    async for event in await _events(stage, api):
        if _standby(event) is not None:
            texts.clear()
        elif event.type == "content_block_delta" if api is MESSAGES else False:
            texts.append(event.delta.text)
        elif api is RESPONSES and event.type == "response.output_text.delta":
            texts.append(event.delta)
        elif api is CHAT and event.choices:
            texts.append(event.choices[0].delta.content or "")
    return "".join(texts)


async def _events(stage: Scene, api: Api) -> Any:
    asks: Any = [{"role": "user", "content": "Say something."}]
    if api is CHAT:
        chat = stage.sdks.openai.chat.completions
        return await chat.create(model="gpt", messages=asks, stream=True, extra_headers=WANTED)
    if api is RESPONSES:
        responses = stage.sdks.openai.responses
        return await responses.create(model="gpt", input="Hi", stream=True, extra_headers=WANTED)
    messages = stage.sdks.anthropic.messages
    return await messages.create(
        model="claude", max_tokens=64, messages=asks, stream=True, extra_headers=WANTED
    )


def _standby(event: Any) -> Any:
    return getattr(event, "standby", None)


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_sdk_has_the_second_answer(anew: Scene, api: Api, fault: Fault) -> None:
    """Whole, and nothing of the first: both official SDKs pass the event on and raise nothing."""
    anew.alpha.fault = fault

    text = await full_text(anew, api)

    assert text == WORDS


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_bytes(anew: Scene, api: Api, fault: Fault) -> None:
    """Whole events of the first stream, one event of ours, and the second stream byte for byte."""
    anew.alpha.fault = fault

    answer = await anew.raw.ask(api, headers=WANTED)

    expected = await said_by(anew.beta, api, stream=True)
    assert answer.status == 200
    assert answer.body.endswith(expected.body)
    before = bytes(answer.body.removesuffix(expected.body))
    *events, reset, rest = before.split(b"\n\n")
    assert (rest, before.count(b'"standby":{"restart"')) == (b"", 1)
    assert b'"standby":{"restart"' in reset
    assert anew.beta.canary.encode() not in before
    assert b"upstream_" not in before.rpartition(b"\n\n")[0].rpartition(b"\n\n")[0]
    assert all(event.startswith((b"data: ", b"event: ")) for event in events if event)


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_client_that_did_not_ask(anew: Scene, api: Api) -> None:
    """It gets what it would get anywhere: the error event of its dialect."""
    anew.alpha.fault = Cut(Content(2))

    answer = await anew.raw.ask(api)

    assert b"upstream_interrupted" in answer.body
    assert b'"standby"' not in answer.body
    assert anew.beta.requests == []


async def test_nobody_goes_on(anew: Scene) -> None:
    """Where the second one fails as well, the SDK raises as ever."""
    anew.alpha.fault = Cut(Content(2))
    anew.beta.fault = Cut(Content(0))

    with pytest.raises(openai.APIError):
        await full_text(anew, CHAT)

    assert len(anew.beta.requests) == 1


async def test_the_first_provider_is_let_go(anew: Scene) -> None:
    """One that stalled is hung up on, and nothing is left under way."""
    anew.alpha.fault = Stall(Content(2))

    await anew.raw.ask(CHAT, headers=WANTED)

    await anew.alpha.wait_for(lambda: anew.alpha.requests[0].gone, within=1.0)
    await until(lambda: anew.front.under_way == 0)
    first, second = anew.front.exchanges[-1].attempts
    assert first.fault is not None
    assert (first.fault.kind, second.fault, second.kind) == ("stream_truncated", None, "failover")
