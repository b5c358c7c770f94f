"""`standby`, in a process whose clock can be moved from outside.

The file named by CHAOS_CLOCK holds a double: so many seconds the clock is ahead. Every process that the
command starts imports this module too, and so goes by the same clock. What is moved is the time of day;
monotonic clocks never jump, not even on a machine whose time is set.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path

__all__ = ["move_clocks"]


def move_clocks(path: Path) -> None:
    """Have the time of day in this process be ahead by what the file says, at any moment."""
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + struct.unpack("d", shared)[0]
    time.time_ns = lambda: real_ns() + int(struct.unpack("d", shared)[0] * 1e9)


if __name__ in {"__main__", "__mp_main__"} and "CHAOS_CLOCK" in os.environ:
    move_clocks(Path(os.environ["CHAOS_CLOCK"]))

if __name__ == "__main__":
    from standby.proxy.cli import main  # after the clock, so that nobody keeps the other one

    sys.exit(main())
