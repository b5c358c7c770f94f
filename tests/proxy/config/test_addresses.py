"""Tests of provider addresses and of static headers."""

from __future__ import annotations

import json

import pytest
from standby.proxy.config import Provider, parse_routes

from .documents import ENVIRON, ROUTES, problems_in

__all__: list[str] = []


def provider(base_url: str, extra: str = "") -> str:
    """A configuration whose first provider has this `base_url` (line 3), with more keys on line 4."""
    text = ROUTES.replace('"https://openai.example/v1"', json.dumps(base_url))
    return text.replace('key = "env:OPENAI_KEY"', extra)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://api.example/v1", "https://api.example/v1"),
        ("https://api.example/v1/", "https://api.example/v1"),
        ("https://api.example", "https://api.example"),
        ("https://api.example:8443/a/b", "https://api.example:8443/a/b"),
        ("https://10.0.0.1/v1", "https://10.0.0.1/v1"),
        ("https://[2001:db8::1]:8443/v1", "https://[2001:db8::1]:8443/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://models.localhost/v1", "http://models.localhost/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_leads_to_a_provider(written: str, kept: str) -> None:
    """TLS to any host, or plain http to this machine, with or without port and path."""
    routes = parse_routes(provider(written), environ=dict(ENVIRON))
    assert routes.providers["openai"].base_url == kept


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "not a URL"),
        ("api.example/v1", "not an http or https URL"),
        ("//api.example", "not an http or https URL"),
        ("ftp://api.example", "not an http or https URL"),
        ("https:api.example", "malformed"),
        ("https://", "malformed"),
        ("https://:8000", "malformed"),
        ("https://api.example:", "malformed"),
        ("https://api.example:0/v1", "malformed"),
        ("https://api.example:99999", "malformed"),
        ("https://api.example:x", "malformed"),
        ("https://[::1", "malformed"),
        ("https://[fe80::1%25eth0]/", "malformed"),
        ("https://[nonsense]/", "malformed"),
        ("https://api!example/", "malformed"),
        ("https://user:hunter2@api.example", "must not hold credentials"),
        ("https://hunter2@api.example", "must not hold credentials"),
        ("https://api.example/v1?a=hunter2", "no query"),
        ("https://api.example/v1?", "no query"),
        ("https://api.example/v1#a", "no query and no fragment"),
        ("https://api.example/v1/..", 'no "." or ".."'),
        ("https://api.example/%2E./v1", 'no "." or ".."'),
        ("https://api.example/v1 ", "not a URL"),
        ("https://api.example\\v1", "not a URL"),
        ("https://api.example/v1\r\nx: 1", "not a URL"),
        ("https://modèle.example", "not a URL"),
        ("http://api.example/v1", "plain http"),
        ("http://10.0.0.1/v1", "plain http"),
        ("http://localhost.example/v1", "plain http"),
        ("http://0.0.0.0/v1", "plain http"),
    ],
)
def test_what_leads_elsewhere_is_refused(written: str, reason: str) -> None:
    """The message has the reason and never the URL, which may contain a password."""
    [problem] = problems_in(provider(written))
    assert problem.startswith("routes.toml:3: providers.openai.base_url: ")
    assert reason in problem
    assert "hunter2" not in problem


def test_plain_http_to_a_network_is_a_decision() -> None:
    """`insecure = true` allows plain http to other hosts."""
    assert problems_in(provider("http://vllm.internal:8000/v1", "insecure = true")) == []
    [problem] = problems_in(provider("http://vllm.internal:8000/v1", "insecure = false"))
    assert problem.endswith("; use https, or set insecure = true if the network between is yours")


def test_static_headers_are_kept_in_lower_case() -> None:
    """Header names are case-insensitive, also for duplicates."""
    text = provider("https://a.example", 'headers = { OpenAI-Project = "p 1", x-team = "" }')
    headers = parse_routes(text, environ=dict(ENVIRON)).providers["openai"].headers
    assert dict(headers) == {"openai-project": "p 1", "x-team": ""}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("a b", "1", "not a header name"),
        ("", "1", "not a header name"),
        ("a:", "1", "not a header name"),
        ("é", "1", "not a header name"),
        ("Authorization", "Bearer hunter2", "a credential is not a static header"),
        ("x-api-key", "hunter2", "a credential is not a static header"),
        ("Content-Length", "1", "the gateway's own"),
        ("transfer-encoding", "chunked", "the gateway's own"),
        ("Host", "a", "the gateway's own"),
        ("accept-encoding", "gzip", "the gateway's own"),
        ("X-Standby-Target", "a", "the gateway's own"),
        ("x-a", "1\r\nx-b: hunter2", "a header value is"),
        ("x-a", "hunter2\0", "a header value is"),
        ("x-a", " hunter2", "a header value is"),
        ("x-a", "hunter2é", "a header value is"),
    ],
)
def test_a_header_the_gateway_cannot_send_is_refused(name: str, value: str, reason: str) -> None:
    """Malformed names and values, credentials and framing headers are reported; no value is repeated."""
    text = provider("https://a.example", f"headers = {{ {json.dumps(name)} = {json.dumps(value)} }}")
    [problem] = problems_in(text)
    assert problem.startswith("routes.toml:4: providers.openai.headers.")
    assert reason in problem
    assert "hunter2" not in problem


def test_a_header_is_given_once() -> None:
    """Two spellings of one name are one header."""
    [problem] = problems_in(provider("https://a.example", 'headers = { x-team = "a", X-Team = "b" }'))
    assert problem == "routes.toml:4: providers.openai.headers.X-Team: this header is given twice"


def test_headers_are_text() -> None:
    """A number is not a header value."""
    [problem] = problems_in(provider("https://a.example", "headers = { x-team = 1 }"))
    assert problem == "routes.toml:4: providers.openai.headers.x-team: must be text"


def test_headers_never_change() -> None:
    """The checked headers are the ones that are sent."""
    made = Provider(name="a", dialect="openai", base_url="https://a.example", headers={"X-A": "1"})
    with pytest.raises(TypeError):
        made.headers["x-b"] = "2"  # type: ignore[index]
