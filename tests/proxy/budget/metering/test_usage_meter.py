"""What a request may take, what is said in its caller's place, and what each attempt took."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from standby.proxy.asgi import Headers
from standby.proxy.budget.metering.token_estimate import measure
from standby.proxy.budget.metering.usage_meter import (
    ActualUsage,
    ExpectedUsage,
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
    """An event that says something."""
    return event(choices=[{"delta": {"content": text}, **more}])


def used(read: int, written: int) -> dict[str, int]:
    """Usage as OpenAI tells it."""
    return {"prompt_tokens": read, "completion_tokens": written}


END: Final = event(choices=[{"delta": {}, "finish_reason": "stop"}])
TOLD: Final = event(choices=[], usage=used(7, 3))
DONE: Final = b"data: [DONE]\n\n"


def streamed(*pieces: bytes, whole: bool = True, operation: str = "chat") -> Answer:
    """An answer that came as a stream."""
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
    """An answer that came whole."""
    answer = Answer(operation_named(operation), streamed=False)
    answer.start(status, JSON)
    answer.feed(orjson.dumps(body))
    answer.end()
    return answer


def test_the_same_usage_costs_the_same() -> None:
    """An answer costs what it took, streamed or not."""
    whole = {
        "model": "m",
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": used(7, 3),
    }
    once = actual_usage(attempt_of(document(whole)), EXPECTED)
    assert once == ActualUsage(Usage(7, 3), "provider", "m", 38_000, 38_000)
    assert actual_usage(attempt_of(streamed(says("Hi"), END, TOLD, DONE)), EXPECTED) == once


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
    """Usage beside choices, in one of them, or told again and again, is the usage."""
    assert actual_usage(attempt_of(streamed(*pieces)), EXPECTED).usage == Usage(7, 3)


def test_nothing_is_a_figure() -> None:
    """A provider that says it took nothing is believed, however much it said."""
    told = event(choices=[], usage=used(0, 0))
    found = actual_usage(attempt_of(streamed(says("Hi" * 50), END, told, DONE)), EXPECTED)
    assert found == ActualUsage(Usage(0, 0), "provider", "m", 0, 0)


def test_usage_before_a_break() -> None:
    """What the provider told before an answer broke off after its end is what counts."""
    found = actual_usage(attempt_of(streamed(says("Hi"), END, TOLD, whole=False)), EXPECTED)
    assert (found.usage, found.source) == (Usage(7, 3), "provider")


def test_a_break_before_usage() -> None:
    """Without usage the input counts at its bound, the output at what was relayed."""
    found = actual_usage(attempt_of(streamed(says("Hi, "), says("you"), whole=False)), EXPECTED)
    assert found == ActualUsage(Usage(1_000, 7), "estimated", "m", 2_056_000, 2_056_000)


def test_running_usage_is_not_the_last_word() -> None:
    """Usage told on the way counts for its input; of the output the larger figure does."""
    early = streamed(event(choices=[{"delta": {"content": "abcd"}}], usage=used(7, 1)), whole=False)
    late = streamed(event(choices=[{"delta": {"content": "a"}}], usage=used(7, 9)), whole=False)
    assert actual_usage(attempt_of(early), EXPECTED)[:2] == (Usage(7, 4), "estimated")
    assert actual_usage(attempt_of(late), EXPECTED)[:2] == (Usage(7, 9), "estimated")


def test_a_message_that_breaks_off() -> None:
    """Anthropic tells the input first; the output counts at what was relayed, or told, if that is more."""
    start = {
        "type": "message_start",
        "message": {"model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
    }
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}}
    pieces = [b"data: " + orjson.dumps(each) + b"\n\n" for each in (start, text)]
    found = actual_usage(attempt_of(streamed(*pieces, whole=False, operation="messages")), EXPECTED)
    assert found[:2] == (Usage(9, 5), "estimated")


def test_the_limit_of_the_output_bounds_an_estimate() -> None:
    """No more output is estimated than the provider may give; what is only assumed limits nothing."""
    answer = streamed(says("x" * 500), whole=False)
    assert actual_usage(attempt_of(answer), EXPECTED).usage.output == 100
    assert actual_usage(attempt_of(answer), ExpectedUsage(1_000, 100)).usage.output == 500


def test_a_whole_answer_without_usage() -> None:
    """An answer that tells no usage is estimated from what it says."""
    found = actual_usage(attempt_of(streamed(says("hello"), END, DONE)), EXPECTED)
    assert found[:2] == (Usage(1_000, 5), "estimated")
    whole = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
    assert actual_usage(attempt_of(document(whole)), EXPECTED)[:2] == (Usage(1_000, 5), "estimated")


def test_a_document_that_breaks_off() -> None:
    """Half a body that was passed on counts at its bytes."""
    answer = Answer(operation_named("chat"), streamed=False)
    answer.start(200, JSON)
    answer.feed(b'{"choices":')
    answer.broke("stream_failed")
    assert actual_usage(attempt_of(answer), EXPECTED)[:2] == (Usage(1_000, 11), "estimated")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
def test_a_refusal_costs_nothing(status: int) -> None:
    """A provider that refuses has generated nothing, and a card's price for each request is not due."""
    answer = document({"error": {"message": "no"}}, status=status)
    free = Price(input=1, per_request=5)
    assert actual_usage(attempt_of(answer, price=free), EXPECTED) == ActualUsage(
        Usage(0, 0), "provider", None, 0, 0
    )


