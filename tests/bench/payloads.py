"""The bytes of the benchmark: what is asked and what the upstream answers, in the sizes of real traffic."""

from __future__ import annotations

from typing import Final

import orjson

__all__ = [
    "ANSWER",
    "CONTENT_MARK",
    "DONE",
    "MODEL",
    "PATH",
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "STREAM_HEAD",
    "UNARY_HEAD",
    "chat_body",
    "chunk",
    "pace_of",
    "request",
    "stream_body",
]

MODEL: Final = "bench"
"""The name that every request asks for, and that Standby's one pool serves."""

PATH: Final = "/v1/chat/completions"

REQUEST_HEADERS: Final = (
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate"),
    ("authorization", "Bearer sk-bench-0123456789abcdef0123456789abcdef"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 2.8.1"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-async", "async:asyncio"),
    ("x-stainless-lang", "python"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-package-version", "2.8.1"),
    ("x-stainless-read-timeout", "600"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.11.7"),
)
"""As the OpenAI SDK for Python sends them, besides `host` and the framing."""

RESPONSE_HEADERS: Final = (
    ("date", "Mon, 02 Nov 2026 10:00:00 GMT"),
    ("openai-organization", "bench"),
    ("openai-processing-ms", "312"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1998812"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "35ms"),
    ("x-request-id", "req_0123456789abcdef0123456789abcdef"),
)
"""As OpenAI answers, besides the content type and the framing."""

_PROMPT: Final = (
    "You answer questions about orders. Be brief, name the order, and say what happens next. "
    "Never promise a date that the carrier has not confirmed, and never repeat an address. "
)


def chat_body() -> bytes:
    """About 1.5 KB: a system prompt and three turns, not streamed."""
    return orjson.dumps(_chat())


def stream_body(chunks: int, gap_ms: int) -> bytes:
    """The same question, asking for a stream of `chunks` chunks, one every `gap_ms`."""
    return orjson.dumps({**_chat(), "stream": True, "metadata": {"pace": f"{chunks}x{gap_ms}"}})


def _chat() -> dict[str, object]:
    return {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": _PROMPT * 5},
            {"role": "user", "content": "Where is my order 1042? It should have come on Friday. " * 2},
            {"role": "assistant", "content": "Order 1042 left the warehouse on Thursday. " * 3},
            {"role": "user", "content": "And when will it be here? I am away from Tuesday on. " * 2},
        ],
        "temperature": 0.2,
        "max_completion_tokens": 400,
        "metadata": {"pace": "0x0"},
    }


def pace_of(body: bytes) -> tuple[int, float] | None:
    """How many chunks a request asks for and the gap between them in seconds; None if it wants no stream."""
    if b'"stream":true' not in body:
        return None
    chunks, _, gap_ms = orjson.loads(body)["metadata"]["pace"].partition("x")
    return int(chunks), int(gap_ms) / 1000


def request(host: str, body: bytes) -> bytes:
    """A whole request, ready to be written to a socket."""
    headers = (("host", host), ("content-length", str(len(body))), *REQUEST_HEADERS)
    return _head(f"POST {PATH} HTTP/1.1", headers) + body


def _head(line: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    return "\r\n".join((line, *(f"{name}: {value}" for name, value in headers), "", "")).encode()


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a chat stream, in the size and with the fields of a real one."""
    event = {
        "id": "chatcmpl-CaZ0123456789abcdefghijklmnop",
        "object": "chat.completion.chunk",
        "created": 1793613600,
        "model": "gpt-4.1-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "obfuscation": "aB3dE5",
    }
    return b"data: " + orjson.dumps(event) + b"\n\n"


CONTENT_MARK: Final = b'"delta":{"content":'
"""What the first content chunk of a stream holds and the role chunk before it does not."""

DONE: Final = b"data: [DONE]\n\n"

ANSWER: Final = orjson.dumps(
    {
        "id": "chatcmpl-CaZ0123456789abcdefghijklmnop",
        "object": "chat.completion",
        "created": 1793613600,
        "model": "gpt-4.1-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Order 1042 is with the carrier. It has not confirmed a day yet.",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 312,
            "completion_tokens": 17,
            "total_tokens": 329,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
)
"""About 700 bytes."""

UNARY_HEAD: Final = _head(
    "HTTP/1.1 200 OK",
    (("content-type", "application/json"), ("content-length", str(len(ANSWER))), *RESPONSE_HEADERS),
)
STREAM_HEAD: Final = _head(
    "HTTP/1.1 200 OK",
    (
        ("content-type", "text/event-stream; charset=utf-8"),
        ("transfer-encoding", "chunked"),
        *RESPONSE_HEADERS,
    ),
)
