"""`standby serve` under load while it is reloaded again and again.

    python -m tests.acceptance.reloading 1000

prints what `test_reload.py` asserts for a shorter run: no request fails, and memory comes back.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import openai
from standby.proxy.rehearsal.simulator import Simulator

from tests.programs import STANDBY, Program, running

__all__ = ["Churn", "Figures", "configuration", "served"]

_CALLERS: Final = 6
_WARM: Final = 50
"""Reloads before memory is first looked at: by then what grows once has grown."""
_PROVIDERS: Final = """\
[providers.alpha]
dialect = "openai"
base_url = "{alpha}"
[providers.beta]
dialect = "openai"
base_url = "{beta}"
"""
_TARGET: Final = '[targets.{name}]\nprovider = "{provider}"\nmodel = "m"\n'


def configuration(alpha: Simulator, beta: Simulator, *prefer: str, version: int = 1) -> str:
    """A pool of some of the targets main (at alpha) and spare (at beta); the others do not exist."""
    targets = {"main": "alpha", "spare": "beta"}
    return "".join(
        (
            'stack = ["budget", "route_select", "failover"]\n',
            'store = "sqlite:///standby.db"\n',  # in memory the ledger would grow with every request
            _PROVIDERS.format(alpha=alpha.url, beta=beta.url),
            *(_TARGET.format(name=name, provider=targets[name]) for name in prefer),
            f"[pools.support]\nprefer = {list(prefer)}\nmax_output = {version}\n".replace("'", '"'),
            'unpriced = "allow"\nlimits = { requests_per_second = 1000000 }\n',
        )
    )


@dataclass
class Figures:
    """What came of it. Memory is resident, in MiB."""

    reloads: int = 0
    requests: int = 0
    failures: list[str] = field(default_factory=list[str])
    before: float = 0.0
    after: float = 0.0


class Churn:
    """A served configuration, which is replaced while callers ask."""

    def __init__(self, program: Program, folder: Path, alpha: Simulator, beta: Simulator) -> None:
        self.program = program
        self.file = folder / "routes.toml"
        self.alpha = alpha
        self.beta = beta
        self.figures = Figures()
        self._version = 1
        self._over = False

    def write(self, *prefer: str, version: int = 1) -> None:
        """Replace the file, as a deployment does."""
        other = self.file.with_name("next")
        other.write_text(configuration(self.alpha, self.beta, *prefer, version=version))
        other.replace(self.file)

    async def reload(self, times: int) -> None:
        """Reload by signal, each time with another target and without the one before."""
        for _ in range(times):
            self._version += 1
            old = len(self.program.output)
            self.write("main" if self._version % 2 else "spare", version=self._version)
            self.program.hang_up()
            await self.program.says(rf"max_output \d+ -> {self._version}$")
            self.figures.reloads += 1
            assert len(self.program.output) > old

    async def run(self, reloads: int) -> Figures:
        """Reload so often under load, and take the figures."""
        address = await self.program.address()
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
            callers = [asyncio.create_task(self._call(client)) for _ in range(_CALLERS)]
            await self.reload(_WARM)
            self.figures.before = self.memory
            await self.reload(reloads - _WARM)
            self._over = True
            await asyncio.gather(*callers)
        self.figures.after = self.memory
        return self.figures

    async def _call(self, client: openai.AsyncOpenAI) -> None:
        while not self._over:
            self.figures.requests += 1
            try:
                stream = await client.chat.completions.create(
                    model="support", messages=[{"role": "user", "content": "hello"}], stream=True
                )
                deltas = [choice.delta async for chunk in stream for choice in chunk.choices]
                text = "".join([delta.content or "" for delta in deltas])
                if not text.endswith("says: all is well."):
                    self.figures.failures.append(text)
            except openai.OpenAIError as error:
                self.figures.failures.append(repr(error))

    @property
    def memory(self) -> float:
        """Of the first process."""
        status = Path(f"/proc/{self.program.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def served(folder: Path, *options: str) -> AsyncGenerator[Churn]:
    """The gateway in a process of its own, before two providers; it prefers main."""
    async with Simulator("alpha") as alpha, Simulator("beta") as beta:
        (folder / "routes.toml").write_text(configuration(alpha, beta, "main"))
        async with running(STANDBY, "serve", "--port", "0", *options, folder=folder) as program:
            yield Churn(program, folder, alpha, beta)


async def _main(reloads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder)) as churn:
            figures = await churn.run(reloads)
    print(f"{figures.reloads} reloads, {figures.requests} requests, {len(figures.failures)} failed")
    print(f"resident: {figures.before:.1f} MiB after {_WARM} reloads, {figures.after:.1f} MiB at the end")
    print(*figures.failures[:5], sep="\n")


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
