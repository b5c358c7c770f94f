"""Tests of the expected usage, the amendments to a request, and the actual usage of attempts."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from standby.proxy.asgi import Headers
from standby.proxy.budget.metering.token_estimate import measure
from standby.proxy.budget.metering.usage_meter import (
    ActualUsage,
    ExpectedUsage,
    Requested,
    actual_usage,
    amend,
    expected_usage,
)
from standby.proxy.classify.answer import Answer
from standby.proxy.classify.faults import Fault, FaultKind
from standby.proxy.config import Pool, Price, Provider, Target
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.usage import Usage
from standby.proxy.errors import Refusal
from standby.proxy.exchange import Attempt, Candidate, Exchange

__all__: list[str] = []

PRICE: Final = Price(input=2_000_000_000, output=8_000_000_000)
EXPECTED: Final = ExpectedUsage(1_000, 100, limit=100)
SSE: Final[Headers] = ((b"content-type", b"text/event-stream"),)
JSON: Final[Headers] = ((b"content-type", b"application/json"),)


def target(**fields: Any) -> Target:
    """A target whose answers name its model."""
    provider = Provider(name="p", dialect="openai", base_url="http://127.0.0.1:9/v1")
    return Target.model_validate({"name": "t", "provider": provider, "model": "m", "price": PRICE, **fields})


def exchange_of(operation: str, *, streamed: bool = False, max_output: int | None = None) -> Exchange:
    """A request that is about to be sent."""
    exchange = Exchange("req_1", 0.0, ())
    exchange.operation = operation_named(operation)
    exchange.streamed = streamed
    exchange.pool = Pool(name="pool", prefer=(target(),), max_output=max_output)
    return exchange


def attempt_of(
    answer: Answer | None = None, fault: FaultKind | None = None, *, sent: bool = True, **fields: Any
) -> Attempt:
    """An attempt that has ended."""
    attempt = Attempt(1, Candidate("t", target(**fields)), 0.0, sent=sent, answer=answer)
    attempt.fault = None if fault is None else Fault(fault)
    if answer is not None and fault is None:
        attempt.fault = answer.fault
    return attempt


def event(**document: Any) -> bytes:
    """An event of a chat stream."""
    return b"data: " + orjson.dumps({"model": "m", **document}) + b"\n\n"


def says(text: str, **more: Any) -> bytes:
    """An event with a text."""
    return event(choices=[{"delta": {"content": text}, **more}])


def used(read: int, written: int) -> dict[str, int]:
    """Usage in OpenAI's format."""
    return {"prompt_tokens": read, "completion_tokens": written}


END: Final = event(choices=[{"delta": {}, "finish_reason": "stop"}])
USAGE: Final = event(choices=[], usage=used(7, 3))
DONE: Final = b"data: [DONE]\n\n"


def streamed(*pieces: bytes, whole: bool = True, operation: str = "chat") -> Answer:
    """An answer received as a stream."""
    answer = Answer(operation_named(operation), streamed=True)
    answer.start(200, SSE)
    for piece in pieces:
        answer.feed(piece)
    if whole:
        answer.end()
    else:
        answer.broke("stream_failed")
    return answer


def document(body: Any, *, status: int = 200, operation: str = "chat") -> Answer:
    """An answer received as one document."""
    answer = Answer(operation_named(operation), streamed=False)
    answer.start(status, JSON)
    answer.feed(orjson.dumps(body))
    answer.end()
    return answer


def test_the_same_usage_costs_the_same() -> None:
    """The same usage costs the same, streamed or not."""
    whole = {
        "model": "m",
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": used(7, 3),
    }
    once = actual_usage(attempt_of(document(whole)), EXPECTED)
    assert once == ActualUsage(Usage(7, 3), "provider", "m", 38_000, 38_000)
    assert actual_usage(attempt_of(streamed(says("Hi"), END, USAGE, DONE)), EXPECTED) == once


