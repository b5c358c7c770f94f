"""Turns of Vercel's AI SDK, in each API that its providers speak. Skipped where it cannot be installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from typing_extensions import override

from tests.programs import own_environ

__all__ = ["Turns", "api", "script", "taken", "taken_together"]

pytestmark = pytest.mark.timeout(240)  # the packages may have to come a long way

_NODE: Final = Path(__file__).with_name("node")
_PATIENCE: Final = 100.0
"""Seconds that the installation, or all turns of one API, may take."""


class Turns(NamedTuple):
    """What came of all turns in one API, and what is said there."""

    said: str
    outcomes: dict[str, dict[str, Any]]

    def result(self, turn: str) -> Any:
        """What came of a turn that succeeded."""
        outcome = self.outcomes[turn]
        assert "result" in outcome, outcome
        return outcome["result"]

    @override
    def __str__(self) -> str:
        return self.said


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program beside its packages, which are installed as locked, outside of the repository."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for file in _NODE.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0")
    try:
        # With the environment of the developer's own: this is the one program here that leaves the machine.
        installed = subprocess.run(
            ("npm", "ci", *options),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install the AI SDK within {_PATIENCE:g} s")
    if installed.returncode:
        reason = _reason(installed.stderr)
        assert reason not in {"EUSAGE", "EINTEGRITY", "EJSONPARSE"}, installed.stderr
        pytest.skip(f"npm could not install the AI SDK: {reason}")
    return folder / "turns.mjs"


@pytest.fixture(scope="module", params=["chat", "responses", "messages"])
def api(request: pytest.FixtureRequest) -> str:
    """Each API, by the name that the program knows."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def taken(script: Path, demo: str, able: str) -> dict[tuple[str, str], Turns]:
    """All turns in each API, by address and API: at the demo, and where tools are called."""
    pairs = [(address, api) for api in ("chat", "responses", "messages") for address in (demo, able)]
    return taken_together(script, pairs)


@pytest.fixture
def turns(taken: dict[tuple[str, str], Turns], demo: str, api: str) -> Turns:
    """All turns at the demo."""
    return taken[demo, api]


@pytest.fixture
def able_turns(taken: dict[tuple[str, str], Turns], able: str, api: str) -> Turns:
    """All turns where tools are called."""
    return taken[able, api]


def test_generate_text(turns: Turns) -> None:
    """`generateText` has the words, the reason for their end and the usage."""
    assert turns.result("text") == {"text": turns.said, "finish": "stop", "output": 5}


def test_stream_text(turns: Turns) -> None:
    """`streamText` has the words one by one, and at the end the reason and the usage."""
    streamed = turns.result("stream")

    assert len(streamed["words"]) == 5
    assert "".join(streamed["words"]) == turns.said
    assert (streamed["finish"], streamed["output"]) == ("stop", 5)


@pytest.mark.parametrize("turn", ["tools", "streamedTools"])
def test_a_loop_of_two_steps(able_turns: Turns, turn: str) -> None:
    """The first step calls the tool, which runs; the second is sent its result and answers in words."""
    loop = able_turns.result(turn)
    call = {"toolName": "weather", "input": {"city": "Paris"}}

    assert loop["text"] == able_turns.said
    assert loop["steps"] == [
        {"text": "", "finish": "tool-calls", "calls": [call], "results": ["Rain in Paris."]},
        {"text": able_turns.said, "finish": "stop", "calls": [], "results": []},
    ]


@pytest.mark.parametrize("turn", ["object", "streamedObject"])
def test_an_object(able_turns: Turns, api: str, turn: str) -> None:
    """`generateObject` and `streamObject` have an object of the schema.

    For a model that it does not know, the provider of Messages asks for the object as the input of a tool.
    """
    assert able_turns.result(turn) == {"city": "Paris" if api == "messages" else able_turns.said}


def test_an_unknown_model_is_an_error(turns: Turns) -> None:
    """A name that no pool serves raises the SDK's error of a call, with the gateway's status and message."""
    assert turns.outcomes["unknownModel"] == {
        "turn": "unknownModel",
        "error": "AI_APICallError",
        "status": 404,
        "message": "There is no model of this name: nope.",
    }


def taken_together(script: Path, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], Turns]:
    """What came of all turns for each address and API, several programs at a time."""
    addresses, names = zip(*pairs, strict=True)
    with ThreadPoolExecutor(max_workers=3) as programs:
        return dict(zip(pairs, programs.map(partial(_taken, script), addresses, names), strict=True))


def _taken(script: Path, address: str, api: str) -> Turns:
    ran = subprocess.run(
        ("node", str(script), address, api),
        cwd=script.parent,
        env=own_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines() if line[:1] == "{"]
    said = "gamma says: all is well." if api == "messages" else "alpha says: all is well."
    return Turns(said, {each["turn"]: each for each in found})


def _reason(errors: str) -> str:
    """The code by which npm failed."""
    code = re.search(r"^npm (?:error|ERR!) code (\S+)", errors, re.MULTILINE)
    return code[1] if code else "no reason given"
