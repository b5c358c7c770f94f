"""Who calls cannot be confused, and a store that fails is no wrong key."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.keys.credentials import digests
from standby.proxy.stores.records import KeyRecord

from tests.acceptance.clients import APIS, CHAT, Api
from tests.acceptance.identity import FREE, NARROW, AuthSetup, auth_setup
from tests.acceptance.serving import Front, bound
from tests.proxy.rehearsal.caller import Answer

__all__ = ["parsed"]

pytestmark = pytest.mark.anyio

STORED: Final = "sk-standby-canary-stored"


@pytest.fixture
async def parsed(parsed_front: Front) -> AsyncIterator[AuthSetup]:
    """A gateway that asks for keys, under either parser."""
    async with auth_setup(parsed_front) as stage:
        yield stage


async def send(
    stage: AuthSetup, *lines: bytes, target: bytes = CHAT.path.encode(), host: bytes = b""
) -> Answer:
    """What comes back for a request that is well-formed but for these lines."""
    body = json.dumps(CHAT.asking(stream=False)).encode()
    usual = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
    head = [b"POST " + target + b" HTTP/1.1", host or b"host: gateway.example", *usual, *lines]
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.front.port)
    try:
        writer.write(b"\r\n".join((*head, b"", body)))
        return Answer(await reader.read(), reset=False)
    finally:
        writer.close()


def key(secret: str = FREE) -> bytes:
    """The line with a good key."""
    return b"authorization: Bearer " + secret.encode()


async def test_the_good_key_opens(parsed: AuthSetup) -> None:
    """What the tricks are tried on is a good request, and without its key it is none."""
    assert (await send(parsed, key())).status == 200
    answer = await send(parsed)
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/v1/chat/completions", b"host: x/#@y"),
        (b"/v1/chat/completions", b"host: gateway.example/healthz?"),
        (b"/v1/chat/completions", b"host: localhost:4000/#@x"),
        (b"@gateway.example", b""),
        (b"@healthz", b""),
        (b"/healthz/../v1/chat/completions", b""),
        (b"/healthz%2f..%2fv1/chat/completions", b""),
        (b"//healthz/v1/chat/completions", b""),
        (b"/v1/chat/completions#/healthz", b""),
        (b"/v1/chat/completions;/healthz", b""),
        (b"http://gateway.example/healthz", b""),
    ],
)
@pytest.mark.parametrize("shown", [True, False], ids=["with a key", "without"])
async def test_no_trick_of_host_or_path_leads_past(
    parsed: AuthSetup, target: bytes, host: bytes, shown: bool
) -> None:
    """What is decided goes by the path of the request line, byte for byte; the tricks are refused as such."""
    answer = await send(parsed, *((key(),) if shown else ()), target=target, host=host)
    assert answer.status in {400, 401, 404, 405}
    assert parsed.alpha.accepted == parsed.beta.accepted == 0


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ((b'authorization: Bearer "' + FREE.encode() + b'"',), 401, "invalid_api_key"),
        ((b"authorization: Bearer '" + FREE.encode() + b"' OR 1=1--",), 401, "invalid_api_key"),
        ((b"authorization: Bearer ' OR '1'='1",), 401, "invalid_api_key"),
        ((b"authorization: Bearer \xff\xfe",), 401, "invalid_api_key"),
        ((b"authorization: Bearer " + b"k" * 10_240,), 401, "invalid_api_key"),
        ((b"authorization: Bearer " + FREE[:-1].encode(),), 401, "invalid_api_key"),
        ((b"authorization: Bearer " + FREE.encode() + b"x",), 401, "invalid_api_key"),
        ((b"authorization: Bearer " + digests(FREE)[0].encode(),), 401, "invalid_api_key"),
        ((b"authorization: Basic " + FREE.encode(),), 401, "invalid_api_key"),
        ((b"x_api_key: " + FREE.encode(),), 401, "invalid_api_key"),
        ((b"x-standby-key: " + FREE.encode(),), 401, "invalid_api_key"),
        ((b"cookie: key=" + FREE.encode(),), 401, "invalid_api_key"),
        ((key(), b"x-api-key: " + NARROW.encode()), 400, "ambiguous_credentials"),
        ((key(), key(NARROW)), 400, "ambiguous_credentials"),
        ((key(), b"connection: authorization"), 400, "invalid_header"),
        ((key(NARROW), b"x-api-key: "), 401, "invalid_api_key"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_a_key_is_that_key_or_none(
    parsed: AuthSetup, lines: tuple[bytes, ...], status: int, code: str
) -> None:
    """Nothing like it, nothing about it, nothing elsewhere, and not one of two."""
    answer = await send(parsed, *lines)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert parsed.alpha.accepted == parsed.beta.accepted == 0
    assert b"canary" not in answer.raw


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_nothing_is_read_of_a_request_without_a_key(front: Front, api: Api) -> None:
    """A stranger's document is not judged: every one gets the same answer."""
    async with auth_setup(front) as stage:
        for document in ({}, {"model": "gpt"}, {"model": "secret", "messages": 5}):
            answer = await stage.raw.post(api, document)
            assert (answer.status, b"invalid_api_key" in answer.body) == (401, True)


@asynccontextmanager
async def frozen() -> AsyncGenerator[int]:
    """A server that accepts and stays silent; its port."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()


@pytest.mark.parametrize("down", ["closed", "frozen"])
async def test_a_store_that_fails_is_no_wrong_key(
    front: Front, caplog: pytest.LogCaptureFixture, down: str
) -> None:
    """503, closed or silent, for every key that it alone could know; the keys of the file work."""
    caplog.set_level(logging.DEBUG)
    async with frozen() as silent:
        with bound() as closed:
            port = closed.getsockname()[1] if down == "closed" else silent
            async with auth_setup(front, store=f"redis://127.0.0.1:{port}/0", first_token="30s") as stage:
                for _ in range(8):  # with the store's breaker closed, and then open
                    answer = await stage.raw.ask(CHAT, headers={"x-api-key": STORED})
                    assert (answer.status, b"auth_unavailable" in answer.body) == (503, True)
                    assert answer.header("retry-after") == "1"
                assert stage.alpha.accepted == 0
                assert (await stage.raw.ask(CHAT, headers={"x-api-key": FREE})).status == 200
                assert (await stage.raw.ask(CHAT)).status == 401
    ours = [record for record in caplog.records if record.name.startswith("standby")]
    assert "canary" not in str([record.getMessage() for record in ours])


async def test_no_file_of_the_store_holds_a_secret(front: Front, tmp_path: Path) -> None:
    """What is written about a key that is used is its hash, its name, and what it took."""
    path = tmp_path / "keys.db"
    async with auth_setup(front, store=f"sqlite:///{path}", first_token="30s") as stage:
        store = stage.gateway.store
        assert store is not None
        await store.put_key(
            KeyRecord(name="stored", hashes={digests(STORED)[0]: None}, table={"pools": ["gpt"]})
        )
        assert (await stage.raw.ask(CHAT, headers={"x-api-key": STORED})).status == 200
    assert [file.name for file in tmp_path.iterdir() if b"canary" in file.read_bytes()] == []  # noqa: ASYNC240
