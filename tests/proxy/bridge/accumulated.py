"""What a client has after it read a stream, by the accumulators of the official SDKs."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import orjson
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

__all__ = ["accumulated", "events_of", "visible"]

Json: TypeAlias = dict[str, Any]


def events_of(raw: bytes) -> list[tuple[str, Json]]:
    """The name and the data of each event; comments and the end marker are left out."""
    events: list[tuple[str, Json]] = []
    for block in raw.split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line)
        data = fields.get(b"data", b"[DONE]")
        if data != b"[DONE]":
            events.append((fields.get(b"event", b"").decode(), orjson.loads(data)))
    return events


def accumulated(operation: str, raw: bytes) -> Json:
    """The whole answer that the operation's SDK makes of a stream."""
    read = {"chat": _chat, "messages": _messages, "responses": _responses}[operation]
    return read([event for _, event in events_of(raw)])


def _chat(events: list[Json]) -> Json:
    state = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    return state.current_completion_snapshot.to_dict()


def _messages(events: list[Json]) -> Json:
    message: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        given = cast("RawMessageStreamEvent", event)
        message = accumulate_event(event=given, current_snapshot=message, json_bufs=buffers)
    made: Json = message.to_dict()
    return made


def _responses(events: list[Json]) -> Json:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        made = construct_type_unchecked(type_=cast("Any", ResponseStreamEvent), value=event)
        state.handle_event(made)
    # The accumulator checks the events against each other; the response is what the last one has.
    last: Json = events[-1]["response"]
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(items, key=lambda item: str(item["id"])) == sorted(
        last["output"], key=lambda item: str(item["id"])
    )
    return last


def visible(operation: str, answer: Json) -> Json:
    """What a client may rely on of an answer, which a stream and a whole one have alike."""
    if operation == "responses":
        return answer
    if operation == "messages":
        names = ("id", "type", "role", "model", "stop_reason", "stop_sequence", "usage")
        blocks = [
            {name: block[name] for name in ("type", "text", "id", "name", "input") if name in block}
            for block in answer["content"]
        ]
        return {**{name: answer[name] for name in names}, "content": blocks}
    choice = answer["choices"][0]
    message = choice["message"]
    calls = [
        (call["id"], call["type"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    return {
        **{name: answer[name] for name in ("id", "created", "model")},
        "usage": answer.get("usage"),
        "content": message["content"] or None,  # before the first call nobody knows that there is no text
        "refusal": message.get("refusal"),
        "calls": calls,
        "finish_reason": choice["finish_reason"],
    }
