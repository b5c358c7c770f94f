"""Guardrails through the official SDKs, over sockets: what a caller gets of an answer that must be redacted.

Providers send their real events, cut at every few bytes, several choices and tool arguments among them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal

import anthropic
import openai
import pytest
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.guardrails.external import Call

from tests.acceptance.raw_provider import RawAnswer, RawProvider, raw_provider
from tests.acceptance.serving import Front

__all__ = ["forbid", "provider"]

pytestmark = pytest.mark.anyio

KEY: Final = "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6"
TEXTS: Final = (f"The key is {KEY}, keep it.", "Write to ann@example.com today.")
ARGUMENTS: Final = json.dumps({"to": "ann@example.com", "body": f'say "{KEY}"', "card": 4111111111111111})
REDACTED: Final = ("The key is [REDACTED:openai_key], keep it.", "Write to [REDACTED:email] today.")
REDACTED_ARGUMENTS: Final = {"to": "[REDACTED:email]", "body": 'say "[REDACTED:openai_key]"', "card": 0}
SSE: Final = {"content-type": "text/event-stream"}
JSON: Final = {"content-type": "application/json"}
RULES: Final = """
{ kind = "secrets", on = "response", action = "%s" },
{ kind = "personal_data", on = "response", action = "redact" },
"""
ASK: Final[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[RawProvider]:
    """What the providers send."""
    async with raw_provider() as provider:
        yield provider


async def serve(
    front: Front,
    provider: RawProvider,
    dialect: str,
    answer: RawAnswer,
    action: str = "redact",
    more: str = "",
) -> None:
    """Put a gateway behind the server whose only provider gives this answer."""
    provider.answers["the/answer"] = answer
    front.app = Gateway(
        parse_routes(
            f"""
            stack = ["guardrails", "failover"]
            [providers.p]
            dialect = "{dialect}"
            base_url = "{provider.url("the/answer")}"
            [targets.t]
            provider = "p"
            model = "m"
            [pools.support]
            prefer = ["t"]
            [guardrails]
            rules = [{RULES % action} {more}]
            """,
            environ={},
        )
    )


def pieces(text: str, size: int = 5) -> list[str]:
    """The text as a model streams it."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """One event."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + json.dumps(data).encode() + b"\n\n"


def chat_stream() -> RawAnswer:
    """Two choices in turn, and a tool call in the second."""
    events: list[bytes] = []

    def chunk(index: int, delta: Mapping[str, Any], finish: str | None = None) -> None:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        events.append(
            event(
                {
                    "id": "c1",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "m",
                    "choices": [choice],
                }
            )
        )

    for index in (0, 1):
        chunk(index, {"role": "assistant", "content": ""})
    streams = [pieces(text) for text in TEXTS]
    for step in range(max(map(len, streams))):
        for index, stream in enumerate(streams):
            if step < len(stream):
                chunk(index, {"content": stream[step]})
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "mail", "arguments": ""}}
    chunk(1, {"tool_calls": [call]})
    for part in pieces(ARGUMENTS):
        chunk(1, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    chunk(0, {}, "stop")
    chunk(1, {}, "tool_calls")
    return RawAnswer(200, SSE, [*events, b"data: [DONE]\n\n"])


def chat_document() -> RawAnswer:
    """The same, not streamed."""
    call = {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": ARGUMENTS}}
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": TEXTS[0]}, "finish_reason": "stop"},
        {
            "index": 1,
            "message": {"role": "assistant", "content": TEXTS[1], "tool_calls": [call]},
            "finish_reason": "tool_calls",
        },
    ]
    document = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    return RawAnswer(200, JSON, [json.dumps(document).encode()])


def messages_stream() -> RawAnswer:
    """Two blocks of text and a tool call."""
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    events = [event({"type": "message_start", "message": start}, "message_start")]

    def block(index: int, content: Mapping[str, Any], kind: str, member: str, text: str) -> None:
        begin = {"type": "content_block_start", "index": index, "content_block": content}
        events.append(event(begin, "content_block_start"))
        for part in pieces(text):
            delta = {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: part}}
            events.append(event(delta, "content_block_delta"))
        events.append(event({"type": "content_block_stop", "index": index}, "content_block_stop"))

    for index, text in enumerate(TEXTS):
        block(index, {"type": "text", "text": ""}, "text_delta", "text", text)
    tool: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "mail", "input": {}}
    block(2, tool, "input_json_delta", "partial_json", ARGUMENTS)
    stop = {"stop_reason": "tool_use", "stop_sequence": None}
    events.append(
        event({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}}, "message_delta")
    )
    events.append(event({"type": "message_stop"}, "message_stop"))
    return RawAnswer(200, SSE, events)


