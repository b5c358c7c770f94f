"""The command `standby serve`: runs the gateway in one process, or in several that share a port."""

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
            # The log of failovers appears next to uvicorn's own lines.
            "standby": {"handlers": ["default"], "level": "INFO", "propagate": False},
        },
    }
)


def serve(routes: Routes, *, host: str, port: int, workers: int = 1) -> int:
    """Serve the gateway of these routes until SIGTERM or SIGINT. Returns the exit code.

    Each worker builds its own gateway, since connections and health belong to a process. All of them build it
    from the text that was validated, even if the file has changed since. Then each worker watches the file,
    and loads a changed version if it is valid.
    """
    build = partial(_gateway, routes.source, routes.file)
    config = configuration(build, host, port, factory=True, workers=workers, log_config=dict(_LOGGING))
    server = Server(config)
    # uvicorn stops gracefully and then raises the signal again. A requested stop must exit with 0.
    signal.signal(signal.SIGTERM, _exit)
    # Ignored until the loop handles it. The file is checked at the start in any case.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if workers > 1:
        _Workers(config, sockets=[config.bind_socket()]).run()
        return 0
    server.run()
    return 0 if server.started else 1


class _Workers(Multiprocess):
    """uvicorn's supervisor, but SIGHUP is forwarded to the workers.

    uvicorn would replace the workers. They reload by themselves, without closing connections.
    """

    @override
    def handle_hup(self) -> None:
        for worker in self.processes:
            if worker.pid is not None and worker.process.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)


def _gateway(source: str, file: str) -> Gateway:
    """Returns a gateway, and exempts all objects made so far from garbage collection.

    They live until the process ends. Scanning them would take 20 to 50 ms per collection, in which no request
    is served.
    """
    gateway = Gateway(parse_routes(source, file, prices=lookup))
    gateway.beside.append(Reloader(gateway))
    gc.collect()
    gc.freeze()
    return gateway


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
