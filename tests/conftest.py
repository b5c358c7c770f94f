"""What every test shares."""

from __future__ import annotations

import functools
import gc
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpcore2
import pytest
from hypothesis import settings
from standby.proxy.rehearsal.simulator import Simulator

from tests.redis_server import RedisServer

__all__ = [
    "alpha",
    "anyio_backend",
    "beta",
    "one_trust_store",
    "own_redis",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "redis_server",
    "redis_url",
]


def pytest_configure() -> None:
    """Let programs hear Ctrl-C, also if a shell started the tests in the background; a property is tried with
    as many examples as a run of all tests has time for."""
    settings.register_profile("standby", max_examples=40)
    settings.load_profile("standby")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that uvicorn serves on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def one_trust_store() -> Iterator[None]:
    """The trust store, which takes longer to read than most tests take: read once, not for every client."""
    read = httpcore2.default_ssl_context

    @functools.cache
    def kept(_named: tuple[str | None, ...], trust_env: bool) -> ssl.SSLContext:
        return read(_trust_env=trust_env)

    def shared(*, _trust_env: bool = True) -> ssl.SSLContext:
        return kept((os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")), _trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", shared)
        yield


@pytest.fixture
async def alpha() -> AsyncIterator[Simulator]:
    """A simulated provider, as a rule the preferred one."""
    async with Simulator("alpha") as provider:
        yield provider


@pytest.fixture
async def beta() -> AsyncIterator[Simulator]:
    """Another simulated provider, as a rule the fallback."""
    async with Simulator("beta") as provider:
        yield provider


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server that all tests share."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty store on the shared server."""
    return f"{redis_server.url}?prefix={uuid4().hex}"


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis server of this test's own, to be frozen, stopped and started again."""
    with RedisServer() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run last what keeps one real event loop for the whole session.

    anyio gives every later test that loop, and one whose loop has a time of its own would then really wait.
    """
    items.sort(key=lambda item: item.nodeid.startswith(("tests/acceptance/", "tests/soak/")))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the run: the tests and all modules."""
    gc.collect()
    gc.freeze()
