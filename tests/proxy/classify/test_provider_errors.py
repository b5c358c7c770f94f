"""Tests of the classification of providers' error answers by status, headers and body."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standby.proxy.classify.faults import RULES, FaultKind, is_callers
from standby.proxy.classify.provider_errors import in_band, refused

__all__: list[str] = []


def openai(code: str | None = None, kind: str | None = None, message: str = "No.") -> dict[str, Any]:
    """An error body in OpenAI's format."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind: str, message: str = "No.", error_code: str | None = None) -> dict[str, Any]:
    """An error body in Anthropic's format."""
    details = {} if error_code is None else {"details": {"error_code": error_code}}
    return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}


def google(code: int, status: str, *details: dict[str, Any]) -> dict[str, Any]:
    """An error body in Google's format."""
    return {"error": {"code": code, "message": "No.", "status": status, "details": list(details)}}


def kind_of(status: int, body: object) -> FaultKind:
    """Classify an error answer."""
    return refused(status, (), body if isinstance(body, bytes) else orjson.dumps(body)).kind


SPEND: Final = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
LIMITS: Final = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
LONG: Final = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."

# Rows of the table by number and name: the provider's answer, and its kind.
ROWS: Final[dict[str, tuple[int, object, FaultKind]]] = {
    "3 timeout: 408": (408, b"", "timeout"),
    "3 timeout: Bedrock": (408, {"message": "Model timed out"}, "timeout"),
    "3 timeout: Anthropic 504": (504, anthropic("timeout_error"), "timeout"),
    "3 timeout: Gemini": (504, google(504, "DEADLINE_EXCEEDED"), "timeout"),
    "4 conflict": (409, openai(kind="invalid_request_error"), "conflict"),
    "5 context: OpenAI": (
        400,
        openai("context_length_exceeded", "invalid_request_error"),
        "context_overflow",
    ),
    "5 context: Anthropic": (
        400,
        anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        "context_overflow",
    ),
    "5 context: vLLM": (400, {"message": LONG, "type": "BadRequestError", "code": 400}, "context_overflow"),
    "5 context: 413": (413, anthropic("request_too_large"), "context_overflow"),
    "5 context: 413 of a proxy": (413, b"<html>Request Entity Too Large</html>", "context_overflow"),
    "6 content: OpenAI": (
        400,
        openai("content_policy_violation", "invalid_request_error"),
        "content_refused",
    ),
    "6 content: Azure": (
        400,
        {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        "content_refused",
    ),
    "6 content: Azure, inner only": (
        400,
        {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        "content_refused",
    ),
    "7 bad request: OpenAI": (400, openai(kind="invalid_request_error"), "bad_request"),
    "7 bad request: Anthropic": (400, anthropic("invalid_request_error"), "bad_request"),
    "7 bad request: 422": (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "bad_request"),
    "8 incompatible: parameter": (
        400,
        openai("unsupported_parameter", "invalid_request_error"),
        "incompatible",
    ),
    "8 incompatible: value": (400, openai("unsupported_value", "invalid_request_error"), "incompatible"),
    "9 quota: Anthropic balance": (400, anthropic("invalid_request_error", SPEND), "quota"),
    "9 quota: Anthropic limit": (400, anthropic("invalid_request_error", LIMITS), "quota"),
    "9 quota: 402": (402, anthropic("billing_error"), "quota"),
    "9 quota: 402 without a word": (402, b"", "quota"),
    "10 auth: 401 OpenAI": (401, openai("invalid_api_key", "invalid_request_error"), "upstream_auth"),
    "10 auth: 401 Anthropic": (401, anthropic("authentication_error"), "upstream_auth"),
    "10 auth: 403": (403, anthropic("permission_error"), "upstream_auth"),
    "10 auth: region": (
        403,
        openai("unsupported_country_region_territory", "request_forbidden"),
        "upstream_auth",
    ),
    "11 missing: OpenAI": (404, openai("model_not_found", "invalid_request_error"), "target_missing"),
    "11 missing: Azure": (404, {"error": {"code": "DeploymentNotFound", "message": "No."}}, "target_missing"),
    "11 missing: Anthropic": (404, anthropic("not_found_error", "model: claude-9"), "target_missing"),
    "11 missing: vLLM": (
        404,
        {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        "target_missing",
    ),
    "11 missing: Ollama": (
        404,
        openai(kind="api_error", message='model "m" not found, try pulling it first'),
        "target_missing",
    ),
    "11 missing: a wrong base_url": (404, {"detail": "Not Found"}, "target_missing"),
    "11 missing: no API at all": (404, b"<html>404</html>", "target_missing"),
    "12 rate: OpenAI": (429, openai("rate_limit_exceeded", "requests"), "rate_limited"),
    "12 rate: Anthropic": (429, anthropic("rate_limit_error"), "rate_limited"),
    "12 rate: Bedrock": (429, {"message": "Too many requests"}, "rate_limited"),
    "12 rate: Gemini": (429, google(429, "RESOURCE_EXHAUSTED"), "rate_limited"),
    "13 ramp: 429": (429, openai("slow_down"), "ramp_limited"),
    "13 ramp: Anthropic": (
        429,
        anthropic("rate_limit_error", error_code="ramp_limit_exceeded"),
        "ramp_limited",
    ),
    "13 ramp: 503": (503, openai("slow_down", "server_error"), "ramp_limited"),
    "15 failure: 500": (500, openai(kind="server_error"), "upstream_5xx"),
    "15 failure: Anthropic": (500, anthropic("api_error"), "upstream_5xx"),
    "15 failure: 502 of a proxy": (502, b"<html>Bad Gateway</html>", "upstream_5xx"),
    "15 failure: Bedrock": (424, {"message": "Model failed", "originalStatusCode": 500}, "upstream_5xx"),
    "16 overloaded: OpenAI": (503, openai("server_is_overloaded", "server_error"), "overloaded"),
    "16 overloaded: Gemini": (503, google(503, "UNAVAILABLE"), "overloaded"),
    "16 overloaded: nobody says": (503, b"", "overloaded"),
    "17 overloaded: 529": (529, anthropic("overloaded_error"), "overloaded"),
    "23 unknown": (418, b"", "bad_request"),
    "23 unknown: 404 of a file": (
        404,
        openai(kind="invalid_request_error", message="No such File object: file-1"),
        "bad_request",
    ),
    "a redirect is not followed": (307, b"", "bad_response"),
    "a status outside HTTP": (999, b"", "bad_response"),
}
QUOTA: Final = (
    openai("insufficient_quota", "insufficient_quota"),
    openai(kind="insufficient_quota"),
    openai("credit_balance_exhausted"),
    openai("organization_spend_limit_exceeded"),
    openai("project_spend_limit_exceeded"),
    openai("organization_usage_limit_exceeded"),
    anthropic("rate_limit_error", error_code="enforced_spend_limit_reached"),
    anthropic("rate_limit_error", error_code="contract_spend_limit_reached"),
    anthropic("rate_limit_error", error_code="linked_organization_spend_limit_reached"),
    google(429, "quota_exceeded"),
)


@pytest.mark.parametrize(("status", "body", "kind"), ROWS.values(), ids=ROWS.keys())
def test_refusals(status: int, body: object, kind: FaultKind) -> None:
    """An error answer has the kind in its row, for any vendor."""
    assert kind_of(status, body) == kind


@pytest.mark.parametrize(
    "body", QUOTA, ids=lambda body: str(body["error"].get("details") or body["error"]["code"])
)
def test_14_quota(body: dict[str, Any]) -> None:
    """A 429 for an exhausted budget is a matter of quota, not of rate."""
    assert kind_of(429, body) == "quota"


IN_BAND: Final[dict[str, tuple[object, FaultKind]]] = {
    "18 overloaded: Anthropic": (anthropic("overloaded_error")["error"], "overloaded"),
    "18 overloaded: OpenAI": (openai("server_is_overloaded", "server_error")["error"], "overloaded"),
    "18 overloaded: Gemini": (google(503, "UNAVAILABLE")["error"], "overloaded"),
    "18 rate": (anthropic("rate_limit_error")["error"], "rate_limited"),
    "18 quota": (openai("insufficient_quota")["error"], "quota"),
    "18 failure": (openai(kind="server_error")["error"], "upstream_5xx"),
    "18 failure: Anthropic": (anthropic("api_error")["error"], "upstream_5xx"),
    "18 by number": ({"code": 502, "message": "Upstream failed"}, "upstream_5xx"),
    "18 by number: rate": ({"code": 429, "message": "Slow down"}, "rate_limited"),
    "18 context": ({"message": LONG}, "context_overflow"),
    "18 content": (openai("content_filter")["error"], "content_refused"),
    "18 bad request": (anthropic("invalid_request_error")["error"], "bad_response"),
    "18 bad request by number": ({"code": 400, "message": "No."}, "bad_response"),
    "18 a word": ("overloaded", "overloaded"),
    "18 a sentence": ("Something went wrong.", "bad_response"),
    "18 nothing": ({}, "bad_response"),
    "18 none": (None, "bad_response"),
}


@pytest.mark.parametrize(("error", "kind"), IN_BAND.values(), ids=IN_BAND.keys())
def test_errors_under_a_200(error: object, kind: FaultKind) -> None:
    """An error in a 200 has the kind that it names, else bad response; another target may be tried."""
    fault = in_band(error)
    assert fault.kind == kind
    assert RULES[fault.kind].moves != "no"
    assert not is_callers(fault)


RESTS: Final = frozenset({"cooldown", "long_cooldown"})
WORDS: Final = (
    "insufficient_quota",
    "billing",
    SPEND,
    LIMITS,
    "model",
    "the model `x` does not exist",
    "model_not_found",
    "invalid_api_key",
    "rate_limit_exceeded",
    "quota exceeded",
)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "message", ["Unknown file: {}", "'{}' is not one of ['user', 'system']", "No such file: {}."]
)
def test_a_callers_words_rest_nobody(status: int, word: str, message: str) -> None:
    """Text of the caller that a provider repeats cannot put a target into a long cooldown."""
    body = openai(kind="invalid_request_error", message=message.format(word))
    assert RULES[kind_of(status, body)].health not in RESTS


@pytest.mark.parametrize("word", WORDS)
def test_a_callers_words_under_a_200_rest_nobody(word: str) -> None:
    """The same for an error in a stream."""
    fault = in_band({"type": "invalid_request_error", "code": 404, "message": f"No such file: {word}"})
    assert RULES[fault.kind].health not in RESTS


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("DeploymentNotFound", "DeploymentNotFound"),
        ("a-b.c_d9", "a-b.c_d9"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("two words", None),
        ("line\nbreak", None),
        ("\x1b[2J", None),
        ("${jndi:ldap}", None),
        ("schlüssel", None),
        ("", None),
        ("...", None),
        (429, None),
        (None, None),
    ],
)
def test_codes_are_plain_or_dropped(code: object, kept: str | None) -> None:
    """A provider's code is logged only if it is short and has no special characters."""
    assert refused(400, (), orjson.dumps({"error": {"code": code}})).code == kept
    assert in_band({"code": code}).code == kept


def test_the_next_plain_word_stands_in() -> None:
    """If the code is unusable, the type is used."""
    assert refused(500, (), orjson.dumps(openai(None, "server_error"))).code == "server_error"
    assert refused(500, (), orjson.dumps(openai("two words", "server_error"))).code == "server_error"


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "type", "status", "message", "details", "error_code", "innererror"]
            )
            | st.sampled_from(["retryDelay", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 999), JSON, st.binary(max_size=12))
