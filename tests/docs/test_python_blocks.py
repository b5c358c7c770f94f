"""Every Python block of the documents is a program: pasted into an empty file, it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from standby.proxy.rehearsal.simulator import Simulator, Status

from tests.docs.conftest import ENVIRON
from tests.docs.documents import Block, blocks
from tests.programs import STANDBY, running

__all__: list[str] = []

pytestmark = pytest.mark.anyio

BLOCKS: Final = [block for block in blocks("python") if block.document != "docs/first-key.md"]
"""All but those of a walk, which is walked as a whole."""
SERVING: Final = [block for block in BLOCKS if "uvicorn.run(" in block.text]
CALLING: Final = [block for block in BLOCKS if "OpenAI(" in block.text or "Anthropic(" in block.text]
OTHERS: Final = [block for block in BLOCKS if block not in SERVING and block not in CALLING]


def pasted(block: Block, folder: Path, *changed: tuple[str, str]) -> str:
    """The file that holds nothing but the block, with another port where it names one."""
    text = block.text
    for before, after in changed:
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "pasted.py").write_text(text)
    return "pasted.py"


def test_there_are_programs_of_each_kind() -> None:
    """The README alone shows how to serve, to call, and to use one middleware."""
    for kind in (SERVING, CALLING, OTHERS):
        assert "README.md" in {block.document for block in kind}


@pytest.mark.parametrize("block", SERVING, ids=str)
async def test_a_program_that_mounts_the_gateway_serves_it(
    block: Block, folder: Path, alpha: Simulator
) -> None:
    """It answers the openai SDK under /llm, fails over in an outage, and ends on Ctrl-C quietly."""
    file = pasted(block, folder, ("port=8000", "port=0"))
    async with running(sys.executable, file, folder=folder, environ=ENVIRON) as program:
        address = await program.address()
        async with AsyncOpenAI(base_url=f"{address}/llm/v1", api_key="unused", max_retries=0) as client:
            for fault, words in (
                (None, "alpha says: all is well."),
                (Status(503), "beta says: all is well."),
            ):
                alpha.fault = fault
                stream = await client.chat.completions.create(
                    model="support", messages=[{"role": "user", "content": "hello"}], stream=True
                )
                pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
                assert "".join(pieces) == words
        assert alpha.requests[0].header("authorization") == f"Bearer {ENVIRON['OPENAI_API_KEY']}"
        assert await program.interrupt() in {0, 130}
    assert "Traceback" not in program.output


@pytest.mark.parametrize("block", CALLING, ids=str)
async def test_a_program_that_calls_a_sidecar_gets_an_answer(
    block: Block, folder: Path, alpha: Simulator
) -> None:
    """Beside `standby serve`, with the first provider out, it prints the words of the second."""
    alpha.fault = Status(503)
    async with running(STANDBY, "serve", "--port", "0", folder=folder, environ=ENVIRON) as sidecar:
        address = await sidecar.address()
        file = pasted(block, folder, ("http://127.0.0.1:8080", address))
        async with running(sys.executable, file, folder=folder) as program:
            assert await program.ends() == 0, program.output
    assert program.output == "beta says: all is well."


@pytest.mark.parametrize("block", OTHERS, ids=str)
async def test_a_program_that_only_defines_runs(block: Block, folder: Path) -> None:
    """It ends of itself, with success and without a word."""
    file = pasted(block, folder)
    async with running(sys.executable, file, folder=folder, environ=ENVIRON) as program:
        assert await program.ends() == 0, program.output
    assert program.output == ""


@pytest.mark.parametrize("block", [block for block in OTHERS if "app = Failover(" in block.text], ids=str)
async def test_a_single_middleware_moves_to_the_next_target(block: Block) -> None:
    """The app that Failover stands around is asked again, and the second region's answer is the caller's."""
    names: dict[str, object] = {}
    exec(block.text, names)
    transport = httpx2.ASGITransport(names["app"])  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://host") as client:
        answer = await client.post("/ask")
    assert answer.status_code == 200
    assert "dublin" in answer.text


async def test_the_anthropic_address_has_no_version(folder: Path, alpha: Simulator) -> None:
    """The anthropic SDK reaches a sidecar by its bare address, as the README says."""
    routes = (folder / "routes.toml").read_text().replace('"openai"\nbase', '"anthropic"\nbase')
    (folder / "routes.toml").write_text(routes)
    async with (
        running(STANDBY, "serve", "--port", "0", folder=folder, environ=ENVIRON) as sidecar,
        AsyncAnthropic(base_url=await sidecar.address(), api_key="unused") as client,
    ):
        answer = await client.messages.create(
            model="support", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
        )
    assert [block.text for block in answer.content if block.type == "text"] == ["alpha says: all is well."]
    assert alpha.requests[0].header("x-api-key") == ENVIRON["OPENAI_API_KEY"]
