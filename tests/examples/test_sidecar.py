"""The examples that speak to a gateway beside them through the vendors' SDKs, run as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Content, Cut, Simulator, Status

from tests.examples.conftest import EXAMPLES, PYTHON
from tests.programs import STANDBY, running

__all__ = ["sidecar"]

pytestmark = pytest.mark.anyio

_TARGETS: Final = {"sidecar_openai.py": ("first", "second"), "sidecar_anthropic.py": ("third", "fourth")}


@pytest.fixture
async def sidecar(folder: Path) -> AsyncIterator[str]:
    """The address of `standby serve`."""
    async with running(STANDBY, "serve", "--port", "0", folder=folder) as program:
        yield await program.address()


async def shown(example: str, sidecar: str, folder: Path) -> str:
    """All that the example prints."""
    environ = {"OPENAI_BASE_URL": f"{sidecar}/v1", "ANTHROPIC_BASE_URL": sidecar}
    async with running(PYTHON, str(EXAMPLES / example), folder=folder, environ=environ) as program:
        assert await program.ends() == 0, program.output
    return program.output


async def all_shown(sidecar: str, folder: Path) -> dict[str, str]:
    """All that each example prints."""
    printed = await asyncio.gather(*(shown(example, sidecar, folder) for example in _TARGETS))
    return dict(zip(_TARGETS, printed, strict=True))


async def test_an_application_needs_another_address_only(sidecar: str, folder: Path) -> None:
    """Through its vendor's SDK each example gets the first choice's answer, whole and streamed."""
    words = "alpha says: all is well.\n"
    assert await all_shown(sidecar, folder) == {
        example: f"{words}  from {first} (first choice)\n{words}  complete\n"
        for example, (first, _) in _TARGETS.items()
    }


async def test_an_outage_is_not_the_applications_concern(
    sidecar: str, folder: Path, alpha: Simulator
) -> None:
    """While the first provider is out both answers are the second's, and the headers say why."""
    alpha.fault = Status(529)
    words = "beta says: all is well.\n"
    assert await all_shown(sidecar, folder) == {
        example: f"{words}  from {second} (overloaded)\n{words}  complete\n"
        for example, (_, second) in _TARGETS.items()
    }


async def test_a_break_after_the_first_words_is_told(
    sidecar: str, folder: Path, alpha: Simulator, beta: Simulator
) -> None:
    """A stream that breaks after its first words is reported as broken, and not continued by another."""
    for example in _TARGETS:
        alpha.faults.extend([None, Cut(after=Content(2))])
        pieces = await shown(example, sidecar, folder)
        assert "\nalpha says: \n  broken off: " in pieces
        assert "The answer broke off before it was complete." in pieces
    assert not beta.requests
