"""When nobody gives an answer: an error in the caller's dialect, what was tried, when to come back."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, Final

import anthropic
import openai
import pytest
from standby.proxy.health.target_health import Health
from standby.proxy.rehearsal.simulator import (
    DONE,
    Content,
    Cut,
    ErrorEvent,
    Fault,
    Html,
    Just,
    Redirect,
    Stall,
    Status,
)

from tests.acceptance.clients import APIS, CHAT, MESSAGES, Api, Recorded
from tests.acceptance.pairs import pairwise
from tests.acceptance.scene import Scene, patience, scene
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

FAULTS: Final = MappingProxyType[str, tuple[Fault, str, int]](
    {
        "stall": (Stall(), "timeout_first_byte", 504),
        "408": (Status(408), "timeout", 504),
        "504": (Status(504), "timeout", 504),
        "409": (Status(409), "conflict", 409),
        "402": (Status(402), "quota", 503),
        "401": (Status(401), "upstream_auth", 502),
        "403": (Status(403), "upstream_auth", 502),
        "404 of the model": (
            Status(404, body=b'{"error": {"code": "model_not_found"}}'),
            "target_missing",
            502,
        ),
        "404 of no API": (Status(404, body=b"<h1>Not Found</h1>"), "target_missing", 502),
        "429": (Status(429), "rate_limited", 429),
        "429 for good": (Status(429, error_code="insufficient_quota"), "quota", 503),
        "500": (Status(500), "upstream_5xx", 502),
        "502": (Status(502), "upstream_5xx", 502),
        "503": (Status(503), "overloaded", 503),
        "529": (Status(529), "overloaded", 503),
        "error in a 200": (ErrorEvent(status=500, code="server_error"), "upstream_5xx", 502),
        "HTML": (Html(), "bad_response", 502),
        "a redirect": (Redirect(), "bad_response", 502),
        "a status nobody knows": (Status(999), "bad_response", 502),
        "dropped": (Cut(), "connect", 503),
        "cut after the headers": (Cut(0), "stream_failed", 502),
    }
)
IN_STREAMS: Final = (
    ("nothing but an end", Just(DONE), "bad_response", 502),
    ("empty", Just(), "stream_failed", 502),
    ("cut after the preamble", Cut(Content(0)), "stream_failed", 502),
)


def name(api: Api, target: str) -> str:
    """What a target is called in the pool that an API asks."""
    return f"{target}_claude" if api is MESSAGES else target


def error_of(api: Api, answer: Recorded) -> dict[str, Any]:
    """The error, from a body that has exactly the members it has in the caller's dialect."""
    document = json.loads(answer.body)
    assert answer.header("content-type") == "application/json"
    request_id = answer.header("x-standby-request-id")
    error: dict[str, Any] = document["error"]
    if api is MESSAGES:
        assert set(document) == {"type", "error", "request_id"}
        assert (document["type"], document["request_id"]) == ("error", request_id)
        assert set(error) == {"type", "message", "code", "attempts"}
    else:
        assert set(document) == {"error"}
        assert set(error) == {"message", "type", "code", "param", "request_id", "attempts"}
        assert (error["request_id"], error["param"]) == (request_id, None)
    return error


@pytest.mark.parametrize(("api", "case", "stream"), pairwise(APIS, FAULTS), ids=str)
async def test_one_cause(front: Front, api: Api, case: str, stream: bool) -> None:
    """Where all fail alike, the status is that failure's, and attempts are listed by target and fault."""
    fault, kind, status = FAULTS[case]
    async with scene(front, first_token=patience(fault)) as stage:
        stage.alpha.fault = stage.beta.fault = fault

        answer = await stage.raw.ask(api, stream=stream)

    assert answer.status == (529 if api is MESSAGES and kind == "overloaded" else status)
    error = error_of(api, answer)
    assert error["code"] == "all_attempts_failed"
    assert error["attempts"] == [{"target": name(api, target), "fault": kind} for target in ("alpha", "beta")]
    assert answer.header("x-should-retry") == "false"
    assert answer.header("x-standby-attempts") == "2"
    assert answer.header("x-standby-target") is None


@pytest.mark.parametrize(
    ("fault", "kind", "status"), [case[1:] for case in IN_STREAMS], ids=[case[0] for case in IN_STREAMS]
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_one_cause_in_streams(stage: Scene, api: Api, fault: Fault, kind: str, status: int) -> None:
    """A stream that never said anything is an HTTP error too, not an empty 200."""
    if kind == "bad_response" and api is not CHAT:
        fault = Just(b'data: {"type": "%b"}\n\n' % api.end)
    stage.alpha.fault = stage.beta.fault = fault

    answer = await stage.raw.ask(api)

    assert answer.status == status
    assert error_of(api, answer)["attempts"] == [
        {"target": name(api, target), "fault": kind} for target in ("alpha", "beta")
    ]


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_nobody_to_be_reached(stage: Scene, api: Api) -> None:
    """Refused connections are a 503."""
    await stage.alpha.down()
    await stage.beta.down()

    answer = await stage.raw.ask(api)

    assert answer.status == 503
    assert [each["fault"] for each in error_of(api, answer)["attempts"]] == ["connect", "connect"]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (Status(500), Status(429, retry_after=9), 503),
        (Status(500), Status(503), 503),
        (Status(500), Stall(), 502),
        (Status(401), Html(), 502),
        (Stall(), Status(429), 503),
    ],
    ids=str,
)
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_several_causes(stage: Scene, api: Api, first: Fault, second: Fault, status: int) -> None:
    """Where the causes differ, 503 says that one of them will pass by itself, and 502 that none will."""
    stage.alpha.fault, stage.beta.fault = first, second

    assert (await stage.raw.ask(api)).status == status


