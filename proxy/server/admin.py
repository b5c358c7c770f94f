"""The admin listener: metrics, status and explanations, apart from the port of the API."""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import orjson
from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Server

from ..config import Admin
from ..config.addresses import is_loopback
from ..config.table import Table
from ..errors import Refusal, StandbyError
from ..keys.key_store import KeyStore
from ..ops.explain import Question, explain
from ..stores.store import StoreDown
from ..telemetry.exposition import CONTENT_TYPE, exposition
from .reporting import Reporting
from .settings import configuration

__all__ = ["AdminListener", "admin_app"]

_MAX_BODY: Final = 256 * 1024
"""Bytes of a request to explain. Planning it takes time of the event loop that serves the API."""
_log: Final = logging.getLogger("standby.admin")

_Handler = Callable[[Request], Awaitable[Response]]


def admin_app(reporting: Reporting, admin: Admin) -> Starlette:
    """Returns the app of the admin listener. A host can mount it as well."""
    views = _Views(reporting)

    def guarded(view: _Handler) -> _Handler:
        async def handler(request: Request) -> Response:
            if (refusal := _refused(request, admin)) is not None:
                return refusal
            return await view(request)

        return handler

    return Starlette(
        routes=[
            Route("/metrics", guarded(views.metrics)),
            Route("/status.json", guarded(views.status)),
            Route("/explain", guarded(views.explain), methods=["POST"]),
        ]
    )


def _refused(request: Request, admin: Admin) -> Response | None:
    """Returns the refusal of a caller without the token, or None.

    Without a token only this machine can reach the listener. Then its name must be a loopback one, so that a
    page in a browser cannot read it under a name of its own.
    """
    if admin.token is None:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if host is not None and is_loopback(host):
            return None
        return _error(403, "host_not_allowed", "ask for it by a loopback address")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), admin.token.reveal().encode())
    if right and scheme.lower() == "bearer":
        return None
    response = _error(401, "invalid_token", "send authorization: Bearer with the token of [admin]")
    response.headers["www-authenticate"] = "Bearer"
    return response


class _Asked(Table):
    """The body of a request to explain; the options of `standby explain` have the same names."""

    pool: str
    request: dict[str, Any] | None = None
    operation: str | None = None
    key: str | None = None
    down: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    over_budget: bool = False
    budget_used: Annotated[float, Field(ge=0, le=1)] = 0.0

    def question(self) -> Question:
        """Returns what is asked, without who asks."""
        return Question(
            self.pool,
            self.request,
            self.operation,
            down=self.down,
            slow=self.slow,
            share=self.budget_used,
            over_budget=self.over_budget,
        )


class _Views:
    """What the listener answers."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    async def metrics(self, request: Request) -> Response:
        """The metrics of all workers, for Prometheus."""
        del request
        text = exposition(await self._reporting.samples())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def status(self, request: Request) -> Response:
        """The states of pools and targets, the configuration, the workers, and what is in progress."""
        del request
        return _json(await self._reporting.status())

    async def explain(self, request: Request) -> Response:
        """Where a request would go now, by the health of this worker's targets. Nothing is sent."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # So no page in a browser can send one.
            return _error(415, "unsupported_media_type", "send application/json")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _MAX_BODY:
                return _error(413, "body_too_large", f"at most {_MAX_BODY} bytes")
        try:
            asked = await asyncio.to_thread(_Asked.model_validate_json, bytes(body), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            return _error(400, "invalid_request", f"{where}: {first['msg']}")
        return await self._explained(asked)

    async def _explained(self, asked: _Asked) -> Response:
        gateway = self._reporting.gateway
        try:
            principal = None
            if asked.key is not None:
                principal = await KeyStore(gateway.routes, gateway.store).principal(asked.key)
            found = explain(asked.question(), gateway.routes, principal=principal, health=gateway.health)
        except StoreDown:
            return _error(503, "store_down", "the key cannot be looked up now")
        except Refusal as refusal:
            return _json({"refusal": refusal.code, "status": refusal.status, "text": refusal.message})
        except StandbyError as error:  # an unknown pool, target, operation or key
            return _error(404, "unknown_name", str(error))
        return _json(found.as_json())


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _error(status: int, code: str, message: str) -> Response:
    return _json({"error": {"code": code, "message": message}}, status)


class AdminListener:
    """Serves the admin app on a bound socket, beside the gateway in the same event loop."""

    def __init__(self, reporting: Reporting, admin: Admin, bound: socket.socket) -> None:
        app = admin_app(reporting, admin)
        config = configuration(app, admin.host, admin.port, log_config=None, graceful_seconds=1)
        config.lifespan = "off"
        self._server = Server(config)
        self._socket = bound
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        server = self._server
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[self._socket])
        host, port, *_ = self._socket.getsockname()
        _log.info("admin listener on %s", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._task = asyncio.create_task(server.main_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            await self._server.shutdown()
