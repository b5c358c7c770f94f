"""Fixtures of the dialects' tests: a parsed request body, and a provider that sends a given stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import orjson
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from standby.proxy.dialects.base import RequestDocument
from standby.proxy.http import json_document

__all__ = ["anthropic_of", "http", "openai_of", "parse", "provider"]


@pytest.fixture
def parse() -> Callable[[dict[str, Any]], RequestDocument]:
    """Make a parsed request body of a JSON object."""
    return lambda value: json_document.read(orjson.dumps(value))


@pytest.fixture
async def provider() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Start providers that answer every request with a 200 and the given stream, and then close."""
    async with AsyncExitStack() as running:

        async def start(stream: bytes) -> str:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                )
                writer.write(stream)
                await writer.drain()
                writer.close()
                await writer.wait_closed()

            server = await running.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
            host, port = server.sockets[0].getsockname()
            return f"http://{host}:{port}"

        yield start


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """The HTTP client of the SDKs, which connects to loopback only."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        yield client


@pytest.fixture
def openai_of(
    provider: Callable[[bytes], Awaitable[str]], http: httpx2.AsyncClient
) -> Callable[[bytes], Awaitable[AsyncOpenAI]]:
    """Make official OpenAI clients whose provider sends the given stream."""

    async def client(stream: bytes) -> AsyncOpenAI:
        base_url = f"{await provider(stream)}/v1"
        return AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0, http_client=http)

    return client


@pytest.fixture
def anthropic_of(
    provider: Callable[[bytes], Awaitable[str]], http: httpx2.AsyncClient
) -> Callable[[bytes], Awaitable[AsyncAnthropic]]:
    """Make official Anthropic clients whose provider sends the given stream."""

    async def client(stream: bytes) -> AsyncAnthropic:
        base_url = await provider(stream)
        return AsyncAnthropic(api_key="k", base_url=base_url, max_retries=0, http_client=http)

    return client