@pytest.mark.parametrize(
    "pieces",
    [
        (says("Hi"), event(choices=[{"delta": {}, "finish_reason": "stop"}], usage=used(7, 3)), DONE),
        (says("Hi"), END, event(choices=[{"delta": {}}], usage=used(7, 3)), DONE),
        (says("Hi"), event(choices=[{"delta": {}, "finish_reason": "stop", "usage": used(7, 3)}]), DONE),
        (says("Hi"), event(choices=[], usage=used(7, 1)), END, event(usage=used(7, 3)), DONE),
    ],
)
def test_usage_counts_wherever_it_is(pieces: tuple[bytes, ...]) -> None:
    """Usage is found beside the choices, in a choice, or repeated in several events."""
    assert actual_usage(attempt_of(streamed(*pieces)), EXPECTED).usage == Usage(7, 3)


def test_nothing_is_a_figure() -> None:
    """A reported usage of 0 is accepted, even if the answer has a text."""
    no_usage = event(choices=[], usage=used(0, 0))
    result = actual_usage(attempt_of(streamed(says("Hi" * 50), END, no_usage, DONE)), EXPECTED)
    assert result == ActualUsage(Usage(0, 0), "provider", "m", 0, 0)


def test_usage_before_a_break() -> None:
    """Usage reported before the stream failed counts if the answer was finished."""
    result = actual_usage(attempt_of(streamed(says("Hi"), END, USAGE, whole=False)), EXPECTED)
    assert (result.usage, result.source) == (Usage(7, 3), "provider")


def test_a_break_before_usage() -> None:
    """Without usage the input counts at its bound and the output at what was relayed."""
    result = actual_usage(attempt_of(streamed(says("Hi, "), says("you"), whole=False)), EXPECTED)
    assert result == ActualUsage(Usage(1_000, 7), "estimated", "m", 2_056_000, 2_056_000)


def test_running_usage_is_not_the_last_word() -> None:
    """Intermediate usage counts for the input; for the output the larger of it and the relayed text."""
    early = streamed(event(choices=[{"delta": {"content": "abcd"}}], usage=used(7, 1)), whole=False)
    late = streamed(event(choices=[{"delta": {"content": "a"}}], usage=used(7, 9)), whole=False)
    assert actual_usage(attempt_of(early), EXPECTED)[:2] == (Usage(7, 4), "estimated")
    assert actual_usage(attempt_of(late), EXPECTED)[:2] == (Usage(7, 9), "estimated")


def test_a_message_that_breaks_off() -> None:
    """Anthropic reports the input first. The output is the larger of the reported and the relayed amount."""
    start = {
        "type": "message_start",
        "message": {"model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
    }
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}}
    pieces = [b"data: " + orjson.dumps(item) + b"\n\n" for item in (start, text)]
    result = actual_usage(attempt_of(streamed(*pieces, whole=False, operation="messages")), EXPECTED)
    assert result[:2] == (Usage(9, 5), "estimated")


def test_the_limit_of_the_output_bounds_an_estimate() -> None:
    """The estimated output is capped at the provider's limit, but not at an assumption."""
    answer = streamed(says("x" * 500), whole=False)
    assert actual_usage(attempt_of(answer), EXPECTED).usage.output == 100
    assert actual_usage(attempt_of(answer), ExpectedUsage(1_000, 100)).usage.output == 500


def test_a_whole_answer_without_usage() -> None:
    """A complete answer without usage is estimated from its text."""
    result = actual_usage(attempt_of(streamed(says("hello"), END, DONE)), EXPECTED)
    assert result[:2] == (Usage(1_000, 5), "estimated")
    whole = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
    assert actual_usage(attempt_of(document(whole)), EXPECTED)[:2] == (Usage(1_000, 5), "estimated")


def test_a_document_that_breaks_off() -> None:
    """An incomplete document counts with its bytes."""
    answer = Answer(operation_named("chat"), streamed=False)
    answer.start(200, JSON)
    answer.feed(b'{"choices":')
    answer.broke("stream_failed")
    assert actual_usage(attempt_of(answer), EXPECTED)[:2] == (Usage(1_000, 11), "estimated")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
def test_a_refusal_costs_nothing(status: int) -> None:
    """A refused attempt costs nothing, not even the card's price per request."""
    answer = document({"error": {"message": "no"}}, status=status)
    free = Price(input=1, per_request=5)
    assert actual_usage(attempt_of(answer, price=free), EXPECTED) == ActualUsage(
        Usage(0, 0), "provider", None, 0, 0
    )


