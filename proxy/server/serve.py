"""`standby serve`: the gateway as a process of its own, or several that share a port."""

from __future__ import annotations

import signal
import sys
from functools import partial
from types import FrameType

from uvicorn import Server
from uvicorn.supervisors import Multiprocess

from ..stack import Gateway
from .settings import configuration

__all__ = ["serve"]


def serve(routes: str, *, host: str, port: int, workers: int = 1) -> int:
    """Serve the gateway of the file `routes` until SIGTERM or SIGINT. Returns the exit code.

    Each worker builds its own gateway from the file, since connections and health belong to a process.
    """
    config = configuration(partial(Gateway, routes), host, port, factory=True, workers=workers)
    server = Server(config)
    # uvicorn stops gracefully and then raises the signal again; a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, _stopped)
    if workers > 1:
        Multiprocess(config, sockets=[config.bind_socket()]).run()
        return 0
    server.run()
    return 0 if server.started else 1


def _stopped(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
