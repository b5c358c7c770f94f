"""The bytes of the soak: what is asked, and what providers answer."""

from __future__ import annotations

import re
from typing import Final

import orjson

__all__ = [
    "DONE",
    "FINISH",
    "LAST",
    "MODEL",
    "PATH",
    "STREAM",
    "UNARY",
    "body",
    "chunked",
    "document",
    "event",
    "number_in",
    "request",
]

MODEL: Final = "soak"
PATH: Final = "/v1/chat/completions"

STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
"""The head of a streamed answer."""
UNARY: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
"""The head of an unstreamed answer, with a place for its length."""
LAST: Final = b"0\r\n\r\n"
"""The end of a chunked body."""
DONE: Final = b"data: [DONE]\n\n"

_NUMBER: Final = re.compile(rb"soak (\d+) ")


def body(number: int, *, streamed: bool, size: int = 0) -> bytes:
    """A request's JSON document of at least `size` bytes.

    The number is in its prompt, so that a provider can tell whom it answers.
    """
    messages = [{"role": "user", "content": f"soak {number} of many" + size * "."}]
    return orjson.dumps({"model": MODEL, "stream": streamed, "messages": messages})


def number_in(asked: bytes) -> int:
    """The number of the request that `body` made."""
    found = _NUMBER.search(asked)
    assert found is not None, asked
    return int(found[1])


def request(content: bytes, prefix: str = "") -> bytes:
    """A whole request, as a caller sends it."""
    head = (
        f"POST {prefix}{PATH} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def event(text: str = "", *, role: bool = False) -> bytes:
    """One event of a stream: some text, or the role that comes before any."""
    delta = {"role": "assistant", "content": ""} if role else {"content": text}
    return _event(delta, None)


def document(text: str) -> bytes:
    """A whole unstreamed answer."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": choices})


def chunked(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    document = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices}
    return b"data: %b\n\n" % orjson.dumps(document)


FINISH: Final = _event({}, "stop") + DONE
"""The events that end a stream."""
