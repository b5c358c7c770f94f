"""The simulator's bill: everything generated is on it, whether or not it was reported or received."""

from __future__ import annotations

from typing import Any, get_args

import httpx2
import orjson
import pytest
from standby.proxy.rehearsal.simulator import (
    Byte,
    Chunks,
    Content,
    Cut,
    Drip,
    End,
    ErrorEvent,
    Fault,
    Garbage,
    Gzip,
    Html,
    Just,
    Malformed,
    Reports,
    Simulator,
    Stall,
    Status,
)
from standby.proxy.rehearsal.simulator.bill import Billed, prompt_tokens

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, STREAMS, Answer, Caller, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

PROMPT: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 400}], "user": "ada"}
INPUT = 3 + 4 + 100
"""The tokens of that prompt."""


async def billed(alpha: Simulator, path: str = CHAT, **fields: Any) -> tuple[Answer, Billed]:
    """The answer to one request, and its line on the bill."""
    answer = await ask(alpha, path, **PROMPT, **fields)
    [line] = alpha.bill
    return answer, line


def usages(answer: Answer) -> list[dict[str, Any]]:
    """All usage reports in an answer."""
    documents = (
        [orjson.loads(event.partition(b"data: ")[2]) for event in answer.events if b"[DONE]" not in event]
        if b"data: " in answer.body
        else [answer.json]
    )
    places = [place for each in documents for place in (each, each.get("response"), each.get("message"))]
    return [place["usage"] for place in places if place is not None and place.get("usage") is not None]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", STREAMS)
async def test_a_whole_answer_is_on_the_bill(alpha: Simulator, path: str, stream: bool) -> None:
    """The provider counts input and output tokens itself, and the line names the end user."""
    _, line = await billed(alpha, path, stream=stream)
    reported = path != CHAT or not stream  # a stream of Chat Completions reports usage only if requested
    assert line == Billed(1, "m", "ada", INPUT, 5, reported=reported, aborted=False)