def messages_document() -> RawAnswer:
    """The same, not streamed."""
    content = [
        *[{"type": "text", "text": text} for text in TEXTS],
        {"type": "tool_use", "id": "toolu_1", "name": "mail", "input": json.loads(ARGUMENTS)},
    ]
    document = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 20},
    }
    return RawAnswer(200, JSON, [json.dumps(document).encode()])


_RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "error": None,
}


def response(output: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """A response object."""
    return dict(_RESPONSE, output=output, status=status)


def message_item(text: str) -> dict[str, Any]:
    """An output item with a text."""
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def call_item(arguments: str) -> dict[str, Any]:
    """An output item with a call."""
    names = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "mail"}
    return {**names, "arguments": arguments, "status": "completed"}


def responses_stream() -> RawAnswer:
    """A text and a call, with the events that repeat them whole."""
    events: list[bytes] = []

    def add(kind: str, **fields: Any) -> None:
        events.append(event({"type": kind, "sequence_number": len(events), **fields}, kind))

    add("response.created", response=response([], "in_progress"))
    empty: dict[str, Any] = {**message_item(""), "content": [], "status": "in_progress"}
    add("response.output_item.added", output_index=0, item=empty)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    add("response.content_part.added", **place, part={"type": "output_text", "text": "", "annotations": []})
    for part in pieces(TEXTS[0]):
        add("response.output_text.delta", **place, delta=part, logprobs=[])
    add("response.output_text.done", **place, text=TEXTS[0], logprobs=[])
    whole = message_item(TEXTS[0])
    add("response.content_part.done", **place, part=whole["content"][0])
    add("response.output_item.done", output_index=0, item=whole)
    add("response.output_item.added", output_index=1, item={**call_item(""), "status": "in_progress"})
    for part in pieces(ARGUMENTS):
        add("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=part)
    done = {"item_id": "fc_1", "output_index": 1, "name": "mail", "arguments": ARGUMENTS}
    add("response.function_call_arguments.done", **done)
    add("response.output_item.done", output_index=1, item=call_item(ARGUMENTS))
    add("response.completed", response=response([whole, call_item(ARGUMENTS)], "completed"))
    return RawAnswer(200, SSE, events)


def openai_client(front: Front) -> openai.AsyncOpenAI:
    """The SDK at the gateway."""
    return openai.AsyncOpenAI(base_url=f"{front.origin}/v1", api_key="none", max_retries=0)


def anthropic_client(front: Front) -> anthropic.AsyncAnthropic:
    """The SDK at the gateway."""
    return anthropic.AsyncAnthropic(base_url=front.origin, api_key="none", max_retries=0)


async def test_chat_streamed(front: Front, provider: RawProvider) -> None:
    """Two choices that arrive in turn, and the arguments of a tool, each by itself (B48)."""
    await serve(front, provider, "openai", chat_stream())
    contents, arguments, finishes = ["", ""], "", [""] * 2
    async with openai_client(front) as client:
        stream = await client.chat.completions.create(model="support", messages=ASK, stream=True, n=2)
        async for chunk in stream:
            for choice in chunk.choices:
                contents[choice.index] += choice.delta.content or ""
                finishes[choice.index] += choice.finish_reason or ""
                for call in choice.delta.tool_calls or ():
                    assert call.function is not None
                    arguments += call.function.arguments or ""
    assert tuple(contents) == REDACTED
    assert json.loads(arguments) == REDACTED_ARGUMENTS
    assert finishes == ["stop", "tool_calls"]


async def test_chat_whole(front: Front, provider: RawProvider) -> None:
    """The same answer, not streamed."""
    await serve(front, provider, "openai", chat_document())
    async with openai_client(front) as client:
        answer = await client.chat.completions.create(model="support", messages=ASK, n=2)
    assert tuple(choice.message.content for choice in answer.choices) == REDACTED
    calls: Any = answer.choices[1].message.tool_calls
    assert json.loads(calls[0].function.arguments) == REDACTED_ARGUMENTS


@pytest.mark.parametrize("streamed", [True, False])
async def test_messages(front: Front, provider: RawProvider, streamed: Literal[True, False]) -> None:
    """Blocks of text and the input of a tool, as the SDK puts them together."""
    await serve(front, provider, "anthropic", messages_stream() if streamed else messages_document())
    message: Any
    async with anthropic_client(front) as client:
        if streamed:
            async with client.messages.stream(model="support", max_tokens=99, messages=ASK) as stream:
                message = await stream.get_final_message()
        else:
            message = await client.messages.create(model="support", max_tokens=99, messages=ASK)
    first, second, tool = message.content
    assert first.type == "text"
    assert second.type == "text"
    assert tool.type == "tool_use"
    assert (first.text, second.text) == REDACTED
    assert tool.input == REDACTED_ARGUMENTS
    assert message.stop_reason == "tool_use"


async def test_responses_streamed(front: Front, provider: RawProvider) -> None:
    """The deltas, and the events that repeat them whole, have the same text; numbers follow each other."""
    await serve(front, provider, "openai", responses_stream())
    text, arguments, numbers, done = "", "", list[int](), list[str]()
    async with openai_client(front) as client:
        stream = await client.responses.create(model="support", input="hello", stream=True)
        async for each in stream:
            numbers.append(each.sequence_number)
            if each.type == "response.output_text.delta":
                text += each.delta
            elif each.type == "response.function_call_arguments.delta":
                arguments += each.delta
            elif each.type == "response.output_text.done":
                done.append(each.text)
            elif each.type == "response.completed":
                done.append(each.response.output_text)
                assert each.response.output[1].type == "function_call"
                assert json.loads(each.response.output[1].arguments) == REDACTED_ARGUMENTS
    assert text == REDACTED[0]
    assert done == [REDACTED[0]] * 2
    assert json.loads(arguments) == REDACTED_ARGUMENTS
    assert numbers == list(range(len(numbers)))


async def test_blocked_streams(front: Front, provider: RawProvider) -> None:
    """A block ends a stream as each SDK knows it from a provider's own filter, with nothing forbidden."""
    await serve(front, provider, "openai", chat_stream(), "block")
    async with openai_client(front) as client:
        said, finishes = "", dict[int, str | None]()
        stream = await client.chat.completions.create(model="support", messages=ASK, stream=True, n=2)
        async for chunk in stream:
            for choice in chunk.choices:
                said += choice.delta.content or ""
                finishes[choice.index] = choice.finish_reason
        assert finishes == {0: "content_filter", 1: "content_filter"}
        assert KEY[:6] not in said
        await serve(front, provider, "openai", responses_stream(), "block")
        events = [
            each async for each in await client.responses.create(model="support", input="x", stream=True)
        ]
        assert events[-1].type == "response.incomplete"
        details = events[-1].response.incomplete_details
        assert details is not None
        assert details.reason == "content_filter"
    await serve(front, provider, "anthropic", messages_stream(), "block")
    async with (
        anthropic_client(front) as claude,
        claude.messages.stream(model="support", max_tokens=99, messages=ASK) as ended,
    ):
        message = await ended.get_final_message()
    assert message.stop_reason == "refusal"
    assert message.content[0].type == "text"
    assert message.content[0].text == "The key is "


def forbid(call: Call) -> bool:
    """A rule of the operator's that allows no answer."""
    return call.stage != "response"


FORBID: Final = (
    '{ kind = "callable", on = "response", use = "tests.acceptance.test_guardrails:forbid", name = "mine" }'
)


async def test_held_streams_that_are_blocked(front: Front, provider: RawProvider) -> None:
    """A stream that was held back to be read whole, and is not allowed, is one that the SDKs understand."""
    await serve(front, provider, "openai", responses_stream(), more=FORBID)
    async with openai_client(front) as client:
        async with client.responses.stream(model="support", input="x") as stream:
            kinds = [event.type async for event in stream]
        assert kinds == ["response.created", "response.incomplete"]
        await serve(front, provider, "openai", chat_stream(), more=FORBID)
        chunks = [
            each
            async for each in await client.chat.completions.create(model="support", messages=ASK, stream=True)
        ]
        assert [choice.finish_reason for choice in chunks[-1].choices] == ["content_filter"]
    await serve(front, provider, "anthropic", messages_stream(), "block", more=FORBID)
    async with (
        anthropic_client(front) as claude,
        claude.messages.stream(model="support", max_tokens=99, messages=ASK) as ended,
    ):
        message = await ended.get_final_message()
    assert (message.stop_reason, message.content) == ("refusal", [])
