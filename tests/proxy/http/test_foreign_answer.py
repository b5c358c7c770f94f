"""What the answer of a foreign app says about its attempt."""

from __future__ import annotations

import asyncio

import pytest
from standby.proxy.asgi import Message, Receive, Scope, Send
from standby.proxy.classify.answer import Answer
from standby.proxy.exchange import Attempt, Candidate, Exchange
from standby.proxy.http.foreign_answer import ForeignAnswer
from standby.proxy.http.gate import Gate

from tests.proxy.harness import CHAT, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def nothing(message: Message) -> None:
    """A `send` to nobody."""


def around(attempt: Attempt, exchange: Exchange) -> ForeignAnswer:
    """The adapter of this attempt."""
    gate = Gate(nothing, exchange, attempt, moves=lambda _: True, on_commit=lambda: None)
    return ForeignAnswer(gate, exchange, attempt)


@pytest.mark.parametrize(("answers_at", "fault"), [(None, "bad_response"), (5.0, "timeout_first_byte")])
async def test_no_answer(answers_at: float | None, fault: str) -> None:
    """An app that returns without a word gave a bad response, and one that is too late a late one."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if answers_at is not None:
            await asyncio.sleep(answers_at)

    exchange = Exchange(id="req_1", began=0.0, headers=(), path=CHAT)
    attempt = exchange.begin(Candidate("a"))
    foreign = around(attempt, exchange)
    try:
        await foreign.run(app, {}, asyncio.sleep, 1.0)  # type: ignore[arg-type]  # never called
    except TimeoutError:
        assert foreign.late
    foreign.failed()
    assert attempt.fault is not None
    assert attempt.fault.kind == fault


async def test_an_answer_that_was_recorded() -> None:
    """What an app records of its answer itself is left as it is."""
    exchange = Exchange(id="req_1", began=0.0, headers=(), path=CHAT)
    attempt = exchange.begin(Candidate("a"))
    own = attempt.answer = Answer(None, streamed=None)
    await around(attempt, exchange).send({"type": "http.response.start", "status": 500, "headers": []})
    assert attempt.answer is own
    assert attempt.fault is None
