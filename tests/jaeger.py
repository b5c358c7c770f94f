"""A real Jaeger for tests: it takes traces by OTLP over HTTP, keeps them in memory and answers queries.

Its program is taken from the user's cache folder. It is built from source into there, once, where there is
Go, and only if STANDBY_BUILD_JAEGER=1 asks for that, since it takes minutes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

__all__ = ["Jaeger", "jaeger_binary", "jaeger_or_reason", "running_jaeger"]

_CACHE: Final = Path.home() / ".cache" / "standby"
_NAME: Final = "jaeger-all-in-one"
_BUILD_TIME: Final = 900.0
"""Seconds that a build may take, the wait for another process's build among them."""
_START_TIME: Final = 30.0
"""Seconds that a start may take, on a machine that is busy with other things."""

_PACKAGE: Final = "github.com/jaegertracing/jaeger/cmd/all-in-one"
_SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools.go": f'//go:build tools\n\npackage tools\n\nimport _ "{_PACKAGE}"\n',
        # Jaeger's own replacement, which holds only in its own module.
        "go.mod": (
            "module tools\n\n"
            "go 1.25.0\n\n"
            "require github.com/jaegertracing/jaeger v1.76.0\n\n"
            "replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0\n"
        ),
    }
)
_COMMANDS: Final = (("go", "mod", "tidy"), ("go", "build", "-o", _NAME, _PACKAGE))

_LISTENERS: Final = (
    "--collector.otlp.http.host-port=127.0.0.1:0",
    "--collector.otlp.grpc.host-port=127.0.0.1:0",
    "--collector.http-server.host-port=127.0.0.1:0",
    "--collector.grpc-server.host-port=127.0.0.1:0",
    "--query.http-server.host-port=127.0.0.1:0",
    "--query.grpc-server.host-port=localhost:0",  # it refuses the same text as for HTTP, even with port 0
    "--admin.http.host-port=127.0.0.1:0",
)
"""All of them: left out, each listens on a fixed port of every interface. The system chooses the ports."""
_ENVIRON: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SPAN_STORAGE_TYPE": "memory",
        "OTEL_TRACES_SAMPLER": "always_off",  # else it sends traces of itself to localhost:4317
    }
)
"""Nothing of the developer's own: each of its flags can be set by a variable too."""


@dataclass(frozen=True, slots=True)
class Jaeger:
    """A running one. Traces go to `{otlp}/v1/traces`; `{query}/api/traces?service=...` finds them."""

    otlp: str
    query: str
    pid: int


def jaeger_binary() -> Path | None:
    """The program, or None where there is none and none was to be built; stderr then says why."""
    found = jaeger_or_reason()
    if isinstance(found, Path):
        return found
    sys.stderr.write(f"{found}\n")
    return None


@cache
def jaeger_or_reason() -> Path | str:
    """The program, or why there is none. One process tries to build it once at most."""
    binary = _CACHE / _NAME
    if binary.is_file():
        return binary
    if os.environ.get("STANDBY_BUILD_JAEGER") != "1":
        return f"no Jaeger at {binary}; STANDBY_BUILD_JAEGER=1 builds it there, in minutes"
    if shutil.which("go") is None:
        return f"no Jaeger at {binary}, and no Go on the path to build it with"
    deadline = time.monotonic() + _BUILD_TIME
    try:
        _CACHE.mkdir(parents=True, exist_ok=True)
        with _locked(_CACHE / f"{_NAME}.lock", deadline):
            if not binary.is_file():  # else another process has built it meanwhile
                _build(binary, deadline)
    except TimeoutError:
        return f"Jaeger was not built within {_BUILD_TIME:.0f} s"
    except (OSError, RuntimeError) as problem:
        return f"Jaeger could not be built: {problem}"
    return binary


@contextmanager
def running_jaeger(binary: Path, static_files: Path | None = None) -> Generator[Jaeger]:
    """A Jaeger of one's own, from its readiness until the block ends; with `static_files`, its UI too."""
    command = [str(binary), *_LISTENERS]
    if static_files is not None:
        command.append(f"--query.static-files={static_files}")
    with tempfile.TemporaryDirectory(prefix="jaeger-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(_ENVIRON),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _when_ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _when_ready(process: subprocess.Popen[bytes], log: Path) -> Jaeger:
    """Wait until it says that it is ready; where it listens, it has said before."""
    deadline = time.monotonic() + _START_TIME
    while time.monotonic() < deadline and process.poll() is None:
        otlp = query = ""
        for event in _events(log):
            match event:
                case {"msg": "Starting HTTP server", "endpoint": str(address)}:
                    otlp = address
                case {"msg": "Query server started", "http_addr": str(address)}:
                    query = address
                case {"msg": "Health Check state change", "status": "ready"} if otlp and query:
                    return Jaeger(f"http://{otlp}", f"http://{query}", process.pid)
                case _:
                    pass
        time.sleep(0.01)
    raise RuntimeError(f"Jaeger did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _events(log: Path) -> Generator[Any]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            with suppress(ValueError):  # a line that is not yet written to its end
                yield json.loads(line)


def _build(binary: Path, deadline: float) -> None:
    with tempfile.TemporaryDirectory(prefix="build-", dir=binary.parent) as name:
        folder = Path(name)
        for file, text in _SOURCES.items():
            (folder / file).write_text(text, encoding="utf-8")
        for command in _COMMANDS:
            _run(command, folder, deadline)
        (folder / _NAME).replace(binary)


def _run(command: tuple[str, ...], folder: Path, deadline: float) -> None:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "GOWORK": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # the compilers that it starts end with it
    )
    try:
        output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        last = output.decode(errors="replace")[-2000:]
        raise RuntimeError(f"`{' '.join(command)}` ended with {process.returncode}:\n{last}")


@contextmanager
def _locked(path: Path, deadline: float) -> Generator[None]:
    """Hold the lock, which ends with its process however that ends."""
    with path.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                time.sleep(0.5)
            else:
                break
        yield
