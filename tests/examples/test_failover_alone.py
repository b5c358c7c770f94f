"""The example that puts Failover around a foreign application, run as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI
from standby.proxy.rehearsal.simulator import (
    ErrorEvent,
    Fault,
    Html,
    Just,
    Redirect,
    Simulator,
    Stall,
    Status,
)

from tests.examples.conftest import EXAMPLES, PYTHON
from tests.programs import Program, running

__all__ = ["app"]

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def started(folder: Path, alpha: Simulator, beta: Simulator) -> AsyncGenerator[Program]:
    """The running application, with alpha in Paris and beta in Dublin."""
    environ = {"PORT": "0", "PATIENCE": "2", "PARIS_URL": alpha.origin, "DUBLIN_URL": beta.origin}
    command = (PYTHON, str(EXAMPLES / "failover_alone.py"))
    async with running(*command, folder=folder, environ=environ) as program:
        yield program


@pytest.fixture
async def app(tmp_path: Path, alpha: Simulator, beta: Simulator) -> AsyncIterator[Program]:
    """The running application of one test."""
    async with started(tmp_path, alpha, beta) as program:
        yield program


async def test_the_first_region_answers_while_all_is_well(app: Program, beta: Simulator) -> None:
    """A good answer of the first region is the caller's, unchanged and streamed, and no other is asked."""
    async with AsyncOpenAI(base_url=f"{await app.address()}/v1", api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert stream.response.headers["x-region"] == "paris"
        pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(pieces) == "alpha says: all is well."
    assert not beta.requests


async def test_a_region_that_refuses_is_passed_over(tmp_path: Path) -> None:
    """When the first region refuses, the caller sees the answer of the second and nothing of the first."""

    async def passed_over(fault: Fault) -> None:
        async with (
            Simulator("alpha") as alpha,
            Simulator("beta") as beta,
            started(tmp_path, alpha, beta) as app,
            httpx2.AsyncClient(trust_env=False) as client,
        ):
            alpha.fault = fault
            address = f"{await app.address()}/v1/embeddings"
            answer = await client.post(address, json={"model": "m", "input": "x"})
        assert answer.status_code == 200, fault
        assert answer.headers["x-region"] == "dublin", fault
        assert alpha.canary not in answer.text, fault

    await asyncio.gather(*map(passed_over, (Status(429), Status(500), Status(503), Redirect())))


async def test_a_stream_that_is_none_is_passed_over(tmp_path: Path) -> None:
    """On a path that the gateway knows, a 200 without an answer in it moves on as well."""

    async def passed_over(fault: Fault) -> None:
        async with (
            Simulator("alpha") as alpha,
            Simulator("beta") as beta,
            started(tmp_path, alpha, beta) as app,
            AsyncOpenAI(base_url=f"{await app.address()}/v1", api_key="any", max_retries=0) as client,
        ):
            alpha.fault = fault
            stream = await client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": "hello"}], stream=True
            )
            pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        assert "".join(pieces) == "beta says: all is well.", fault

    await asyncio.gather(*map(passed_over, (ErrorEvent(after=0), Just(), Html())))


async def test_a_region_that_cannot_be_reached_is_passed_over(app: Program, alpha: Simulator) -> None:
    """An exception inside the application, as for a refused connection, moves the request on."""
    await alpha.down()
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{await app.address()}/v1/embeddings", json={"model": "m", "input": "x"})
    assert answer.headers["x-region"] == "dublin"


async def test_a_region_that_never_answers_is_passed_over(app: Program, alpha: Simulator) -> None:
    """The example's own limit ends an attempt that says nothing, and the second region answers."""
    alpha.fault = Stall()
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(f"{await app.address()}/v1/embeddings", json={"model": "m", "input": "x"})
    assert answer.headers["x-region"] == "dublin"
    await alpha.wait_for(lambda: alpha.requests[-1].gone)


async def test_when_every_region_fails_the_caller_is_told(
    app: Program, alpha: Simulator, beta: Simulator
) -> None:
    """With no region left the answer is an error that names each attempt and its fault."""
    alpha.fault, beta.fault = Status(500), Status(503)
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{await app.address()}/v1/embeddings", json={"model": "m", "input": "x"})
    assert answer.status_code == 503
    assert answer.json()["error"]["attempts"] == [
        {"target": "paris", "fault": "upstream_5xx"},
        {"target": "dublin", "fault": "overloaded"},
    ]
