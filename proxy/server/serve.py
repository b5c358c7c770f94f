"""`standby serve`: the gateway as a process of its own, or several that share a port."""

from __future__ import annotations

import gc
import os
import signal
import sys
from functools import partial
from types import FrameType, MappingProxyType
from typing import Final

from typing_extensions import override
from uvicorn import Server
from uvicorn.config import LOGGING_CONFIG
from uvicorn.supervisors import Multiprocess

from ..budget.metering.price_card import lookup
from ..config import Routes, parse_routes
from ..gateway import Gateway
from .reload import Reloader
from .settings import configuration

__all__ = ["serve"]


_LOGGING: Final = MappingProxyType(
    {
        **LOGGING_CONFIG,
        "loggers": {
            **LOGGING_CONFIG["loggers"],
            # What failed over, and why, stands beside uvicorn's own lines.
            "standby": {"handlers": ["default"], "level": "INFO", "propagate": False},
        },
    }
)


def serve(routes: Routes, *, host: str, port: int, workers: int = 1) -> int:
    """Serve the gateway of these routes until SIGTERM or SIGINT. Returns the exit code.

    Each worker builds a gateway of its own, since connections and health belong to a process, and all build
    it from the text that was checked, whatever has become of the file. Then each watches the file, and takes
    up what has become of it, if that is sound.
    """
    build = partial(_gateway, routes.source, routes.file)
    config = configuration(build, host, port, factory=True, workers=workers, log_config=dict(_LOGGING))
    server = Server(config)
    # uvicorn stops gracefully and then raises the signal again; a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, _stopped)
    # Until the loop hears it: the file is looked at before the start in any case.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if workers > 1:
        _Workers(config, sockets=[config.bind_socket()]).run()
        return 0
    server.run()
    return 0 if server.started else 1


class _Workers(Multiprocess):
    """uvicorn's workers, which it would replace at SIGHUP; they reload by themselves, and cut nobody off."""

    @override
    def handle_hup(self) -> None:
        for each in self.processes:
            if each.pid is not None and each.process.exitcode is None:
                os.kill(each.pid, signal.SIGHUP)


def _gateway(source: str, file: str) -> Gateway:
    """The gateway, and all that was made so far taken from the sight of the garbage collector.

    It is there until the end, and going through it takes 20 to 50 ms each time, in which nobody is served.
    """
    gateway = Gateway(parse_routes(source, file, prices=lookup))
    gateway.beside.append(Reloader(gateway))
    gc.collect()
    gc.freeze()
    return gateway


def _stopped(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
