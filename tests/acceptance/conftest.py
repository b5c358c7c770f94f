"""What the acceptance tests share: uvloop, one server, two providers and a gateway for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from standby.proxy.server import Parser

from tests.acceptance.clients import APIS
from tests.acceptance.llmock_process import Llmock, llmock
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front, raising, uvicorn_under

__all__ = ["anyio_backend", "front", "mocks", "parsed_front", "raising_front", "stage"]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the gateway is served on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
async def front() -> AsyncIterator[Front]:
    """The server, with httptools, for the whole run."""
    async with uvicorn_under(Front(), "httptools") as served:
        async with scene(served, first_token="30s", stall="30s") as warming:
            # The SDKs import much of themselves on first use, for longer than an impatient pool waits.
            for api in APIS:
                for stream in (False, True):
                    await warming.sdks.say(api, stream=stream)
        yield served


@pytest.fixture(scope="session", params=["httptools", "h11"])
async def parsed_front(request: pytest.FixtureRequest) -> AsyncIterator[Front]:
    """The server with either parser: none of them may make a difference."""
    parser: Parser = request.param
    async with uvicorn_under(Front(), parser) as served:
        yield served


@pytest.fixture(scope="session")
async def raising_front() -> AsyncIterator[Front]:
    """A server whose `send` raises after a hang-up, for the whole run."""
    async with raising(Front()) as served:
        yield served


@pytest.fixture(scope="session")
def mocks() -> Iterator[tuple[Llmock, ...]]:
    """Two llmock servers: the first is target A, the second target B."""
    with llmock("alpha", "beta") as running:
        yield running


@pytest.fixture
async def stage(front: Front) -> AsyncIterator[Scene]:
    """A gateway with alpha before beta, both healthy."""
    async with scene(front) as set_up:
        yield set_up
