"""What is measured: how each contender is started, and what it can be asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .processes import module

__all__ = ["CONTENDERS", "Contender", "found"]

_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 10000000;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 1000;
    keepalive_requests 10000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way for a request to reach the upstream, or, where `relays` is false, to be answered on the way.

    `command` makes its command line from its port, the upstream's, and a folder for its files; None where
    requests go straight to the upstream.
    """

    name: str
    what: str
    command: Callable[[int, int, Path], list[str]] | None
    relays: bool = True


def found(program: str) -> str | None:
    """Where a program is, also where only an administrator's path would find it."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")


def _nginx(port: int, upstream: int, folder: Path) -> list[str]:
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream), encoding="utf-8")
    return [found("nginx") or "nginx", "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(conf)]


def _python(name: str) -> Callable[[int, int, Path], list[str]]:
    def command(port: int, upstream: int, folder: Path) -> list[str]:
        del folder
        return module("gateways", name, "--port", str(port), "--upstream", str(upstream))

    return command


CONTENDERS: Final = (
    Contender("direct", "no gateway", None),
    Contender("nginx", "a plain streaming proxy", _nginx),
    Contender("uvicorn", "uvicorn alone, answering a constant", _python("uvicorn"), relays=False),
    Contender("server", "Standby's server alone, answering a constant", _python("server"), relays=False),
    Contender("bare", "a pass-through on uvicorn and Standby's transport", _python("bare")),
    Contender("standby", 'the gateway: stack ["failover"], a pool of two targets', _python("standby")),
    Contender("money", "with auth and budget, the store in memory", _python("money")),
    Contender("money-sqlite", "with auth and budget, the store in SQLite", _python("money-sqlite")),
    Contender("all", "all six middlewares, the store in SQLite", _python("all")),
)
"""In the order of the tables. Neighbours are compared, so they are measured one after the other."""
