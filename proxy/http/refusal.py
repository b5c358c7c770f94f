"""Renders a refusal as status, headers and body in the caller's dialect.

It is used by everything that refuses a request: Hygiene, the middlewares, Relay, and the server if a request
cannot be parsed. The message is the fixed text of the error code, so that no response repeats input, keys,
addresses or upstream text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..asgi import Scope, Send
from ..errors import Refusal
from ..exchange import Exchange

__all__ = ["dialect_of", "render", "send_refusal"]

_OPENAI_TYPES: Final = MappingProxyType(
    {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
)
_ANTHROPIC_TYPES: Final = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
_REQUEST_ID_HEADER: Final = MappingProxyType({"anthropic": b"request-id", "openai": b"x-request-id"})
"""By dialect: the header from which the official SDK reads its `request_id`."""
_OWN: Final = b"x-standby-"


def dialect_of(path: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Returns the dialect of a request without a known operation, from its path and Anthropic's header."""
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "anthropic" if any(name == b"anthropic-version" for name, _ in headers) else "openai"


def render(
    refusal: Refusal, request_id: str, dialect: str, attempts: Sequence[Mapping[str, str]] = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Returns status, headers and JSON body, without the `x-standby-*` headers of the request's report.

    `attempts` is added to the body: `target` and `fault` of each.

    Unless the refusal is retryable, the header `x-should-retry: false` keeps the official SDKs from retrying:
    the gateway has already tried every target, and they would multiply an outage's requests by three.
    Retry-After is for callers that queue the work.
    """
    status = refusal.status
    error: dict[str, Any] = {"message": refusal.message, "type": _type(status, dialect), "code": refusal.code}
    content: dict[str, Any]
    if dialect == "anthropic":
        if refusal.param is not None:
            error["param"] = refusal.param
        content = {"type": "error", "error": error, "request_id": request_id}
    else:
        error |= {"param": refusal.param, "request_id": request_id}
        content = {"error": error}
    if attempts:
        error["attempts"] = attempts
    body = orjson.dumps(content)

    identifier = request_id.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (_REQUEST_ID_HEADER.get(dialect, b"x-request-id"), identifier),
    ]
    if not refusal.retryable:
        headers.append((b"x-should-retry", b"false"))
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(refusal.retry_after)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(refusal.retry_after * 1000)))
    if refusal.close:
        headers.append((b"connection", b"close"))
    headers += [pair for pair in refusal.headers if not pair[0].startswith(_OWN)]
    return status, headers, body


async def send_refusal(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send the refusal as the whole response, with the result of each of the request's targets.

    In a gateway the `x-standby-*` headers are added by Hygiene, as they are to every response.
    """
    exchange = Exchange.of(scope)
    exchange.refusal = refusal.code
    exchange.notes += [pair for pair in refusal.headers if pair[0].startswith(_OWN)]
    status, headers, body = render(refusal, exchange.id, exchange.dialect, exchange.tried())
    if not exchange.relayed:
        headers += exchange.report()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _type(status: int, dialect: str) -> str:
    if dialect == "anthropic":
        return _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
