"""`standby serve` and `standby check`, as they are installed, in processes of their own."""

from __future__ import annotations

from pathlib import Path
from socket import create_server

import openai
import pytest
from standby.proxy.rehearsal.simulator import Content, Cut, Simulator, Status

from tests.programs import STANDBY, Program, running

__all__ = ["routes"]

pytestmark = pytest.mark.anyio

ROUTES = """\
[providers.alpha]
dialect = "openai"
base_url = "{alpha}"
key = "env:ALPHA_KEY"
[providers.beta]
dialect = "openai"
base_url = "{beta}"
[targets]
main = {{ provider = "alpha", model = "large" }}
spare = {{ provider = "beta", model = "large" }}
[pools.support]
prefer = ["main"]
alternates = [{{ target = "spare", for = ["outage"] }}]
"""
ENVIRON = {"ALPHA_KEY": "key-of-alpha"}


@pytest.fixture
def routes(tmp_path: Path, alpha: Simulator, beta: Simulator) -> Path:
    """A folder with a `routes.toml` that leads to both."""
    (tmp_path / "routes.toml").write_text(ROUTES.format(alpha=alpha.url, beta=beta.url))
    return tmp_path


async def ask(program: Program) -> str:
    """One question through the real SDK; the answer, streamed."""
    address = await program.address()
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serving_fails_over(workers: str, routes: Path, alpha: Simulator) -> None:
    """What `standby serve` serves, in one process or several, is answered by the alternate in an outage."""
    command = (STANDBY, "serve", "routes.toml", "--port", "0", "--workers", workers)
    async with running(*command, folder=routes, environ=ENVIRON) as program:
        assert await ask(program) == "alpha says: all is well."
        assert alpha.requests[-1].header("authorization") == "Bearer key-of-alpha"
        alpha.fault = Status(503)
        assert await ask(program) == "beta says: all is well."


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_ctrl_c_ends_serving_quietly(workers: str, routes: Path) -> None:
    """Ctrl-C after a request ends every process, without a traceback."""
    command = (STANDBY, "serve", "--port", "0", "--workers", workers)
    async with running(*command, folder=routes, environ=ENVIRON) as program:
        await ask(program)
        await program.says(rf"(?:startup complete[\s\S]*){{{workers}}}")  # the others may be starting still
        assert await program.interrupt() in {0, 130}
    assert "Traceback" not in program.output


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_supervisor_ends_serving_with_success(workers: str, routes: Path) -> None:
    """SIGTERM ends every process without a traceback, and counts as success."""
    command = (STANDBY, "serve", "--port", "0", "--workers", workers)
    async with running(*command, folder=routes, environ=ENVIRON) as program:
        await ask(program)
        await program.says(rf"(?:startup complete[\s\S]*){{{workers}}}")
        assert await program.terminate() == 0
    assert "Traceback" not in program.output


async def test_a_stream_that_breaks_raises(routes: Path, alpha: Simulator, beta: Simulator) -> None:
    """A stream that is cut after its first words raises in the SDK, and nobody else is asked."""
    alpha.fault = Cut(after=Content(2))
    async with running(STANDBY, "serve", "--port", "0", folder=routes, environ=ENVIRON) as program:
        with pytest.raises(openai.APIError):
            await ask(program)
    assert not beta.requests


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_a_wrong_configuration_stops_the_start(command: str, routes: Path) -> None:
    """`serve` and `check` exit 1 with the file, the line and the nearest valid key, and no traceback."""
    file = routes / "routes.toml"
    file.write_text(file.read_text().replace("prefer =", "prefers ="))
    async with running(STANDBY, command, folder=routes, environ=ENVIRON) as program:
        assert await program.ends() == 1
    assert 'routes.toml:12: pools.support.prefers: unknown key; did you mean "prefer"?' in program.output
    assert "Traceback" not in program.output


async def test_a_missing_secret_stops_the_start(routes: Path) -> None:
    """Without the variable that holds a key nothing starts, and the message names the variable."""
    async with running(STANDBY, "serve", folder=routes) as program:
        assert await program.ends() == 1
    assert "routes.toml:4: providers.alpha.key" in program.output
    assert "ALPHA_KEY" in program.output


async def test_checking_prints_the_chain_of_every_pool(routes: Path) -> None:
    """`check` of a sound file exits 0 and tells who answers in which order, and for which causes."""
    async with running(STANDBY, "check", "routes.toml", folder=routes, environ=ENVIRON) as program:
        assert await program.ends() == 0
    assert "stack: hygiene -> route_select -> failover -> relay" in program.output
    assert "pool support (openai)" in program.output
    assert "spare  beta/large" in program.output
    assert "for outage" in program.output
    assert "key-of-alpha" not in program.output


async def test_a_taken_port_is_told(routes: Path) -> None:
    """Without its port `serve` fails, names the address, and shows no traceback."""
    with create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with running(STANDBY, "serve", "--port", port, folder=routes, environ=ENVIRON) as program:
            assert await program.ends() != 0
    assert "ddress already in use" in program.output
    assert "Traceback" not in program.output
