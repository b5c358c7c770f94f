"""The uvicorn settings of `standby serve`. Settings that would depend on the machine are set explicitly."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from uvicorn import Config
from uvicorn.config import LOGGING_CONFIG

from ..asgi import ASGIApp
from .inbound_protocol import H11Inbound, HttpToolsInbound
from .limits import ServerLimits

__all__ = ["Parser", "ServerConfig", "configuration"]

Parser: TypeAlias = Literal["httptools", "h11"]

_PROTOCOLS: Final = MappingProxyType({"httptools": HttpToolsInbound, "h11": H11Inbound})


class ServerConfig(Config):
    """uvicorn's configuration, with the limits that every connection in every worker process reads."""

    limits: ServerLimits = ServerLimits()


def configuration(
    app: ASGIApp | Callable[[], ASGIApp] | str,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    parser: Parser = "httptools",
    limits: ServerLimits | None = None,
    workers: int = 1,
    factory: bool = False,
    graceful_seconds: int = 25,
    access_log: bool = False,
    log_level: str = "info",
    log_config: dict[str, Any] | None = LOGGING_CONFIG,
) -> ServerConfig:
    """Returns the configuration of uvicorn for the gateway.

    `graceful_seconds` is how long streams may go on after SIGTERM; by default uvicorn would wait for ever.
    The keep-alive timeout is 75 s, to be longer than the usual 60 s of a load balancer. Forwarded headers are
    ignored, since uvicorn trusts them from 127.0.0.1. There are no WebSockets, no `server` header and, by
    default, no access log.
    """
    config = ServerConfig(
        app,
        host,
        port,
        loop="uvloop",
        http=_PROTOCOLS[parser],
        ws="none",
        lifespan="on",
        interface="asgi3",
        factory=factory,
        workers=workers,
        access_log=access_log,
        log_level=log_level,
        log_config=log_config,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=graceful_seconds,
    )
    if limits is not None:
        config.limits = limits
    return config
