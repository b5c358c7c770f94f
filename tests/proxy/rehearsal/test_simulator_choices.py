"""Chat completions with more than one choice."""

from __future__ import annotations

import json
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam
from standby.proxy.rehearsal.simulator import Content, Cut, Simulator

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SAID: Final = "alpha says: all is well."
HI: Final[list[Any]] = [{"role": "user", "content": "hi"}]
TOOL: Final[ChatCompletionToolParam] = {"type": "function", "function": {"name": "weather"}}


async def test_two_choices(alpha: Simulator, gpt: openai.AsyncOpenAI) -> None:
    """A request for two choices gets both, numbered, and pays for both."""
    answer = await gpt.chat.completions.create(model="m", messages=HI, n=2)

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == [SAID, SAID]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    assert [(line.output, line.reported) for line in alpha.bill] == [(10, True)]


async def test_two_streamed_choices(alpha: Simulator, gpt: openai.AsyncOpenAI) -> None:
    """Two choices of a stream take turns, each with its own role, words and finish reason."""
    stream = await gpt.chat.completions.create(
        model="m", messages=HI, n=2, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]

    assert [choice.index for choice in choices] == [0, 1] * (len(choices) // 2)
    for index in range(2):
        own = [choice for choice in choices if choice.index == index]
        assert "".join(choice.delta.content or "" for choice in own) == SAID
        assert [own[0].delta.role, own[-1].finish_reason] == ["assistant", "stop"]
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [10]
    assert [(line.output, line.reported) for line in alpha.bill] == [(10, True)]


async def test_a_cut_stream_of_two_choices(alpha: Simulator) -> None:
    """A place in a stream counts the content of all choices, and the bill what was sent of each."""
    alpha.fault = Cut(Content(3))
    answer = await ask(alpha, CHAT, stream=True, n=2)
    documents = [json.loads(event.removeprefix(b"data: ")) for event in answer.events]
    choices = [document["choices"][0] for document in documents]

    assert [(choice["index"], choice["delta"]["content"]) for choice in choices] == [
        *((0, ""), (1, "")),
        *((0, "alpha "), (1, "alpha "), (0, "says: ")),
    ]
    assert [(line.output, line.reported) for line in alpha.bill] == [(3, False)]


@pytest.mark.parametrize("stream", [False, True])
async def test_two_tool_calls(alpha: Simulator, gpt: openai.AsyncOpenAI, stream: bool) -> None:
    """Each choice may call the tool, under its own id."""
    alpha.calls_tools = True
    if stream:
        async with gpt.chat.completions.stream(model="m", messages=HI, n=2, tools=[TOOL]) as events:
            answer = await events.get_final_completion()
        made = [
            (call.id, call.function.arguments)
            for choice in answer.choices
            for call in choice.message.tool_calls or []
        ]
    else:
        document = (await ask(alpha, CHAT, n=2, tools=[TOOL])).json
        made = [
            (call["id"], call["function"]["arguments"])
            for choice in document["choices"]
            for call in choice["message"]["tool_calls"]
        ]

    assert [json.loads(arguments) for _, arguments in made] == [{"city": "Paris"}] * 2
    assert len({name for name, _ in made}) == 2


async def test_a_running_count_counts_all_choices(alpha: Simulator) -> None:
    """A provider that reports the usage so far counts the words of both choices, up to their sum."""
    alpha.reports = "running"
    answer = await ask(alpha, CHAT, stream=True, n=2)
    documents = [
        json.loads(event.removeprefix(b"data: ")) for event in answer.events if b"[DONE]" not in event
    ]
    counts = [document["usage"]["completion_tokens"] for document in documents if document.get("usage")]
    assert counts == [0, 0, *range(1, 11), 10]


@pytest.mark.parametrize(
    ("path", "wanted"), [(CHAT, None), (CHAT, "2"), (CHAT, 0), (CHAT, 129), (RESPONSES, 2), (MESSAGES, 2)]
)
async def test_everything_else_is_one_choice(alpha: Simulator, path: str, wanted: object) -> None:
    """A number that is none, or one that the API does not know, changes nothing."""
    await ask(alpha, path, n=wanted)
    assert [line.output for line in alpha.bill] == [5]
