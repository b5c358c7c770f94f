"""The examples that mount the gateway in a host application, run as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import APIError, AsyncOpenAI
from standby.proxy.rehearsal.simulator import Content, Cut, Simulator, Status

from tests.examples.conftest import EXAMPLES, PYTHON
from tests.programs import Program, running

__all__ = ["host"]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["mounted_fastapi.py", "mounted_starlette.py"])
async def host(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Program]:
    """A running host application."""
    command = (PYTHON, str(EXAMPLES / request.param))
    async with running(*command, folder=folder, environ={"PORT": "0"}) as program:
        yield program


async def test_a_mounted_gateway_fails_over_for_openai(host: Program, alpha: Simulator) -> None:
    """The openai SDK gets the answer of the second provider, whole and streamed, when the first is out."""
    alpha.fault = Status(503)
    address = await host.address()
    async with AsyncOpenAI(base_url=f"{address}/llm/v1", api_key="any", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "hello"}]
        )
        assert answer.choices[0].message.content == "beta says: all is well."
        stream = await client.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        assert "".join(pieces) == "beta says: all is well."


async def test_a_mounted_gateway_fails_over_for_anthropic(host: Program, alpha: Simulator) -> None:
    """The anthropic SDK gets the answer of the second provider, streamed, when the first is out."""
    alpha.fault = Status(529)
    address = await host.address()
    async with (
        AsyncAnthropic(base_url=f"{address}/llm", api_key="any", max_retries=0) as client,
        client.messages.stream(
            model="drafting", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
        ) as stream,
    ):
        assert await stream.get_final_text() == "beta says: all is well."


async def test_a_stream_that_breaks_in_a_host_raises(
    host: Program, alpha: Simulator, beta: Simulator
) -> None:
    """Inside a host, too, a stream cut after its first words raises, and nobody else is asked."""
    alpha.fault = Cut(after=Content(2))
    address = await host.address()
    async with AsyncOpenAI(base_url=f"{address}/llm/v1", api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        with pytest.raises(APIError, match="broke off"):
            [chunk async for chunk in stream]
    assert not beta.requests


async def test_the_host_keeps_its_own_pages(host: Program, alpha: Simulator) -> None:
    """What is not under the mount is the host's, and what is under it and unknown is a 404 of the gateway."""
    address = await host.address()
    async with httpx2.AsyncClient(trust_env=False) as client:
        home = await client.get(f"{address}/")
        assert home.status_code == 200
        assert "x-standby-request-id" not in home.headers
        unknown = await client.get(f"{address}/llm/v1/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_route"
    assert not alpha.requests


async def test_the_host_stops_quietly(host: Program, alpha: Simulator) -> None:
    """Ctrl-C after a request ends the host, its lifespan and the gateway without a traceback."""
    address = await host.address()
    async with AsyncOpenAI(base_url=f"{address}/llm/v1", api_key="any", max_retries=0) as client:
        await client.embeddings.create(model="support", input="hello")
    assert alpha.requests
    assert await host.interrupt() in {0, 130}
    assert "Traceback" not in host.output
