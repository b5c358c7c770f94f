"""llmock, an upstream that misbehaves, written by somebody else: a process that is told what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.acceptance.serving import bound

__all__ = ["Llmock", "llmock"]

_PATIENCE: Final = 20.0
"""Seconds that it may take to listen, on a machine that is busy with other things."""


class Llmock:
    """One llmock server. `mark` is in everything it says."""

    def __init__(self, name: str, port: int) -> None:
        self.mark = f"mark-of-{name}"
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self._control = httpx2.Client(base_url=f"http://127.0.0.1:{port}/_llmock", trust_env=False)

    @property
    def words(self) -> str:
        """The text of each of its answers."""
        return f"{self.mark} answers in several words."

    def behave(self, *behaviours: Mapping[str, object]) -> None:
        """Forget everything, then behave like this until the next call."""
        self._control.post("/reset").raise_for_status()
        all_behaviours: tuple[Mapping[str, object], ...] = (
            {"type": "reply", "text": self.words},
            *behaviours,
        )
        lasting = [{"times": None, **behaviour} for behaviour in all_behaviours]
        self._control.post("/scenario", json={"behaviors": lasting}).raise_for_status()

    def requests(self) -> int:
        """How many requests it has had since the last call of `behave`."""
        return int(self._control.get("/requests").raise_for_status().json()["count"])

    def verdict(self) -> frozenset[str]:
        """The codes of everything it holds against its client."""
        findings: list[dict[str, Any]] = self._control.get("/verdict").raise_for_status().json()["findings"]
        return frozenset(str(finding["code"]) for finding in findings)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._control.get("/verdict").is_success
        except httpx2.TransportError:
            return False

    def close(self) -> None:
        """Close the connections to it."""
        self._control.close()


@contextmanager
def llmock(*names: str) -> Generator[tuple[Llmock, ...]]:
    """One running llmock for each name."""
    command = str(Path(sys.executable).with_name("llmock"))
    mocks: list[Llmock] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            with bound() as held:
                mocks.append(Llmock(name, held.getsockname()[1]))
            arguments = [
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(mocks[-1].port),
                "--log-level",
                "error",
            ]
            processes.append(subprocess.Popen([command, *arguments], stdout=subprocess.DEVNULL))
        until = time.monotonic() + _PATIENCE
        while not all(mock.ready() for mock in mocks):
            assert time.monotonic() < until, "llmock does not answer"
            assert all(process.poll() is None for process in processes), "llmock ended early"
            time.sleep(0.05)
        yield tuple(mocks)
    finally:
        for mock in mocks:
            mock.close()
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
