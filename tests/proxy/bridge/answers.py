"""Generates whole answers of Chat Completions and of Messages."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from tests.proxy.bridge.conversations import texts, tool_inputs

__all__ = ["chat_answers", "message_answers"]

Json: TypeAlias = dict[str, Any]

_IDS: Final = ("1", "a-B_9", "ü", "")
_counts = st.integers(0, 1_000_000)


@st.composite
def _chat_usage(draw: st.DrawFn) -> Json:
    cached, written, fresh, reasoning, said = (draw(_counts) for _ in range(5))
    made: Json = {"prompt_tokens": cached + written + fresh, "completion_tokens": reasoning + said}
    made["total_tokens"] = made["prompt_tokens"] + made["completion_tokens"]
    made["prompt_tokens_details"] = {
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "audio_tokens": 0,
    }
    made["completion_tokens_details"] = {"reasoning_tokens": reasoning, "audio_tokens": 0}
    return made


@st.composite
def chat_answers(draw: st.DrawFn) -> Json:
    """A completion with text, a refusal, calls of tools, or none of them, and with its usage."""
    message: Json = {"role": "assistant", "content": draw(st.none() | texts), "refusal": None}
    if draw(st.integers(0, 3)) == 0:
        message["refusal"] = draw(texts)
    if draw(st.booleans()):
        message["tool_calls"] = [
            {
                "id": f"call_{at}",
                "type": "function",
                "function": {
                    "name": draw(st.sampled_from(["f", "look_up"])),
                    "arguments": json.dumps(draw(tool_inputs), ensure_ascii=draw(st.booleans())),
                },
            }
            for at in range(draw(st.integers(1, 3)))
        ]
    finishes = ["stop", "length", "tool_calls", "content_filter", "function_call"]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": draw(st.sampled_from(finishes)),
    }
    return {
        "id": "chatcmpl-" + (draw(st.sampled_from(_IDS)) or "0"),
        "object": "chat.completion",
        "created": draw(_counts),
        "model": draw(texts.filter(bool)),
        "choices": [choice],
        "usage": draw(_chat_usage()),
        "system_fingerprint": "fp",
    }


@st.composite
def message_answers(draw: st.DrawFn) -> Json:
    """A message with text, thinking and calls of tools, or none of them, and with its usage."""
    blocks: list[Json] = []
    for at in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "text", "thinking", "redacted_thinking", "tool_use"]))
        block: Json = {"type": kind}
        if kind == "text":
            block["text"] = draw(texts)
        elif kind == "thinking":
            block |= {"thinking": draw(texts), "signature": "c2ln"}
        elif kind == "redacted_thinking":
            block["data"] = "c2ln"
        else:
            block |= {"id": f"toolu_{at}", "name": "look_up", "input": draw(tool_inputs)}
        blocks.append(block)
    reasons = [
        "end_turn",
        "stop_sequence",
        "max_tokens",
        "tool_use",
        "refusal",
        "model_context_window_exceeded",
    ]
    usage: Json = {
        name: draw(_counts)
        for name in (
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        )
    }
    if draw(st.booleans()):
        usage["output_tokens_details"] = {"thinking_tokens": draw(st.integers(1, 1_000_000))}
        usage["output_tokens"] += usage["output_tokens_details"]["thinking_tokens"]
    reason = draw(st.sampled_from(reasons))
    return {
        "id": "msg_" + (draw(st.sampled_from(_IDS)) or "0"),
        "type": "message",
        "role": "assistant",
        "model": draw(texts.filter(bool)),
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "usage": usage,
    }
