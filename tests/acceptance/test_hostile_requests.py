"""Requests that would be another's, or go elsewhere: refused under both parsers, and nobody is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.acceptance.clients import CHAT, MESSAGES
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front
from tests.proxy.rehearsal.caller import Answer

__all__ = ["parsed"]

pytestmark = pytest.mark.anyio

TARGET: Final = CHAT.path.encode()
LONG: Final = b"k" * 10_240


@pytest.fixture
async def parsed(parsed_front: Front) -> AsyncIterator[Scene]:
    """A gateway with alpha before beta, under either parser."""
    async with scene(parsed_front) as set_up:
        yield set_up


async def send(
    stage: Scene,
    *lines: bytes,
    method: bytes = b"POST",
    target: bytes = TARGET,
    host: bytes | None = b"host: gateway.example",
) -> Answer:
    """What comes back for a request that is well-formed but for these lines."""
    body = json.dumps(CHAT.asking(stream=False)).encode()
    usual = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
    head = [method + b" " + target + b" HTTP/1.1", *([host] if host is not None else []), *usual, *lines]
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.front.port)
    try:
        writer.write(b"\r\n".join((*head, b"", body)))
        return Answer(await reader.read(), reset=False)
    finally:
        writer.close()


def refused(stage: Scene, answer: Answer, status: int, code: str) -> None:
    """The refusal is whole and documented, and no provider has seen a byte."""
    assert (answer.status, answer.whole) == (status, True), answer.raw
    error = answer.json["error"]
    assert (error["code"], set(error)) == (code, {"message", "type", "code", "param", "request_id"})
    headers = answer.headers or {}
    assert headers["x-standby-request-id"] == error["request_id"]
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"
    assert stage.alpha.accepted == stage.beta.accepted == 0


async def test_the_plain_request_is_answered(parsed: Scene) -> None:
    """What the tricks are tried on is a good request."""
    assert (await send(parsed)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        b"host:",
        b"host: x/#@y",
        b"host: x/../y",
        b"host: x?y",
        b"host: evil@gateway.example",
        b"host: gateway.example, evil",
        b"host: gateway.example evil",
        b"host: http://evil/",
        b"host: gateway.example:80:80",
        b"host: gateway.example:http",
        b"host: [::1",
        b"host: ga\xffteway",
        b"host: gateway.example\r\nhost: evil",
        b"host: gateway.example\r\nhost: gateway.example",
        b"host: %67ateway",
    ],
)
async def test_a_host_that_is_none(parsed: Scene, host: bytes | None) -> None:
    """There is exactly one host, and it is nothing but a host."""
    refused(parsed, await send(parsed, host=host), 400, "bad_host")


@pytest.mark.parametrize(
    "target",
    [
        b"@gateway.example",
        b"@gateway.example/v1/chat/completions",
        b"gateway.example",
        b"v1/chat/completions",
        b"http://evil/v1/chat/completions",
        b"http://gateway.example/v1/chat/completions",
        b"https://evil@gateway.example/v1/chat/completions",
        b"*",
    ],
)
async def test_a_target_that_is_no_path(parsed: Scene, target: bytes) -> None:
    """What is asked for begins with a slash: no host, no user, no scheme is read out of it."""
    refused(parsed, await send(parsed, target=target), 400, "malformed_request")


@pytest.mark.parametrize(
    "target",
    [
        b"//evil/v1/chat/completions",
        b"//v1/chat/completions",
        b"/v1//chat/completions",
        b"/v1/chat/completions/",
        b"/v1/chat/completions/.",
        b"/v1/x/../chat/completions",
        b"/v1/./chat/completions",
        b"/v1/chat/completions/../../admin",
        b"/V1/chat/completions",
        b"/v1/chat/completions;x=1",
        b"/v1\\chat\\completions",
        b"/%761/chat/completions",
        b"/v1%2fchat/completions",
        b"/v1/%2e%2e/v1/chat/completions",
        b"/v1/chat/completions%00",
        b"/v1/chat/completions%20",
        b"/v1/chat/completions%3fx",
        b"/%2576%31/chat/completions",
        b"/openai/v1/chat/completions",
        b"/http://evil/",
        b"/@evil/v1/chat/completions",
    ],
)
async def test_a_path_that_only_looks_like_ours(parsed: Scene, target: bytes) -> None:
    """A path is one of ours byte for byte, or there is no such path."""
    refused(parsed, await send(parsed, target=target), 404, "unknown_route")


@pytest.mark.parametrize(
    "query",
    [b"api_base=http://evil", b"key=of-somebody", b"model=other", b"x", b"&", b"beta=true", b"%62eta=1"],
)
async def test_a_query_chooses_nothing(parsed: Scene, query: bytes) -> None:
    """Query parameters are ignored, and reach no provider."""
    assert (await send(parsed, target=TARGET + b"?" + query)).status == 200
    assert parsed.alpha.requests[-1].path == CHAT.path


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"HEAD"])
async def test_another_method(parsed: Scene, method: bytes) -> None:
    """A path says which method it takes."""
    answer = await send(parsed, method=method)

    assert answer.status == 405
    assert (answer.headers or {})["allow"] == "POST"
    if method != b"HEAD":
        refused(parsed, answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "line",
    [
        b"authorization: Bearer",
        b"authorization: Bearer ",
        b'authorization: Bearer "a key"',
        b"authorization: Bearer one two",
        b"authorization: Basic a2V5",
        b"authorization: key",
        b"authorization: Bearer \xff\xfe\x80",
        b"authorization: Bearer caf\xc3\xa9",
        b"authorization: Bearer " + LONG,
        b"x-api-key: \xff",
        b"x-api-key: " + LONG,
        b"x-goog-api-key: two words",
    ],
    ids=lambda line: repr(line[:40]),
)
async def test_a_key_that_nobody_reads(parsed: Scene, line: bytes) -> None:
    """Without `auth` in the stack an odd credential is no error, and reaches no provider."""
    assert (await send(parsed, line)).status == 200
    secret = line.partition(b": ")[2].removeprefix(b"Bearer ")
    assert not secret or secret not in [value for _, value in parsed.alpha.requests[-1].headers]


async def test_a_key_in_the_trailers(parsed: Scene) -> None:
    """What comes after the body never counts: it reaches nobody."""
    body = json.dumps(CHAT.asking(stream=False)).encode()
    head = [
        b"POST " + TARGET + b" HTTP/1.1",
        b"host: gateway.example",
        b"content-type: application/json",
        b"transfer-encoding: chunked",
        b"connection: close",
    ]
    chunks = b"%x\r\n%b\r\n0\r\nauthorization: Bearer two\r\nuser-agent: late\r\n\r\n" % (len(body), body)
    reader, writer = await asyncio.open_connection("127.0.0.1", parsed.front.port)
    writer.write(b"\r\n".join((*head, b"", chunks)))
    answer = Answer(await reader.read(), reset=False)
    writer.close()

    assert answer.status == 200
    (received,) = parsed.alpha.requests
    assert received.header("authorization") == "Bearer secret-of-alpha"
    assert received.header("user-agent") is None


async def test_a_refusal_speaks_the_callers_dialect(parsed: Scene) -> None:
    """Who speaks Anthropic's dialect is refused in it, also where nothing is found."""
    version_header = b"anthropic-version: 2023-06-01"
    for answer in (
        await send(parsed, version_header, target=b"/v1/nothing"),
        await send(parsed, target=MESSAGES.path.encode(), host=b"host: x/#@y"),
    ):
        assert answer.json["type"] == "error"
        assert answer.json["error"]["code"] in {"unknown_route", "bad_host"}
        assert answer.json["request_id"] == (answer.headers or {})["request-id"]