def test_an_error_instead_of_a_stream_costs_nothing() -> None:
    """An error in the place of the first word means that there was none."""
    answer = streamed(b'data: {"error":{"message":"overloaded"}}\n\n')
    assert answer.fault is not None
    assert actual_usage(attempt_of(answer), EXPECTED).cost == 0


def test_an_error_after_words_is_estimated() -> None:
    """An error that comes late does not undo what was generated."""
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
    """What reached the provider and was not refused may be billed: then the input counts."""
    found = actual_usage(attempt_of(None, fault, sent=sent), EXPECTED)
    assert found.usage == Usage(read, 0)
    assert found.source == ("estimated" if read else "provider")


@pytest.mark.parametrize("fault", ["timeout_first_byte", "stream_failed"])
def test_a_head_and_nothing_more(fault: FaultKind) -> None:
    """A provider that began to answer and never said a word has read the input."""
    answer = Answer(operation_named("chat"), streamed=True)
    answer.start(200, SSE)
    answer.broke(fault)
    assert actual_usage(attempt_of(answer), EXPECTED)[:2] == (Usage(1_000, 0), "estimated")


def test_what_goes_on_in_the_background() -> None:
    """It is generated whether or not anybody sees it: all of it counts, where nobody told how much it was."""
    value = {"input": "Hi", "max_output_tokens": 100, "background": True}
    prompt = measure(value, "responses")
    expected = expected_usage(prompt, value, "responses", target())
    assert expected.background
    queued: dict[str, Any] = {
        "id": "r",
        "object": "response",
        "status": "queued",
        "output": [],
        "usage": None,
    }
    for answer in (document(queued, operation="responses"), None):
        assert actual_usage(attempt_of(answer), expected)[:2] == (Usage(expected.input, 100), "estimated")
    assert actual_usage(attempt_of(None, "connect", sent=False), expected).usage == Usage(0, 0)


def test_a_served_model_without_a_price() -> None:
    """A model that nobody can price is booked at what was held, and has no cost."""
    answer = streamed(
        says("Hi", finish_reason="stop").replace(b'"m"', b'"else"'), TOLD.replace(b'"m"', b'"else"'), DONE
    )
    found = actual_usage(attempt_of(answer), EXPECTED)
    assert found == ActualUsage(Usage(7, 3), "unpriced", "else", None, 2_800_000)
    assert actual_usage(attempt_of(answer, served_as=["el*"]), EXPECTED).cost == 38_000
    assert actual_usage(attempt_of(answer, price=None), EXPECTED).charge == 0


def test_images_are_in_the_cost() -> None:
    """A price for each image is due for those that were sent."""
    price = PRICE.model_copy(update={"per_image": 1_000_000})
    answer = streamed(says("Hi"), END, TOLD, DONE)
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
    """The request's own limit counts for each choice; else the pool's or the target's; else an assumption."""
    pool = Pool(name="pool", prefer=(target(),), max_output=most)
    value = {"input": "Hi", **members}
    found = expected_usage(measure(value, operation), value, operation, target(**fields), pool=pool)
    assert (found.output, found.limit) == expected


def test_the_input_that_is_expected() -> None:
    """The input is bounded by its text, and by what the target takes at all."""
    value = {"messages": [{"role": "user", "content": "x" * 1_000}]}
    prompt = measure(value, "chat")
    assert expected_usage(prompt, value, "chat", target()).input > 1_000
    assert expected_usage(prompt, value, "chat", target(context=500)).input == 500


def test_counting_tokens_is_free() -> None:
    """A request that only counts takes nothing."""
    value = {"messages": [{"role": "user", "content": "x"}]}
    found = expected_usage(measure(value, "count_tokens"), value, "count_tokens", target())
    assert (found.tokens, found.cost(PRICE)) == (0, 0)
    answer = document({"input_tokens": 9}, operation="count_tokens")
    assert actual_usage(attempt_of(answer), found).charge == 0


def test_what_is_expected_has_a_cost() -> None:
    """An expectation costs its tokens at their dearest, and nothing without a price."""
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
        ("chat", True, {"include_usage": True}, None),
        ("chat", True, {"include_usage": False}, None),
        ("chat", False, None, None),
        ("responses", True, None, None),
        ("messages", True, None, None),
    ],
)
def test_usage_is_asked_for_where_nobody_said(
    operation: str, streams: bool, options: object, amended: object
) -> None:
    """Only a chat stream tells no usage by itself, and a caller who said anything about it is obeyed."""
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
    """A caller without a limit gets the pool's, under its dialect's own name."""
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
    """A request for more output than its pool allows is refused, and told why."""
    with pytest.raises(Refusal) as refused:
        amend(exchange_of(operation, max_output=90), value)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)
