"""The demo as a program, started once for all clients and ended with them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.programs import own_environ

__all__ = ["ROOT", "started"]

ROOT: Final = Path(__file__).resolve().parents[2]
"""Where a program can import the tests."""

_LISTENS: Final = re.compile(r"^Standby listens on (http://\S+)$")
_PATIENCE: Final = 20.0
"""Seconds that a program may take to end once it is asked to."""


@contextmanager
def started(*command: str, folder: Path, log: Path) -> Generator[str]:
    """The address of a gateway that `command` runs in `folder`, which keeps its log in the file `log`."""
    with (
        log.open("wb") as kept,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**own_environ(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=kept,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = next((match for line in process.stdout if (match := _LISTENS.match(line))), None)
            assert found is not None, f"it did not listen:\n{log.read_text()}"
            yield found[1]
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
