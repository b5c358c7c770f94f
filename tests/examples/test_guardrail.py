"""The example that redacts personal data on its way out of the EU, run as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.examples.conftest import EXAMPLES, PYTHON
from tests.programs import running

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SHOWN: Final = """\
The provider in the EU answers:
  the caller got   I wrote to ann@example.com just now.
  paris saw        Write to ann@example.com please
The provider in the EU is down:
  the caller got   I wrote to ann@example.com just now.
  boston saw       Write to [EMAIL_1] please
"""


async def test_personal_data_stays_in_the_eu(tmp_path: Path) -> None:
    """The provider in the EU sees the address, the other a placeholder, and the caller always the address."""
    async with running(PYTHON, str(EXAMPLES / "guardrail.py"), folder=tmp_path) as program:
        assert await program.ends() == 0, program.output
    assert program.output == SHOWN