def test_an_error_instead_of_a_stream_costs_nothing() -> None:
    """An error before the first text means that nothing was generated."""
    answer = streamed(b'data: {"error":{"message":"overloaded"}}\n\n')
    assert answer.fault is not None
    assert actual_usage(attempt_of(answer), EXPECTED).cost == 0


def test_an_error_after_words_is_estimated() -> None:
    """With an error after some text, the generated text still counts."""
    answer = streamed(says("hello"), b'data: {"error":{"message":"overloaded"}}\n\n')
    assert actual_usage(attempt_of(answer), EXPECTED)[:2] == (Usage(1_000, 5), "estimated")


@pytest.mark.parametrize(
    ("fault", "sent", "read"),
    [
        ("connect", False, 0),
        ("connect", True, 1_000),
        ("local_overload", False, 0),
        ("local_overload", True, 0),
        ("policy", False, 0),
        ("bad_response", True, 1_000),
        ("timeout_first_byte", False, 0),
        ("timeout_first_byte", True, 1_000),
        ("timeout", True, 1_000),
        (None, True, 1_000),
        (None, False, 0),
    ],
)
def test_no_answer_at_all(fault: FaultKind | None, sent: bool, read: int) -> None:
    """An attempt that was sent and not refused may be billed, so its input counts."""
    result = actual_usage(attempt_of(None, fault, sent=sent), EXPECTED)
    assert result.usage == Usage(read, 0)
    assert result.source == ("estimated" if read else "provider")


@pytest.mark.parametrize("fault", ["timeout_first_byte", "stream_failed"])
def test_a_head_and_nothing_more(fault: FaultKind) -> None:
    """If an answer started without any text, the input counts."""
    answer = Answer(operation_named("chat"), streamed=True)
    answer.start(200, SSE)
    answer.broke(fault)
    assert actual_usage(attempt_of(answer), EXPECTED)[:2] == (Usage(1_000, 0), "estimated")


def test_a_served_model_without_a_price() -> None:
    """A model without a price is booked at the held amount and has no cost."""
    answer = streamed(
        says("Hi", finish_reason="stop").replace(b'"m"', b'"else"'), USAGE.replace(b'"m"', b'"else"'), DONE
    )
    result = actual_usage(attempt_of(answer), EXPECTED)
    assert result == ActualUsage(Usage(7, 3), "unpriced", "else", None, 2_800_000)
    assert actual_usage(attempt_of(answer, served_as=["el*"]), EXPECTED).cost == 38_000
    assert actual_usage(attempt_of(answer, price=None), EXPECTED).charge == 0


def test_images_are_in_the_cost() -> None:
    """The price per image applies to the images that were sent."""
    price = PRICE.model_copy(update={"per_image": 1_000_000})
    answer = streamed(says("Hi"), END, USAGE, DONE)
    assert actual_usage(attempt_of(answer, price=price), ExpectedUsage(1, 1, images=2)).cost == 2_038_000


@pytest.mark.parametrize(
    ("operation", "members", "fields", "most", "expected"),
    [
        ("chat", {}, {}, None, (4_096, None)),
        ("chat", {"max_tokens": 7}, {}, None, (7, 7)),
        ("chat", {"max_tokens": 7, "n": 3}, {}, None, (21, 21)),
        ("chat", {"n": 2}, {}, None, (8_192, None)),
        ("chat", {"n": 2, "best_of": 5, "max_tokens": 1}, {}, None, (5, 5)),
        ("chat", {}, {"max_output": 50}, None, (50, 50)),
        ("chat", {"max_tokens": 70}, {"max_output": 50}, None, (50, 50)),
        ("chat", {}, {}, 60, (60, 60)),
        ("chat", {"max_tokens": 7}, {}, 60, (7, 7)),
        ("messages", {"max_tokens": 0}, {}, None, (0, 0)),
        ("responses", {"max_output_tokens": 9, "n": 4}, {}, None, (9, 9)),
        ("embeddings", {}, {"max_output": 50}, 60, (0, 0)),
    ],
)
def test_the_output_that_is_expected(
    operation: str,
    members: dict[str, Any],
    fields: dict[str, Any],
    most: int | None,
    expected: tuple[int, int | None],
) -> None:
    """The limit is the request's own per choice, else the pool's or the target's, else an assumption."""
    pool = Pool(name="pool", prefer=(target(),), max_output=most)
    value = {"input": "Hi", **members}
    result = expected_usage(
        measure(value, operation), Requested.of(value, operation), target(**fields), pool=pool
    )
    assert (result.output, result.limit) == expected


