"""The gateways of the bridged demo, a plugin of the tests that ask them; each is started once for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.clients.bridging import Pair
from tests.clients.demos import ROOT, started

__all__ = ["any_bridge", "bridge", "scenes"]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The address of each scene of the bridged demo."""
    folder = tmp_path_factory.mktemp("bridged")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                started(
                    *(sys.executable, "-m", "tests.clients.bridged_demo", name),
                    folder=ROOT,
                    log=folder / name,
                )
            )
            for name in ("native", "bridged", "chat-only")
        }


@pytest.fixture(scope="session")
def bridge(scenes: Mapping[str, str]) -> Pair:
    """Where the provider of the caller's dialect is down, and that of the other one answers."""
    return Pair(scenes["native"], scenes["bridged"], support="claude", drafting="gpt")


@pytest.fixture(scope="session", params=["bridged", "chat-only"])
def any_bridge(scenes: Mapping[str, str], request: pytest.FixtureRequest) -> Pair:
    """Both ways in which Responses are translated."""
    support = {"bridged": "claude", "chat-only": "chat-only"}[request.param]
    return Pair(scenes["native"], scenes[request.param], support=support, drafting="gpt")
