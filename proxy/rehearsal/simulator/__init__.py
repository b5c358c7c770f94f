"""Simulated providers in this process, which speak both dialects over real sockets and fail on request.

    async with Simulator("alpha") as alpha:
        alpha.fault = Cut(after=Content(2))
        client = openai.AsyncOpenAI(base_url=alpha.url, api_key="any")
        ...
        await alpha.wait_for(lambda: alpha.requests[-1].gone)

A good answer is an `Answer`: a head and a tuple of events, of which a unary answer has one. A `Fault` changes
the answer, or sends it differently, or both: `change` returns another answer, `play` yields the moves on the
socket. Two faults are combined with `&`: `Status(503) & Gzip()`.

Where a request demands JSON of its answer's text, the words are put into a JSON text that satisfies the
schema, unless they are one (`keeps_formats`). Unknown paths, malformed bodies and, with `keys`, other keys
get the error of the vendor that was asked.

The simulator keeps its own bill: the tokens it generated, by its own count, whether or not it reported them
(`bill`, or `GET /_simulator/bill`). Tests compare the gateway's accounting with it.

It writes HTTP/1.1 itself, because a server library would refuse most of this: half a header, half a chunk,
two lengths, bytes after the end. It reads only what well-behaved clients send.
"""

from __future__ import annotations

from .answer import ALL_CONTENT, DONE, Answer, Byte, Content
from .answer_format import Reports
from .connection import Received
from .faults import (
    Chunks,
    End,
    ErrorEvent,
    Fault,
    Framed,
    Gzip,
    Headers,
    Html,
    Insert,
    Just,
    Malformed,
    Oversize,
    Redirect,
    Status,
)
from .provider import CUES, Simulator
from .socket_faults import Cut, Drip, Endless, Garbage, Pings, Slow, Stall, stale_keep_alive

__all__ = [
    "ALL_CONTENT",
    "CUES",
    "DONE",
    "Answer",
    "Byte",
    "Chunks",
    "Content",
    "Cut",
    "Drip",
    "End",
    "Endless",
    "ErrorEvent",
    "Fault",
    "Framed",
    "Garbage",
    "Gzip",
    "Headers",
    "Html",
    "Insert",
    "Just",
    "Malformed",
    "Oversize",
    "Pings",
    "Received",
    "Redirect",
    "Reports",
    "Simulator",
    "Slow",
    "Stall",
    "Status",
    "stale_keep_alive",
]