def test_the_input_that_is_expected() -> None:
    """The input is bounded by its text and by the target's context size."""
    value = {"messages": [{"role": "user", "content": "x" * 1_000}]}
    prompt = measure(value, "chat")
    requested = Requested.of(value, "chat")
    assert expected_usage(prompt, requested, target()).input > 1_000
    assert expected_usage(prompt, requested, target(context=500)).input == 500


def test_counting_tokens_is_free() -> None:
    """A request that only counts tokens has no usage."""
    value = {"messages": [{"role": "user", "content": "x"}]}
    requested = Requested.of(value, "count_tokens")
    result = expected_usage(measure(value, "count_tokens"), requested, target())
    assert (result.tokens, result.cost(PRICE)) == (0, 0)
    answer = document({"input_tokens": 9}, operation="count_tokens")
    assert actual_usage(attempt_of(answer), result).charge == 0


def test_what_is_expected_has_a_cost() -> None:
    """The expected cost uses the highest prices, and is 0 without a price."""
    assert EXPECTED.tokens == 1_100
    assert EXPECTED.cost(PRICE) == 2_800_000
    assert EXPECTED.cost(None) == 0


@pytest.mark.parametrize(
    ("operation", "streams", "options", "amended"),
    [
        ("chat", True, None, {"include_usage": True}),
        ("chat", True, {}, {"include_usage": True}),
        ("chat", True, {"include_usage": None}, {"include_usage": True}),
        ("chat", True, {"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
        ("chat", True, {"include_usage": False}, {"include_usage": True}),
        ("chat", True, {"include_usage": True}, None),
        ("chat", False, None, None),
        ("responses", True, None, None),
        ("messages", True, None, None),
    ],
)
def test_usage_is_always_asked_for(operation: str, streams: bool, options: object, amended: object) -> None:
    """Usage is requested for every chat stream, whatever the caller says, and hidden from who did not ask."""
    exchange = exchange_of(operation, streamed=streams)
    amend(exchange, {"stream_options": options})
    assert exchange.amendments.get("stream_options") == amended
    assert exchange.hides_usage == (amended is not None)


@pytest.mark.parametrize(
    ("operation", "value", "amendments"),
    [
        ("chat", {}, {"max_completion_tokens": 90}),
        ("chat", {"n": 4}, {"max_completion_tokens": 22}),
        ("chat", {"max_tokens": 90}, {}),
        ("chat", {"max_tokens": None}, {"max_completion_tokens": 90}),
        ("responses", {}, {"max_output_tokens": 90}),
        ("messages", {"max_tokens": 5}, {}),
        ("embeddings", {}, {}),
    ],
)
def test_a_pools_limit_is_said(operation: str, value: dict[str, Any], amendments: dict[str, int]) -> None:
    """A request without a limit gets the pool's, under the dialect's own name."""
    exchange = exchange_of(operation, max_output=90)
    amend(exchange, value)
    assert exchange.amendments == amendments


@pytest.mark.parametrize(
    ("operation", "value", "param"),
    [
        ("chat", {"max_tokens": 91}, "max_tokens"),
        ("chat", {"max_completion_tokens": 91}, "max_completion_tokens"),
        ("chat", {"max_completion_tokens": 46, "n": 2}, "max_completion_tokens"),
        ("chat", {"n": 91}, "n"),
        ("responses", {"max_output_tokens": 91}, "max_output_tokens"),
        ("messages", {"max_tokens": 91}, "max_tokens"),
    ],
)
def test_more_than_a_pool_allows(operation: str, value: dict[str, Any], param: str) -> None:
    """A request for more output than its pool allows is refused."""
    with pytest.raises(Refusal) as refused:
        amend(exchange_of(operation, max_output=90), value)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)
