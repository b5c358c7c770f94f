"""Programs started as a person starts them at a shell, listened to, and ended by Ctrl-C or a supervisor."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

__all__ = ["NOTHING", "STANDBY", "Program", "own_environ", "running"]

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
STANDBY: Final = str(Path(sys.executable).with_name("standby"))
"""The command as it was installed beside this Python."""

_PATIENCE: Final = 30.0
"""Seconds that a start or a stop may take, on a machine that is busy with other things."""
_FOREIGN: Final = ("ANTHROPIC_", "OPENAI_", "PYTEST_", "STANDBY_")
"""Variables of the developer's own environment that must not decide what a test does; so must no proxy."""


class Program:
    """One running program. `output` is all that it has said so far, on either stream."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.output = ""

    @classmethod
    async def start(cls, command: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> Self:
        """Start `command` in `folder`, in a process group of its own, as a shell does."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**own_environ(), "PYTHONUNBUFFERED": "1", **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process)

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until what it has said matches `pattern`, which may span lines."""
        async with asyncio.timeout(_PATIENCE):
            while (match := re.search(pattern, self.output, re.MULTILINE)) is None:
                assert await self._hear(), f"it ended without saying {pattern!r}:\n{self.output}"
        return match

    async def address(self) -> str:
        """The address that uvicorn says it runs on, once somebody listens there.

        With several workers it says so before any of them does, and none of them says that it does.
        """
        running_on = await self.says(r"running on (http://(\S+):(\d+)) ")
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection(running_on[2], int(running_on[3]))
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return running_on[1]

    async def ends(self) -> int:
        """Wait until it has ended of itself; its exit code."""
        async with asyncio.timeout(_PATIENCE):
            while await self._hear():
                pass
            return await self._process.wait()

    async def interrupt(self) -> int:
        """Press Ctrl-C: the whole group hears it. Its exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return await self.ends()

    async def terminate(self) -> int:
        """Ask it to stop as a supervisor does: the first process alone hears it. Its exit code."""
        self._process.terminate()
        return await self.ends()

    @property
    def pid(self) -> int:
        """The first process."""
        return self._process.pid

    def hang_up(self) -> None:
        """Send it SIGHUP: the first process alone hears it."""
        self._process.send_signal(signal.SIGHUP)

    async def kill(self) -> None:
        """End whatever is left of it."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self.ends()

    async def _hear(self) -> bool:
        assert self._process.stdout is not None
        output = await self._process.stdout.read(65536)
        self.output += output.decode(errors="replace")
        return bool(output)


def own_environ() -> dict[str, str]:
    """The environment of this process, without what is the developer's own."""
    return {name: value for name, value in os.environ.items() if not _is_foreign(name)}


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name.lower().endswith("_proxy")


@asynccontextmanager
async def running(
    *command: str, folder: Path, environ: Mapping[str, str] = NOTHING
) -> AsyncGenerator[Program]:
    """A program, from its start until the block ends."""
    program = await Program.start(command, folder, environ)
    try:
        yield program
    finally:
        await program.kill()
