"""`python -m tests.chaos --store sqlite --requests 10000`: the figures of one run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .run import Scale, chaos
from .store_reader import STORES

__all__ = ["main"]


def main() -> int:
    """Run what the options ask for; 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--store", choices=STORES, action="append", help="may be repeated (default: all)")
    parser.add_argument("--requests", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--escrow", action="store_true", help="hold a slice of each budget in each process")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="leave logs and files there, in the place of what is"
    )
    options = parser.parse_args()
    sound = True
    for kind in options.store or STORES:
        with TemporaryDirectory(prefix="standby-chaos-") as made:
            folder = Path(made) if options.keep is None else options.keep / kind
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.iterdir():
                left.unlink()
            scale = Scale(options.requests, kill_every=max(200, options.requests // 12), jump_every=150)
            figures = asyncio.run(chaos(kind, scale, options.seed, folder, escrow=options.escrow))
        print(f"-- {kind}, seed {options.seed}{', escrow' if options.escrow else ''}")
        print("\n".join(figures.lines()), flush=True)
        sound = sound and not figures.wrong
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
