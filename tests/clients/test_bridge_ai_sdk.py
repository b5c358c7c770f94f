"""Turns of Vercel's AI SDK while another dialect answers. Skipped where it cannot be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from typing_extensions import override

from tests.clients import test_ai_sdk
from tests.clients.bridged_demo import SAID
from tests.clients.bridging import Pair, http

__all__ = ["script"]

pytest_plugins = ("tests.clients.bridge_scenes",)

pytestmark = pytest.mark.timeout(240)  # the packages may have to come a long way

script = test_ai_sdk.script
"""The program of turns, beside its packages."""


class Told(NamedTuple):
    """What came of all turns in one API, natively and over the bridge."""

    api: str
    native: dict[str, dict[str, Any]]
    translated: dict[str, dict[str, Any]]

    @override
    def __str__(self) -> str:
        return self.api


@pytest.fixture(scope="module", params=["chat", "responses", "messages"])
def told(script: Path, bridge: Pair, request: pytest.FixtureRequest) -> Told:
    """All turns in each API, at both gateways."""
    pairs = [(address, request.param) for address in (bridge.native, bridge.translated)]
    native, translated = test_ai_sdk.taken_together(script, pairs).values()
    return Told(request.param, native.outcomes, translated.outcomes)


@pytest.mark.parametrize(
    "turn", ["text", "stream", "tools", "streamedTools", "object", "streamedObject", "unknownModel"]
)
def test_a_turn(told: Told, turn: str) -> None:
    """What comes of a turn is the same: words, steps, calls and their results, objects, errors."""
    assert told.translated[turn] == told.native[turn]


def test_the_turns_succeed(told: Told) -> None:
    """The words are the provider's, streamed one by one, and the tool runs between two steps."""
    found: dict[str, Any] = {turn: outcome.get("result") for turn, outcome in told.translated.items()}

    assert (found["text"]["text"], found["text"]["output"]) == (SAID, 5)
    assert "".join(found["stream"]["words"]) == found["tools"]["text"] == found["streamedTools"]["text"]
    assert len(found["stream"]["words"]) == 5
    assert [step["results"] for step in found["tools"]["steps"]] == [["Rain in Paris."], []]
    assert found["object"] == found["streamedObject"]


def test_who_answers(told: Told, bridge: Pair) -> None:
    """The turns were answered by the provider of the other dialect."""
    path, model, target = {
        "chat": ("chat/completions", "support", bridge.support),
        "responses": ("responses", "support", bridge.support),
        "messages": ("messages", "drafting", bridge.drafting),
    }[told.api]
    turns = "input" if told.api == "responses" else "messages"
    request = {"model": model, "max_tokens": 64, turns: [{"role": "user", "content": "hello"}]}
    if told.api == "responses":
        del request["max_tokens"]
    with http() as client:
        answer: httpx2.Response = client.post(f"{bridge.translated}/v1/{path}", json=request)

    assert (answer.status_code, answer.headers["x-standby-target"]) == (200, target)
