"""The format of a refusal in each dialect, and how the official SDKs parse it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.errors import CODES, Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.http.refusal import render
from standby.proxy.http.request_checks import USUAL
from standby.proxy.server import ServerLimits

from tests.proxy.server.wire import Served, serving

__all__: list[str] = []

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_openais_error_has_openais_shape(code: str) -> None:
    """The error has message with its detail, type, code, param and request id."""
    status, headers, body = render(Refusal(code, param="model", detail="gpt\n5"), "req_1", "openai")

    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    assert status == CODES[code].status
    assert json.loads(body) == {
        "error": {
            "message": f"{CODES[code].message[:-1]}: gpt?5.",
            "type": kind,
            "code": code,
            "param": "model",
            "request_id": "req_1",
        }
    }
    assert dict(headers)[b"content-type"] == b"application/json"
    assert dict(headers)[b"content-length"] == b"%d" % len(body)


@pytest.mark.parametrize("code", sorted(CODES))
def test_anthropics_error_has_anthropics_shape(code: str) -> None:
    """The error has one of Anthropic's types, the gateway's code, and the request id."""
    status, headers, body = render(Refusal(code), "req_1", "anthropic")

    kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    assert json.loads(body) == {
        "type": "error",
        "error": {"message": CODES[code].message, "type": kind, "code": code},
        "request_id": "req_1",
    }
    assert (b"request-id", b"req_1") in headers


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "rate_limit_error"), (402, None), (403, "permission_error")]
)
def test_a_status_of_its_own_brings_its_type(status: int, kind: str | None) -> None:
    """The type depends on the status that is sent, not on that of the code."""
    for dialect, types in (("openai", _OPENAI_TYPES), ("anthropic", _ANTHROPIC_TYPES)):
        sent, _, body = render(Refusal("all_attempts_failed", status=status), "req_1", dialect)
        assert sent == status
        assert json.loads(body)["error"]["type"] == (kind or types[status])


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_the_attempts_stand_within_the_error(dialect: str) -> None:
    """The attempts are part of the error object, and absent if there were none."""
    attempts = [{"target": "a", "fault": "connect"}, {"target": "b", "fault": "rate_limited"}]

    with_attempts = json.loads(render(Refusal("all_attempts_failed"), "req_1", dialect, attempts)[2])
    without = json.loads(render(Refusal("all_attempts_failed"), "req_1", dialect)[2])

    assert with_attempts["error"].pop("attempts") == attempts
    assert with_attempts == without


def test_an_answer_says_whether_to_retry() -> None:
    """`x-should-retry: false` is set unless the refusal is retryable, and Retry-After is rounded up."""
    plain = dict(render(Refusal("no_target_available"), "req_1", "openai")[1])
    later = dict(render(Refusal("no_target_available", retry_after=1.2345), "req_1", "openai")[1])
    again = dict(render(Refusal("overloaded", retryable=True), "req_1", "openai")[1])

    assert plain[b"x-should-retry"] == b"false"
    assert b"retry-after" not in plain
    assert (later[b"retry-after"], later[b"retry-after-ms"]) == (b"2", b"1235")
    assert b"x-should-retry" not in again


def test_a_refusals_own_headers_are_added() -> None:
    """The refusal's own headers and `close` become headers."""
    refusal = Refusal("method_not_allowed", close=True, headers=[(b"allow", b"POST")])

    headers = dict(render(refusal, "req_1", "openai")[1])

    assert (headers[b"connection"], headers[b"allow"]) == (b"close", b"POST")


