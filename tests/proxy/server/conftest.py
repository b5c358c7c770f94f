"""Servers for the tests of this folder, under each parser in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standby.proxy.server import Parser, ServerLimits

from tests.proxy.server.wire import Served, serving

__all__ = ["hasty", "hasty_server", "parser", "served", "server"]


@pytest.fixture(scope="session", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> Parser:
    """Each parser in turn."""
    found: Parser = request.param
    return found


@pytest.fixture(scope="session")
def server(parser: Parser) -> Iterator[Served]:
    """One server per parser for the whole run."""
    with serving(parser, ServerLimits(linger_seconds=10.0)) as served:
        yield served


@pytest.fixture(scope="session")
def hasty_server(parser: Parser) -> Iterator[Served]:
    """A server with short deadlines for its clients."""
    with serving(parser, ServerLimits(head_seconds=0.4, body_seconds=0.4)) as served:
        yield served


@pytest.fixture
def served(server: Served) -> Served:
    """The shared server, with its records cleared."""
    server.recorder.forget()
    return server


@pytest.fixture
def hasty(hasty_server: Served) -> Served:
    """The server with short deadlines, with its records cleared."""
    hasty_server.recorder.forget()
    return hasty_server
