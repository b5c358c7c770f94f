"""The bytes of a request as they leave over the gateway's own connections."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import pytest
from standby.proxy.asgi import Headers
from standby.proxy.config import Timeouts, parse_routes
from standby.proxy.upstream.timeouts import AttemptTimeouts
from standby.proxy.upstream.transports import Transports, Unreachable

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

BODY: Final = b'{"model": "m"}'
OWN: Final = 'query = { api = "2.0" }\nheaders = { X-Team = "llm" }'
CALLER: Final = ((b"user-agent", b"sdk"), (b"cookie", b"the caller's"), (b"content-length", b"99"))


class Recording:
    """A provider that answers requests with a BODY, two on each connection, and keeps their bytes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            try:
                self.received.append(await reader.readuntil(b"\r\n\r\n" + BODY))
            except asyncio.IncompleteReadError:
                break
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole")
        writer.close()


async def sent(*callers: Headers) -> tuple[list[bytes], int]:
    """What a provider receives, a request with the headers of each caller; and the provider's port."""
    recording, transports = Recording(), Transports()
    async with await asyncio.start_server(recording, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        routes = routes_to(f"http://127.0.0.1:{port}/v1", provider=OWN)
        try:
            for caller in callers:
                response = await transports.to(routes.targets["a"]).send(
                    *("/chat/completions", caller, ((b"traceparent", b"00-1"),), BODY),
                    AttemptTimeouts(Timeouts(), 15.0),
                )
                assert [part async for part in response] == [b"whole"]
                await response.release()
        finally:
            await transports.aclose()
    return recording.received, port


async def test_the_bytes_that_leave() -> None:
    """A request is exactly these bytes, and so is the next one on the same connection."""
    received, port = await sent(CALLER, CALLER)
    assert received == 2 * [
        b"POST /v1/chat/completions?api=2.0 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
        b"content-type: application/json\r\naccept-encoding: identity\r\nx-team: llm\r\n"
        b"content-length: 14\r\nuser-agent: sdk\r\ntraceparent: 00-1\r\n\r\n%b" % (port, BODY)
    ]


@pytest.mark.parametrize("value", [b"a\r\nx: b", b"a\nb", b"a\0b"])
async def test_a_header_that_is_two(value: bytes) -> None:
    """A value that would be read as more than one header never leaves, and no provider is to blame."""
    with pytest.raises(Unreachable) as caught:
        await sent(((b"user-agent", value),))
    assert caught.value.kind == "policy"


def test_own_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request has the operator's key in the provider's header, and asks for no encoding."""
    monkeypatch.setitem(os.environ, "K", "secret")
    text = routes_to("http://127.0.0.1:9/v1", provider='headers = { X-Team = "llm" }').source
    for dialect, shown in (
        ("openai", (b"authorization", b"Bearer secret")),
        ("anthropic", (b"x-api-key", b"secret")),
    ):
        source = text.replace('dialect = "openai"', f'dialect = "{dialect}"\nkey = "env:K"')
        upstream = Transports().to(parse_routes(source).targets["a"])
        assert upstream.headers == (
            (b"host", b"127.0.0.1:9"),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            shown,
            (b"x-team", b"llm"),
        )