@example(404, {"error": {"type": ["list"], "code": {}, "message": 7}}, b"")
@example(429, [{"error": {"details": [None, 3, {"retryDelay": 5}, {"retryDelay": "NaNs"}]}}], b"")
def test_hostile_bodies(status: int, value: object, wait: bytes) -> None:
    """Any error answer has a kind, and its delay is a valid number of seconds."""
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:  # a lone surrogate
        body = b"\xff"
    for fault in (refused(status, ((b"retry-after", wait),), body), in_band(value, status)):
        assert fault.kind in RULES
        assert fault.retry_after is None or 0 < fault.retry_after <= 300


@given(st.integers(300, 599), st.binary(max_size=200))
def test_bodies_that_are_no_json(status: int, body: bytes) -> None:
    """The body may be any bytes, or truncated."""
    assert refused(status, (), body).kind in RULES


@given(st.integers(0, 120))
def test_cut_bodies(at: int) -> None:
    """If the body is truncated, the status decides."""
    body = orjson.dumps(openai("rate_limit_exceeded", "requests"))[:at]
    assert refused(429, (), body).kind == "rate_limited"


def test_deep_bodies() -> None:
    """A body of many nested brackets counts as invalid JSON."""
    assert kind_of(500, b"[" * 100_000) == "upstream_5xx"
