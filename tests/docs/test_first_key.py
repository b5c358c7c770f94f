"""docs/first-key.md, walked from its first block to its last."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator

from tests.docs.documents import blocks
from tests.programs import STANDBY, Program, running

__all__: list[str] = []

pytestmark = pytest.mark.anyio

DOCUMENT: Final = "docs/first-key.md"
OWN: Final = "key-of-the-operator"


def of(language: str) -> list[str]:
    """The document's blocks."""
    return [block.text for block in blocks(language) if block.document == DOCUMENT]


async def shell(script: str, folder: Path, environ: Mapping[str, str]) -> Program:
    """Lines as a person types them, in a shell that finds `standby` and `python`."""
    path = f"{Path(STANDBY).parent}:/usr/bin:/bin"
    known = {"PATH": path, "OPENAI_API_KEY": OWN, **environ}
    async with running("sh", "-ec", script, folder=folder, environ=known) as program:
        assert await program.ends() == 0, program.output
    return program


async def test_the_walk_leads_where_it_says(tmp_path: Path, alpha: Simulator) -> None:
    """A key is made, an SDK is answered with it, its use is shown as printed, and then it is taken back."""
    [routes] = of("toml")
    [call] = of("python")
    check, create, serve, python, usage, more, disable = of("sh")
    [shown] = of("text")
    assert routes.count("https://api.openai.com/v1") == 1
    (tmp_path / "routes.toml").write_text(routes.replace("https://api.openai.com/v1", alpha.url))
    assert "pool support" in (await shell(check, tmp_path, {})).output

    made = await shell(f'{create}\nprintf "%s" "$STANDBY_KEY" > key', tmp_path, {})
    secret = (tmp_path / "key").read_text()
    assert secret.startswith("sk-standby-"), made.output
    assert secret not in made.output
    (tmp_path / "key").unlink()

    assert serve == "standby serve\n"
    async with running(
        STANDBY, "serve", "--port", "0", folder=tmp_path, environ={"OPENAI_API_KEY": OWN}
    ) as gateway:
        address = await gateway.address()
        assert call.count("http://127.0.0.1:8080") == 1
        (tmp_path / "first_call.py").write_text(call.replace("http://127.0.0.1:8080", address))
        environ = {"STANDBY_KEY": secret}
        assert Path(sys.executable).parent == Path(STANDBY).parent
        assert (await shell(python, tmp_path, environ)).output == "alpha says: all is well.\n"
        assert alpha.requests[0].header("authorization") == f"Bearer {OWN}"
        assert alpha.requests[0].json["max_completion_tokens"] == 2000

        async with asyncio.timeout(10):
            # What an answer cost is booked just after it.
            while (printed := (await shell(usage, tmp_path, {})).output) != shown:
                assert " 0  " in printed.splitlines()[-1], printed
        assert "checkout" in (await shell(more, tmp_path, {})).output

        listed = (await shell(disable, tmp_path, {})).output
        assert "disabled" in listed
        async with asyncio.timeout(10):
            while (await _again(python, tmp_path, environ)) == 0:
                pass
        assert await gateway.terminate() == 0
    for file in await asyncio.to_thread(lambda: list(tmp_path.iterdir())):
        assert secret.encode() not in await asyncio.to_thread(file.read_bytes), file


async def _again(python: str, folder: Path, environ: Mapping[str, str]) -> int:
    """Call once more; the exit code, which is that of an error once the key is not taken any more."""
    known = {"PATH": f"{Path(STANDBY).parent}:/usr/bin:/bin", **environ}
    async with running("sh", "-ec", python, folder=folder, environ=known) as program:
        code = await program.ends()
    assert code == 0 or "The API key is disabled." in program.output
    return code
