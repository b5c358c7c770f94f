"""The command `standby serve`: runs the gateway in one process, or in several that share a port."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple

from typing_extensions import override
from uvicorn import Server
from uvicorn.supervisors import Multiprocess

from ..budget.metering.price_card import lookup
from ..config import Routes, parse_routes
from ..gateway import Gateway
from .admin import AdminListener
from .alerting import Alerting
from .logs import log_config
from .otel import OpenTelemetry, is_wanted
from .reload import Reloader
from .reporting import Reporting
from .settings import configuration
from .worker_board import WorkerBoard

__all__ = ["serve"]


class Shared(NamedTuple):
    """What the parent process makes for its workers: the admin listener's socket, and the folder in which
    they leave their reports for each other."""

    admin: socket.socket | None
    folder: Path | None


def serve(
    routes: Routes, *, host: str, port: int, workers: int = 1, logs: Mapping[str, Any] | None = None
) -> int:
    """Serve the gateway of these routes until SIGTERM or SIGINT. Returns the exit code.

    Each worker builds its own gateway, since connections and health belong to a process. All of them build it
    from the text that was validated, even if the file has changed since. Then each worker watches the file,
    and loads a changed version if it is valid. `logs` configures logging. Raises ConfigError if the address
    of `[admin]` cannot be used.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="standby-")) if workers > 1 else None
        shared = Shared(_admin_socket(routes, stack), None if folder is None else Path(folder))
        build = partial(_gateway, routes.source, routes.file, shared)
        config = configuration(
            *(build, host, port),
            factory=True,
            workers=workers,
            log_config=log_config() if logs is None else dict(logs),
        )
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


def _admin_socket(routes: Routes, stack: ExitStack) -> socket.socket | None:
    """Returns the bound socket of the admin listener, None without one."""
    if routes.admin is None:
        return None
    family = socket.AF_INET6 if ":" in routes.admin.host else socket.AF_INET
    listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((routes.admin.host, routes.admin.port))
        listening.listen()  # at once: before that, Linux lets another socket of ours have the same address
    except OSError as error:
        reason = error.strerror or str(error)
        raise routes.error(("admin", "listen"), f"cannot listen on {routes.admin.listen}: {reason}") from None
    listening.set_inheritable(True)
    return listening


class _Workers(Multiprocess):
    """uvicorn's supervisor, but SIGHUP is forwarded to the workers.

    uvicorn would replace the workers. They reload by themselves, without closing connections.
    """

    @override
    def handle_hup(self) -> None:
        for worker in self.processes:
            if worker.pid is not None and worker.process.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)


def _gateway(source: str, file: str, shared: Shared) -> Gateway:
    """Returns a gateway, and exempts all objects made so far from garbage collection.

    They live until the process ends. Scanning them would take 20 to 50 ms per collection, in which no request
    is served.
    """
    gateway = Gateway(parse_routes(source, file, prices=lookup))
    routes = gateway.routes
    gateway.beside.append(Reloader(gateway))
    reporting = Reporting(gateway, WorkerBoard(shared.folder))
    if is_wanted(routes):
        reporting.exports = OpenTelemetry(routes, reporting.own_samples)
        gateway.beside.append(reporting.exports)
    gateway.beside += [reporting, Alerting(reporting)]
    if routes.admin is not None and shared.admin is not None:
        gateway.beside.append(AdminListener(reporting, routes.admin, shared.admin))
    gateway.prepare()
    gc.collect()
    gc.freeze()
    return gateway


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