@pytest.mark.parametrize("fault", [Status(400), Status(422)], ids=str)
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_the_best_answer_is_a_refusal(stage: Scene, api: Api, fault: Fault) -> None:
    """Where one target fails and the next refuses for the caller's sake, the caller gets that refusal."""
    stage.alpha.fault, stage.beta.fault = Status(503), fault

    answer = await stage.raw.ask(api)

    assert answer.status == 400 if fault == Status(400) else answer.status == 422
    assert stage.beta.canary.encode() in answer.body
    assert stage.alpha.canary.encode() not in answer.whole


@pytest.mark.parametrize(
    ("first", "second", "soonest"), [(30, 7, "7"), (7, 30, "7"), (0.2, 9, "1"), (900, 500, "300")]
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_when_to_come_back(stage: Scene, api: Api, first: float, second: float, soonest: str) -> None:
    """Retry-After is the soonest time at which a target may be asked again, in whole seconds, never zero."""
    stage.alpha.fault = Status(429, retry_after=first)
    stage.beta.fault = Status(429, retry_after=second)

    answer = await stage.raw.ask(api)

    assert answer.status == 429
    assert answer.header("retry-after") == soonest
    assert answer.header("x-should-retry") == "false"


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_nobody_is_asked_while_all_rest(stage: Scene, api: Api) -> None:
    """While every target rests nobody is asked, and the caller is told when the first will have rested."""
    now = 1000.0
    stage.gateway.health = Health(clock=lambda: now, jitter=lambda: 1.0)
    stage.alpha.fault = Status(429, retry_after=20)
    stage.beta.fault = Status(429, retry_after=12)
    await stage.raw.ask(api)
    now += 4

    answer = await stage.raw.ask(api)

    assert answer.status == 429
    assert answer.header("retry-after") == "8"
    error = error_of(api, answer)
    assert error["code"] == "no_target_available"
    assert error["attempts"] == [
        {"target": name(api, target), "fault": "health.cooldown"} for target in ("alpha", "beta")
    ]
    assert answer.header("x-standby-attempts") == "0"
    assert [len(provider.requests) for provider in (stage.alpha, stage.beta)] == [1, 1]


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_one_is_asked_while_breakers_are_open(stage: Scene, api: Api) -> None:
    """Of targets that failed five times one is asked, in case it is well again, and the caller is told when
    to come back."""
    now = 1000.0
    stage.gateway.health = Health(clock=lambda: now, jitter=lambda: 1.0)
    stage.alpha.fault = stage.beta.fault = Status(500)
    for _ in range(5):
        assert (await stage.raw.ask(api)).status == 502
    now += 2

    answer = await stage.raw.ask(api)

    assert (answer.status, answer.header("retry-after")) == (502, "3")
    assert [each["fault"] for each in error_of(api, answer)["attempts"]] == [
        "upstream_5xx",
        "health.breaker_open",
    ]
    assert [len(provider.requests) for provider in (stage.alpha, stage.beta)] == [6, 5]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (Status(429), openai.RateLimitError),
        (Status(500), openai.InternalServerError),
        (Stall(), openai.InternalServerError),
        (Status(409), openai.ConflictError),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_openai_sdk_understands(
    front: Front, fault: Fault, raised: type[openai.APIStatusError], stream: bool
) -> None:
    """The SDK raises its own error, with our code and request id in it."""
    async with scene(front, first_token=patience(fault)) as stage:
        stage.alpha.fault = stage.beta.fault = fault

        with pytest.raises(raised) as caught:
            await stage.sdks.say(CHAT, stream=stream)

    assert caught.value.code == "all_attempts_failed"
    assert caught.value.request_id == front.exchanges[-1].id


@pytest.mark.parametrize(
    ("fault", "raised", "kind"),
    [
        (Status(429), anthropic.RateLimitError, "rate_limit_error"),
        (Status(529), anthropic.InternalServerError, "overloaded_error"),
        (Status(500), anthropic.InternalServerError, "api_error"),
        (Stall(), anthropic.InternalServerError, "timeout_error"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_anthropic_sdk_understands(
    front: Front, fault: Fault, raised: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    """The SDK raises its own error, with its own type and our request id in it."""
    async with scene(front, first_token=patience(fault)) as stage:
        stage.alpha.fault = stage.beta.fault = fault

        with pytest.raises(anthropic.APIStatusError) as caught:
            await stage.sdks.say(MESSAGES, stream=stream)

    body: Any = caught.value.body
    assert isinstance(caught.value, raised) or kind in {"overloaded_error", "timeout_error"}
    assert body["error"]["type"] == kind
    assert caught.value.request_id == front.exchanges[-1].id
