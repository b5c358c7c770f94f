"""How the gateway says no: a refusal as status, headers and body, in the caller's dialect.

Everything that refuses uses this: Hygiene, Failover, Relay, and the server when a request is too broken to
reach them. The message is the code's fixed text: no answer repeats input, keys, addresses or upstream text.
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
"""Where each official SDK looks for what it calls `request_id`."""


def dialect_of(path: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The dialect of a caller whose request names no operation: Anthropic's SDK gives itself away."""
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "anthropic" if any(name == b"anthropic-version" for name, _ in headers) else "openai"


def render(
    refusal: Refusal, request_id: str, dialect: str, attempts: Sequence[Mapping[str, str]] = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and JSON body. `attempts` (`target` and `fault` of each) are told to the caller.

    The answer says `x-should-retry: false`, as the gateway has tried all there is to try: the official SDKs
    would otherwise multiply every outage by three. Retry-After is for whoever queues the work.
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
        (b"x-standby-request-id", identifier),
        (_REQUEST_ID_HEADER.get(dialect, b"x-request-id"), identifier),
    ]
    if not refusal.retryable:
        headers.append((b"x-should-retry", b"false"))
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(refusal.retry_after)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(refusal.retry_after * 1000)))
    if refusal.close:
        headers.append((b"connection", b"close"))
    headers.extend(refusal.headers)
    return status, headers, body


async def send_refusal(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send the refusal as the whole answer to this request, with what became of each of its targets."""
    exchange = Exchange.of(scope)
    exchange.notes += [pair for pair in refusal.headers if pair[0].startswith(b"x-standby-")]
    status, headers, body = render(refusal, exchange.id, exchange.dialect, exchange.tried())
    headers += [pair for pair in exchange.report() if pair not in headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _type(status: int, dialect: str) -> str:
    if dialect == "anthropic":
        return _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
