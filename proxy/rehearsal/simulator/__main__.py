"""Runs one simulated provider: `python -m standby.proxy.rehearsal.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import get_args

from .answer_format import Reports
from .provider import CUES, Simulator

__all__ = ["main", "run"]


async def run(name: str, port: int, pace: float, words: int, reports: Reports) -> None:
    """Run one provider until it is interrupted. `words` is the number of deltas in an answer."""
    text = tuple(f"{name}-{number} " for number in range(words))
    async with Simulator(name, port=port, pace=pace, words=text, reports=reports) as provider:
        curl = f"""curl {provider.origin}/_simulator/fault -d '{{"fault": "outage"}}'"""
        sys.stdout.write(f"{name} answers at {provider.url}\n  {curl}   # or: {', '.join(CUES)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Parse the command line and run one provider."""
    parser = argparse.ArgumentParser(description="A provider that misbehaves on cue.")
    parser.add_argument("--name", default="alpha")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between the events of a stream")
    parser.add_argument("--words", type=int, default=0, help="deltas in an answer")
    parser.add_argument(
        "--reports", choices=get_args(Reports), default="asked", help="when it tells what was used"
    )
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.name, options.port, options.pace, options.words, options.reports))


if __name__ == "__main__":
    main()
