"""The command `standby demo`, as installed: the printed curl lines work."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Final

import httpx2
import pytest

from tests.programs import STANDBY, Program, running

__all__ = ["demo", "shared"]

pytestmark = pytest.mark.anyio

_CURL: Final = re.compile(r"^  curl (?:.*\\\n)*.*$", re.MULTILINE)
_LAST: Final = r"^Ctrl-C ends it all\.$"


@dataclass
class Demo:
    """A running demo, and its printed curl lines in order."""

    program: Program
    ask: str
    ask_streamed: str
    take_down: str
    bring_back: str


@asynccontextmanager
async def started(folder: Path) -> AsyncGenerator[Demo]:
    """The demo on a free port, after it has printed its instructions."""
    async with running(STANDBY, "demo", "--port", "0", folder=folder) as program:
        await program.says(_LAST)
        yield Demo(program, *_CURL.findall(program.output))


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """One demo for the tests that do not end it, and that leave its providers sound."""
    async with started(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """A demo to be ended."""
    async with started(tmp_path) as demo:
        yield demo


async def curl(line: str) -> httpx2.Response:
    """Send the request of a curl `line`: -H, -d (which makes it a POST), -i, -N and -w are supported."""
    words = iter(shlex.split(line.replace("\\\n", " ")))
    assert next(words) == "curl"
    url, body = "", b""
    headers: dict[str, str] = {}
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        elif word == "-iw":
            next(words)
        elif word != "-iN":
            assert word.startswith("http://"), f"curl knows this, the test does not: {word}"
            url = word
    headers.setdefault("content-type", "application/x-www-form-urlencoded")
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(url, content=body, headers=headers)


async def test_the_first_provider_answers_while_all_is_well(shared: Demo) -> None:
    """Both curl lines are answered by alpha, which the answers name, and none is marked degraded."""
    whole, streamed = await curl(shared.ask), await curl(shared.ask_streamed)
    for answer in (whole, streamed):
        assert answer.status_code == 200
        assert "alpha " in answer.text
        assert "beta " not in answer.text
        assert answer.headers["x-standby-target"] == "alpha-large"
        assert "x-standby-degraded" not in answer.headers
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.endswith("data: [DONE]\n\n")


async def test_the_next_request_fails_over_and_comes_back(shared: Demo) -> None:
    """While alpha is down beta answers, marked degraded. Once alpha is back it answers."""
    await curl(shared.take_down)
    for line in (shared.ask, shared.ask_streamed):
        answer = await curl(line)
        assert answer.status_code == 200
        assert "beta " in answer.text
        assert "alpha" not in answer.text
        assert answer.headers["x-standby-target"] == "beta-large"
        assert answer.headers["x-standby-degraded"] == "overloaded"
        assert answer.headers["x-standby-attempts"] == "2"
    await shared.program.says(r"served by beta-large degraded \(overloaded\) after alpha-large: overloaded")

    await curl(shared.bring_back)
    answer = await curl(shared.ask)
    assert answer.headers["x-standby-target"] == "alpha-large"
    assert "x-standby-degraded" not in answer.headers


async def test_every_fault_that_is_offered_exists(shared: Demo) -> None:
    """The names of the other faults are all accepted by the curl line that takes a provider down."""
    offered = re.search(r"^Other faults: (.*)\.$", shared.program.output, re.MULTILINE)
    assert offered is not None
    for name in offered[1].split(", "):
        assert (await curl(shared.take_down.replace("outage", name))).status_code == 200, name
    await curl(shared.bring_back)


async def test_ctrl_c_ends_it_quietly(demo: Demo) -> None:
    """Ctrl-C after a request ends the demo without a traceback."""
    await curl(demo.ask)
    assert await demo.program.interrupt() in {0, 130}
    assert "Traceback" not in demo.program.output


async def test_ctrl_c_during_an_answer_ends_it_quietly(demo: Demo) -> None:
    """An answer that stalls during Ctrl-C ends with an error event, and without a traceback."""
    await curl(demo.take_down.replace('"outage"', '"slow", "seconds": 600, "after": 3'))
    address = demo.ask_streamed.split()[2]
    async with httpx2.AsyncClient(trust_env=False) as client:
        question = {"model": "support", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        async with client.stream("POST", address, json=question) as answer:
            chunks = answer.aiter_text()
            text = await anext(chunks)
            assert await demo.program.interrupt() in {0, 130}
            text += "".join([chunk async for chunk in chunks])
    assert "upstream_stall" in text
    assert "Traceback" not in demo.program.output


async def test_a_supervisor_ends_it_quietly(demo: Demo) -> None:
    """SIGTERM ends the demo without a traceback."""
    await demo.program.terminate()
    assert "Traceback" not in demo.program.output


async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    """If its port is taken the demo exits with 1 and prints the reason in one line."""
    with create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with running(STANDBY, "demo", "--port", port, folder=tmp_path) as program:
            assert await program.ends() == 1
    assert program.output == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
