"""Tests of the checks of a request, for the scopes of different servers."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.asgi import Scope
from standby.proxy.errors import Refusal
from standby.proxy.exchange import DEFAULT_MAX_BODY
from standby.proxy.http.request_checks import RequestChecks, examine

from tests.proxy.harness import scope_of

__all__: list[str] = []


def _entered(scope: Scope) -> RequestChecks:
    return examine(scope, DEFAULT_MAX_BODY)


def _refused(scope: Scope, max_body: int = DEFAULT_MAX_BODY) -> Refusal:
    with pytest.raises(Refusal) as refused:
        examine(scope, max_body)
    return refused.value


def test_pairs_may_be_lists_and_names_in_capitals() -> None:
    """Servers differ in the types of headers; the rules are the same."""
    headers: list[Any] = [[b"Host", b"a"], [b"content-type", b"application/json "], [b"X-Api-Key", b"k"]]

    arrival = _entered({**scope_of(), "headers": headers})
    assert arrival.headers == (
        (b"host", b"a"),
        (b"content-type", b"application/json"),
        (b"x-api-key", b"k"),
    )


@pytest.mark.parametrize("header", [(b"host", b"a "), (b"content-type", b"application/json\t")])
def test_blanks_around_a_usual_value_are_forgiven(header: tuple[bytes, bytes]) -> None:
    """Some parsers keep blanks around values and some remove them; the kept headers have none."""
    usual = {b"host": b"a", b"content-type": b"application/json", b"connection": b"close"}

    arrival = _entered({**scope_of(), "headers": list((usual | dict([header])).items())})

    assert dict(arrival.headers)[header[0]] == header[1].strip()
    assert b"connection" not in dict(arrival.headers)


def test_usual_pairs_may_be_lists() -> None:
    """The kept headers are immutable."""
    headers = [[b"host", b"a"], [b"connection", b"close"], [b"content-type", b"application/json"]]

    arrival = _entered({**scope_of(), "headers": headers})

    assert arrival.headers == ((b"host", b"a"), (b"content-type", b"application/json"))


def test_judging_changes_nothing() -> None:
    """The headers in the scope are not modified."""
    headers = [(b"host", b"a"), (b"connection", b"close"), (b"content-type", b"application/json")]
    scope = {**scope_of(), "headers": headers}
    before = list(headers)

    _entered(scope)

    assert scope["headers"] is headers
    assert headers == before


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param("/v1/chat/completions", {"raw_path": None}, id="no-raw-path"),
        pytest.param("/llm/v1/chat/completions", {"root_path": "/llm"}, id="mounted"),
        pytest.param(
            "/\xe9/v1/chat/completions",
            {"root_path": "/\xe9", "raw_path": b"/%c3%a9/v1/chat/completions"},
            id="mounted-beyond-ascii",
        ),
        pytest.param("/v1/chat/completions", {"root_path": "/llm"}, id="stripped-by-a-proxy"),
    ],
)
def test_the_path_is_read_from_where_we_are_mounted(path: str, more: dict[str, Any]) -> None:
    """The mount point's part of the path is ignored, in any notation."""
    arrival = _entered({**scope_of(), "path": path, "raw_path": path.encode("utf-8"), **more})

    assert arrival.path == "/v1/chat/completions"
    assert arrival.operation is not None


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param("/v1/chat/completions", {"raw_path": b"/v1/%63hat/completions"}, id="B20-encoded"),
        pytest.param("/v1/chat/completions", {"raw_path": b"/llm%2fv1/chat/completions"}, id="B20-slash"),
        pytest.param("/llm", {"root_path": "/llm"}, id="B20-the-mount-itself"),
        pytest.param("/llmv1/chat/completions", {"root_path": "/llm"}, id="B20-no-boundary"),
        pytest.param("/llm//v1/chat/completions", {"root_path": "/llm"}, id="B20-two-slashes"),
        pytest.param("/v1/models/\u2028", {}, id="B20-beyond-ascii"),
        pytest.param("/v1/models/\ud800", {"raw_path": b"/v1/models/\x80"}, id="B20-no-text"),
    ],
)
def test_what_only_looks_like_a_path_of_ours_is_none(path: str, more: dict[str, Any]) -> None:
    """A path that equals a known one only after decoding, or by accident, does not exist."""
    scope = {**scope_of(), "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), **more}

    assert _refused(scope).code == "unknown_route"


@pytest.mark.parametrize("path", ["http://evil.example/v1/models", "evil.example:443", "*", ""])
def test_a_target_that_is_no_path_is_malformed(path: str) -> None:
    """B6: h11 passes on the absolute form and the form of CONNECT as if they were paths."""
    scope = {**scope_of(method="GET"), "path": path, "raw_path": path.encode()}

    assert _refused(scope).code == "malformed_request"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", b"POST"),
        ("OPTIONS", "/v1/messages", b"POST"),
        ("POST", "/v1/models", b"GET, HEAD"),
        ("DELETE", "/v1/models/a", b"GET, HEAD"),
        ("POST", "/healthz", b"GET, HEAD"),
        ("CONNECT", "/readyz", b"GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: bytes) -> None:
    """B6, B49: a 405 has the allowed methods, and no CORS headers."""
    refusal = _refused(scope_of(path, method=method))

    assert (refusal.code, refusal.headers) == ("method_not_allowed", ((b"allow", allowed),))


@pytest.mark.parametrize(
    ("headers", "version", "code"),
    [
        pytest.param(
            [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")],
            "1.1",
            "ambiguous_framing",
            id="B1",
        ),
        pytest.param([(b"content-length", b"2")] * 2, "1.1", "ambiguous_framing", id="B2"),
        pytest.param([(b"content-length", b"\xb2")], "1.1", "ambiguous_framing", id="B2-superscript"),
        pytest.param([(b"transfer-encoding", b"chunked")], "1.0", "ambiguous_framing", id="B3"),
        pytest.param([(b"x-a", b"a\x01b")], "1.1", "malformed_request", id="B4-control"),
        pytest.param([(b"user-agent", b"a\r\nb")], "1.1", "malformed_request", id="B4-line"),
        pytest.param([(b"connection", b"\x7f")], "1.1", "malformed_request", id="B4-in-a-dropped-one"),
        pytest.param([(b"host", b"standby.test")], "1.1", "bad_host", id="B5"),
        pytest.param([(b"x-a", b"b")] * 99, "1.1", "headers_too_large", id="B9"),
    ],
)
def test_what_a_parser_let_through_is_refused_and_the_connection_closed(
    headers: list[tuple[bytes, bytes]], version: str, code: str
) -> None:
    """If the framing is ambiguous, the connection is closed."""
    refusal = _refused(scope_of(headers=headers, http_version=version))

    assert refusal.code == code
    assert refusal.close


@pytest.mark.parametrize("key", [b"a\x00b", b"a\r\nb: c", b"a\x7f"])
def test_a_key_of_control_characters_is_no_header(key: bytes) -> None:
    """B16: it is refused whether somebody reads it or not."""
    assert _refused(scope_of(headers=[(b"x-api-key", key)])).code == "malformed_request"


@pytest.mark.parametrize("raw", [b"/v1/models/org%2Fname", b"/llm/v1/models/org%2fn%61me"])
def test_the_name_of_a_model_may_be_encoded(raw: bytes) -> None:
    """SDKs encode the slash in a model's name; nothing else of a path may be encoded."""
    scope = {**scope_of("/v1/models/org/name", method="GET"), "raw_path": raw}
    assert _entered(scope).path == "/v1/models/org/name"
    for target in (b"/v1%2Fmodels/org/name", b"/v1/models/org%2Fnam", b"/v1/models/org%252Fname"):
        assert _refused({**scope, "raw_path": target}).code == "unknown_route"
    up = {
        **scope,
        "path": "/v1/models/../chat/completions",
        "raw_path": b"/v1/models/%2e%2e/chat/completions",
    }
    assert _refused(up).code == "unknown_route"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/openai/v1/responses", "/v1/responses"),
        ("/models", "/v1/models"),
        ("/v1/completions", None),
        ("/admin", None),
    ],
)
def test_what_to_call(path: str, meant: str | None) -> None:
    """Where a base URL lacks `/v1` or has it twice, the message says what to call."""
    message = _refused(scope_of(path)).message
    assert message == ("There is no such path." if meant is None else f"There is no such path: call {meant}.")


def test_a_body_announced_too_large_is_refused() -> None:
    """B10: the limit itself is allowed, one byte more is not, even if the client is sending already."""
    assert examine(scope_of(headers=[(b"content-length", b"100")]), 100)

    refusal = _refused(scope_of(headers=[(b"content-length", b"101")]), 100)

    assert (refusal.code, refusal.close) == ("body_too_large", True)
