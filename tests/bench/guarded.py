"""What guardrails add to a request and to a chunk of a stream, and how much they find.

As in `inside`, everything is in one process without sockets: the same gateway with and without guardrails, in
alternating batches of which the fastest counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import uvloop
from standby.proxy.gateway import Gateway
from standby.proxy.guardrails.personal_data import COUNTRIES, PERSONAL_DATA, national
from standby.proxy.guardrails.secrets import SECRETS

from tests.proxy.guardrails.test_corpus import injection, measured, of_detect_secrets

from .gateways import bench_routes
from .inside import Memory, added
from .payloads import DONE, MODEL, chunk

__all__ = ["lines", "prose"]

_WORDS: Final = Path(__file__).with_name("inside.py").read_text(encoding="utf-8").split()[:200]
"""What is said: words with the usual mixture of names, numbers and punctuation."""
_USUAL: Final = (
    '{ kind = "secrets", on = "ON", action = "redact" }',
    '{ kind = "personal_data", on = "ON", action = "redact" }',
)


def prose() -> httpx2.AsyncBaseTransport:
    """A transport that streams one word after the other, as a provider in routes.toml may name one."""
    words = [chunk({"content": f" {word}"}) for word in _WORDS]
    return Memory((*words, chunk({}, finish="stop") + DONE))


def lines() -> Iterator[str]:
    """The cost of the usual rules, and the rates of what they find."""
    plain = _gateway("")
    guarded = _gateway("request")
    for size in (1_500, 100_000):
        cost = uvloop.run(added(plain, guarded, _body(size, streamed=False), 100 if size < 10_000 else 10))
        yield f"CPU µs that guardrails add to a request of {size:,} bytes: {cost:.0f}"
    answers = _gateway("response")
    cost = uvloop.run(added(plain, answers, _body(1_500, streamed=True), 10))
    yield f"CPU µs that they add to a chunk of a stream: {cost / len(_WORDS):.1f}"
    yield ""
    yield f"secrets: {measured('secrets', SECRETS)}"
    known, flagged, others, unflagged = of_detect_secrets()
    yield f"secrets of detect-secrets: {known} of {flagged}, and {others} of {unflagged} others"
    yield f"personal data: {measured('personal', [*PERSONAL_DATA, *national(COUNTRIES)])}"
    found, wrong = injection()
    yield f"injections: {found:.1%} of the attacks, {wrong:.1%} of the benign texts"


def _gateway(on: str) -> Gateway:
    rules = ", ".join(rule.replace("ON", on) for rule in _USUAL) if on else ""
    transport = f"{__name__}:prose"
    if not on:
        return Gateway(bench_routes(1, transport=transport))
    stack, table = '["guardrails", "failover"]', f"rules = [{rules}]"
    return Gateway(bench_routes(1, transport=transport, stack=stack, guardrails=table))


def _body(size: int, *, streamed: bool) -> bytes:
    """A conversation of this size, of turns of 300 characters."""
    text = " ".join(_WORDS)[:300]
    turns = [
        {"role": "user" if at % 2 else "assistant", "content": text} for at in range(max(1, size // 340))
    ]
    return json.dumps({"model": MODEL, "messages": turns, "stream": streamed}).encode()