@pytest.fixture(scope="module", params=["httptools", "h11"])
def front(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server whose app raises the refusals of the tests."""
    with serving(request.param, ServerLimits(linger_seconds=10.0)) as served:
        yield served


def _openai(front: Served) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-mine", base_url=f"http://127.0.0.1:{front.port}/v1")


def _anthropic(front: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-mine", base_url=f"http://127.0.0.1:{front.port}")


def _refusing(front: Served, refusal: Refusal) -> list[str]:
    """Make the app raise this refusal. Returns the list that gets the ids of its requests."""
    ids: list[str] = []

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        ids.append(Exchange.of(scope).id)
        raise refusal

    front.recorder.instead = refuse
    return ids


_STATUSES = [
    ("invalid_value", None),
    ("invalid_api_key", None),
    ("unknown_model", None),
    ("request_timeout", None),
    ("body_too_large", None),
    ("unsupported_media_type", None),
    ("internal_error", None),
    ("all_attempts_failed", None),
    ("all_attempts_failed", 429),
    ("all_attempts_failed", 529),
    ("no_target_available", None),
    ("deadline_exceeded", None),
]


@pytest.mark.parametrize(("code", "status"), _STATUSES)
def test_the_openai_sdk_understands(front: Served, code: str, status: int | None) -> None:
    """Its exception has the code, type, param, status and request id, and it sends one request only."""
    refusal = Refusal(code, status=status, param="model")
    ids = _refusing(front, refusal)
    with _openai(front) as client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="a", messages=[{"role": "user", "content": "Hi"}])

    error = raised.value
    kind = json.loads(render(refusal, "", "openai")[2])["error"]["type"]
    assert (error.code, error.type, error.param, error.status_code) == (code, kind, "model", refusal.status)
    assert [error.request_id] == ids


@pytest.mark.parametrize(("code", "status"), _STATUSES)
def test_the_anthropic_sdk_understands(front: Served, code: str, status: int | None) -> None:
    """Its exception has the type, status, request id and code, and it sends one request only."""
    refusal = Refusal(code, status=status)
    ids = _refusing(front, refusal)
    with _anthropic(front) as client, pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model="a", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])

    error = raised.value
    body: Any = error.body
    kind = json.loads(render(refusal, "", "anthropic")[2])["error"]["type"]
    assert (error.type, error.status_code, body["error"]["code"]) == (kind, refusal.status, code)
    assert [error.request_id] == ids


def test_the_sdks_understand_the_server_too(front: Served) -> None:
    """A refusal before parsing has the same format as every other one."""
    oversized = {"x-a": "b" * 70_000}
    with _openai(front) as client, pytest.raises(openai.APIStatusError) as from_openai:
        client.embeddings.create(model="a", input="Hi", extra_headers=oversized)
    with _anthropic(front) as claude, pytest.raises(anthropic.APIStatusError) as from_anthropic:
        claude.messages.count_tokens(
            model="a", messages=[{"role": "user", "content": "Hi"}], extra_headers=oversized
        )

    assert (from_openai.value.code, from_openai.value.status_code) == ("headers_too_large", 431)
    assert (from_anthropic.value.type, from_anthropic.value.status_code) == ("invalid_request_error", 431)
    for error in (from_openai.value, from_anthropic.value):
        assert (error.request_id or "").startswith("req_")


@pytest.mark.anyio
async def test_the_sdks_can_read_why_an_upload_was_refused(front: Served) -> None:
    """B10: a large upload gets its 413 and not a broken connection, with both kinds of client."""
    front.recorder.forget()
    base = f"http://127.0.0.1:{front.port}/v1"
    large = "a" * 33 * 1024 * 1024
    with (
        openai.OpenAI(api_key="sk-mine", base_url=base, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as blocking,
    ):
        client.embeddings.create(model="a", input=large)
    async with openai.AsyncOpenAI(api_key="sk-mine", base_url=base, max_retries=0) as waiting:
        with pytest.raises(openai.APIStatusError) as asynchronous:
            await waiting.embeddings.create(model="a", input=large)

    assert (blocking.value.status_code, blocking.value.code) == (413, "body_too_large")
    assert (asynchronous.value.status_code, asynchronous.value.code) == (413, "body_too_large")
    assert front.recorder.arrived == []


def test_what_the_sdks_send_goes_the_short_way(front: Served) -> None:
    """The usual headers of both SDKs are in USUAL and reach the app unchanged."""
    seen: list[set[bytes]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({name for name, _ in scope["headers"]})
        raise Refusal("unknown_model")

    front.recorder.instead = noting
    with _openai(front) as client:
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("a")
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="a", input="Hi")
    with _anthropic(front) as claude, pytest.raises(anthropic.NotFoundError):
        claude.beta.messages.create(
            model="a", max_tokens=1, messages=[{"role": "user", "content": "Hi"}], betas=["a"]
        )

    assert set().union(*seen) <= USUAL
