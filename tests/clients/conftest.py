"""What the clients share: two gateways for the whole run, and none of the developer's own settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

import anthropic
import httpx2
import openai
import pytest

from tests.clients.demos import ROOT, started
from tests.programs import STANDBY

__all__ = ["able", "able_claude", "able_gpt", "claude", "demo", "gpt", "no_settings_of_others"]

_FOREIGN: Final = ("ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "OPENAI_")


@pytest.fixture(scope="module", autouse=True)
def no_settings_of_others() -> Iterator[None]:
    """No key and no tracing of the developer's own decides what a client does; no proxy stands between."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith(_FOREIGN):
                patch.delenv(name)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1")
        yield


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `standby demo`."""
    folder = tmp_path_factory.mktemp("demo")
    with started(STANDBY, "demo", "--port", "0", folder=folder, log=folder / "log") as address:
        yield address


@pytest.fixture(scope="session")
def able(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the same gateway in front of providers that call tools."""
    log = tmp_path_factory.mktemp("able") / "log"
    with started(sys.executable, "-m", "tests.clients.able_demo", folder=ROOT, log=log) as address:
        yield address


@pytest.fixture(scope="module")
def gpt(demo: str) -> Iterator[openai.OpenAI]:
    """The openai SDK at the demo."""
    with _openai(demo) as client:
        yield client


@pytest.fixture(scope="module")
def able_gpt(able: str) -> Iterator[openai.OpenAI]:
    """The openai SDK where tools are called."""
    with _openai(able) as client:
        yield client


@pytest.fixture(scope="module")
def claude(demo: str) -> Iterator[anthropic.Anthropic]:
    """The anthropic SDK at the demo."""
    with _anthropic(demo) as client:
        yield client


@pytest.fixture(scope="module")
def able_claude(able: str) -> Iterator[anthropic.Anthropic]:
    """The anthropic SDK where tools are called."""
    with _anthropic(able) as client:
        yield client


def _openai(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, http_client=_http())


def _anthropic(address: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=address, api_key="unused", max_retries=0, http_client=_http())


def _http() -> httpx2.Client:
    return httpx2.Client(verify=False, trust_env=False, timeout=20.0)