async def test_a_chat_that_asks_is_told(alpha: Simulator) -> None:
    """A stream with requested usage reports what is on the bill."""
    answer, line = await billed(alpha, stream=True, stream_options={"include_usage": True})
    assert line.reported
    assert usages(answer) == [{"prompt_tokens": INPUT, "completion_tokens": 5, "total_tokens": INPUT + 5}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("reports", get_args(Reports))
async def test_who_tells_tells_the_truth(alpha: Simulator, reports: Reports, path: str, stream: bool) -> None:
    """The last usage report equals the bill. A provider that never reports has none."""
    alpha.reports = reports
    answer, line = await billed(alpha, path, stream=stream)
    usage_reports = usages(answer)
    assert line.reported == bool(usage_reports)
    assert bool(usage_reports) == (reports != "never" and (path != CHAT or not stream or reports != "asked"))
    if usage_reports:
        last = usage_reports[-1]
        assert last.get("output_tokens", last.get("completion_tokens")) == 5
        inputs = [
            count
            for usage in usage_reports
            for count in (usage.get("input_tokens"), usage.get("prompt_tokens"))
        ]
        assert [count for count in inputs if count is not None][-1] == INPUT


async def test_a_running_count_is_in_every_event(alpha: Simulator) -> None:
    """A provider with `running` reports the usage so far after each word."""
    alpha.reports = "running"
    answer, _ = await billed(alpha, stream=True)
    assert [usage["completion_tokens"] for usage in usages(answer)] == [0, 1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("fault", [Status(429), Status(500), Status(200), Html(), Just(), ErrorEvent()])
async def test_a_refusal_costs_nothing(alpha: Simulator, fault: Fault) -> None:
    """An answer for which nothing was generated is not on the bill."""
    alpha.fault = fault
    await ask(alpha, stream=True, **PROMPT)
    assert alpha.bill == []


async def test_counting_tokens_costs_nothing(alpha: Simulator) -> None:
    """The vendors' own counts are free."""
    await ask(alpha, f"{MESSAGES}/count_tokens", **PROMPT)
    assert alpha.bill == []


async def test_an_embedding_costs_what_goes_in(alpha: Simulator) -> None:
    """An embedding has no output tokens."""
    await ask(alpha, "/v1/embeddings", input="x" * 40)
    assert [(line.input, line.output, line.reported) for line in alpha.bill] == [(3 + 4 + 10, 0, True)]


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    ("fault", "output"),
    [
        (Cut(), 0),
        (Cut(after=Content(0)), 0),
        (Cut(after=Content(2)), 2),
        (End(Content(3)), 3),
        (ErrorEvent(Content(2)), 2),
    ],
    ids=str,
)
async def test_what_was_sent_before_a_break_is_on_the_bill(
    alpha: Simulator, path: str, fault: Fault, output: int
) -> None:
    """Words that were sent before a stream broke off are billed, and no usage is reported for them."""
    alpha.fault = fault
    _, line = await billed(alpha, path, stream=True)
    assert (line.input, line.output, line.reported) == (INPUT, output, False)


@pytest.mark.parametrize("fault", [Gzip(), Malformed(), Drip(0, after=0), Garbage(), Chunks(size=7)], ids=str)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_the_form_of_an_answer_costs_nothing(alpha: Simulator, path: str, fault: Fault) -> None:
    """The same words cost the same, however they are framed."""
    alpha.fault = fault
    _, line = await billed(alpha, path, stream=True)
    assert (line.input, line.output) == (INPUT, 5)


async def test_a_body_that_was_begun_has_been_generated(alpha: Simulator) -> None:
    """An answer that is not streamed is billed in full with its first byte."""
    alpha.fault = Cut(after=Byte(10))
    _, line = await billed(alpha)
    assert (line.input, line.output, line.reported) == (INPUT, 5, False)


async def test_who_hangs_up_pays_for_what_there_was(alpha: Simulator) -> None:
    """A line states whether the caller left, and has the tokens generated until then."""
    alpha.fault = Stall(after=Content(2))
    caller = await Caller.to(alpha)
    await caller.send(CHAT, stream=True, **PROMPT)
    await caller.read(until=b"says: ")
    caller.hang_up()
    await alpha.wait_for(lambda: alpha.requests[-1].gone)
    assert alpha.bill == [Billed(1, "m", "ada", INPUT, 2, reported=False, aborted=True)]


async def test_anthropic_names_its_user_elsewhere(alpha: Simulator) -> None:
    """The end user of a message is in its metadata."""
    await ask(alpha, MESSAGES, messages=[], metadata={"user_id": "grace"})
    assert [line.user for line in alpha.bill] == ["grace"]


async def test_the_bill_can_be_read_over_http(alpha: Simulator) -> None:
    """Another process reads the same lines over HTTP, and reading is not on the bill."""
    await ask(alpha, **PROMPT)
    async with httpx2.AsyncClient(base_url=alpha.origin) as client:
        bill = (await client.get("/_simulator/bill")).json()
    assert bill["name"] == "alpha"
    assert [Billed(**line) for line in bill["lines"]] == alpha.bill


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ({}, 3 + 4),
        ({"messages": []}, 3 + 4),
        ({"messages": [{"role": "user", "content": "12345678"}] * 3}, 3 + 12 + 6),
        ({"system": "1234", "messages": [{"content": [{"type": "text", "text": "1234"}]}]}, 3 + 4 + 2),
        ({"messages": [{"content": [{"image_url": {"url": "data:" + "x" * 4000}}]}]}, 3 + 4),
        ({"input": "1234", "instructions": "1234"}, 3 + 4 + 2),
        ({"messages": [{"content": "1"}], "tools": ["12345678"]}, 3 + 4 + 3),
        ("text", 0),
    ],
)
def test_a_prompt_has_so_many_tokens(prompt: object, tokens: int) -> None:
    """Text counts wherever the model reads it. Images and the JSON syntax do not."""
    assert prompt_tokens(prompt) == tokens
