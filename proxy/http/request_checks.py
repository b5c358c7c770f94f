"""Checks of a request's head (method, path, headers), independent of the server's parser. No I/O.

Parsers differ: one repairs what another rejects, and two readers may understand a repaired request
differently. So all rules are implemented here, on the ASGI scope, with the same result under any server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from ..asgi import Headers
from ..dialects.base import Operation
from ..errors import Refusal
from ..keys.credentials import CREDENTIALS
from .paths import MODELS, route, unknown_route

__all__ = [
    "CHUNKED",
    "MAX_HEADERS",
    "USUAL",
    "RequestChecks",
    "body_length",
    "check_host",
    "examine",
    "local_path",
]

CHUNKED: Final = -1
"""The length of a body with chunked transfer encoding, which is not known in advance."""

MAX_HEADERS: Final = 100
"""The most headers of a request. Envoy has the same limit, HAProxy allows 101; the official SDKs send about
20."""

_NO_BODY: Final = 64 * 1024
"""Bytes of a body that nobody reads, as some clients send with a GET."""
_MAX_DIGITS: Final = 18  # of a content length; more would not fit into 64 bits

_Pairs: TypeAlias = list[tuple[bytes, bytes]]
_First: TypeAlias = Mapping[bytes, bytes]  # the first value of each header that a check reads
_Repeated: TypeAlias = Mapping[bytes, list[bytes]]  # its further values

# What to do with a header.
_KEPT: Final = 0
# Concerns only this connection, or an unsupported feature, or makes a claim that cannot be verified.
_DROPPED: Final = 1
_NOTED: Final = 2  # kept, and read by a check
_READ: Final = 3  # read by a check, and then dropped


def _header_actions() -> dict[bytes, int]:
    """Returns the action for each header that is not simply kept."""
    table = {
        # A caller's request id may contain anything, so it is never echoed; the gateway makes its own.
        _DROPPED: "expect forwarded http2-settings keep-alive range request-id te trailer upgrade"
        " x-request-id",
        _NOTED: "authorization baggage content-encoding content-length content-type host idempotency-key"
        " traceparent tracestate x-api-key x-goog-api-key x-standby-on-break",
        _READ: "connection transfer-encoding x-standby-timeout-ms",
    }
    return {name.encode(): action for action, names in table.items() for name in names.split()}


_ACTIONS: Final = MappingProxyType(_header_actions())
_DROPPED_KINDS: Final = (b"if-", b"proxy-", b"x-forwarded-", b"x-standby-")
USUAL: Final = frozenset(
    name.strip()
    for name in b"""
    accept, accept-encoding, accept-language, anthropic-beta, anthropic-dangerous-direct-browser-access,
    anthropic-version, authorization, connection, content-length, content-type, host, openai-beta,
    openai-organization, openai-project, user-agent, x-api-key, x-stainless-arch, x-stainless-async,
    x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version,
    x-stainless-read-timeout, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version,
    x-stainless-timeout
    """.split(b",")
)
"""The headers that official SDKs and curl send. All but `connection` are kept. No check accepts a value of
these with blanks around it."""

_RARE: Final = frozenset(
    {b"baggage", b"idempotency-key", b"traceparent", b"tracestate", b"x-standby-timeout-ms"}
)
_NO_HEADER_NAMED: Final = frozenset({b"close", b"keep-alive"})
_NONE_REPEATED: Final[_Repeated] = MappingProxyType({})

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_JSON: Final = re.compile(rb'(?i:application/json)(?:[ \t]*;[ \t]*(?i:charset)=(?i:utf-8|"utf-8"))?')
_MILLISECONDS: Final = re.compile(rb"[1-9][0-9]{0,8}")
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")
_PRINTABLE: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_CONTROL_CHARACTER: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"  # W3C Trace Context, 3.2
)
_MAX_TRACESTATE: Final = 512  # bytes; W3C Trace Context, 3.3.1.5
_MAX_BAGGAGE: Final = 8192  # bytes; W3C Baggage, 3.3.2


class RequestChecks(NamedTuple):
    """The result of the checks for a request that is accepted.

    `headers` are the kept headers, without trailers after the body. `path` is relative to the mount point of
    the gateway. `operation` is None if the gateway itself answers. `time_limit` is the number of seconds that
    the caller is willing to wait, or None.
    """

    headers: Headers
    path: str
    operation: Operation | None
    time_limit: float | None


def examine(scope: Mapping[str, Any], max_body: int) -> RequestChecks:
    """Check the request of an ASGI scope of type "http", before its body is received. Raises Refusal.

    `max_body` is the most bytes of a body.
    """
    pairs: _Pairs = list(scope["headers"])
    first = dict(pairs)
    if (
        len(first) == len(pairs)
        and USUAL.issuperset(first)
        and not b"".join(first.values()).translate(None, _PRINTABLE)
    ):
        # The fast path, for nearly every request. A request that it rejects is checked again on the slow
        # path, which accepts blanks around a value (llhttp does not remove them, h11 does) and pairs that are
        # lists.
        try:
            if (connection := first.get(b"connection")) is not None:
                pairs.remove((b"connection", connection))
            return _check(scope, max_body, tuple(pairs), first, _NONE_REPEATED)
        except (Refusal, ValueError):
            pairs = list(scope["headers"])
    return _examine_slowly(scope, max_body, pairs)


def _examine_slowly(scope: Mapping[str, Any], max_body: int, pairs: _Pairs) -> RequestChecks:
    """The slow path of `examine`, for any headers."""
    checked = _check(scope, max_body, *_classify_headers(pairs))
    if any(_CONTROL_CHARACTER.search(value) for _, value in pairs):  # h11 accepts most control characters
        raise Refusal("malformed_request", close=True)
    return checked


def _check(
    scope: Mapping[str, Any], max_body: int, kept: Headers, first: _First, repeated: _Repeated
) -> RequestChecks:
    """Run the checks in this order: framing, host, path, content, and rare headers. Credentials are Auth's.

    `kept` are the headers to keep; `first` and `repeated` hold the values that the checks read.
    """
    version: str = scope["http_version"]
    length = body_length(version, first.get(b"content-length"), first.get(b"transfer-encoding"), repeated)
    check_host(version, first.get(b"host"), repeated)

    path = local_path(scope)
    matched = route(scope["method"], path)

    if (connection := first.get(b"connection")) is not None and (
        repeated or connection not in _NO_HEADER_NAMED
    ):
        kept = _without_named(kept, (connection, *repeated.get(b"connection", ())))
    if matched.operation is not None:
        _check_content(first, repeated)
    if length > (max_body if matched.operation is not None else _NO_BODY):
        raise Refusal("body_too_large", close=True)
    time_limit = None
    if repeated is not _NONE_REPEATED and not _RARE.isdisjoint(first):  # never on the fast path
        _check_idempotency_key(first, repeated)
        time_limit = _time_limit(first, repeated)
        kept = _with_valid_trace(kept, first, repeated)
    return RequestChecks(kept, path, matched.operation, time_limit)


def local_path(scope: Mapping[str, Any]) -> str:
    """Returns the path relative to the mount point of the gateway.

    Raises Refusal `malformed_request` for a target that is not a path, and `unknown_route` for a path with
    non-ASCII characters, or with percent-encoded ones that are not in the name of a model.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) :][:1] == "/":
        path = path[len(root) :]
    if path[:1] != "/":  # absolute form or authority form, which some parsers pass on
        raise Refusal("malformed_request", close=True)
    raw: bytes | None = scope.get("raw_path")
    if not path.isascii():
        raise Refusal("unknown_route")
    if raw is not None and not raw.endswith(path.encode()) and not _names_model(path, raw):
        raise unknown_route(path)
    return path


def _names_model(path: str, raw: bytes) -> bool:
    """Whether only the name of a model is percent-encoded, as SDKs do with `org/model`.

    The name is then compared with those in the file and nothing else, so that no encoding leads elsewhere.
    """
    _, _, name = raw.partition(MODELS.encode() + b"/")
    return bool(name) and path == f"{MODELS}/" + unquote_to_bytes(name).decode("latin-1")


def body_length(
    version: str, length: bytes | None, encoding: bytes | None, repeated: Mapping[bytes, object]
) -> int:
    """Returns the number of bytes of the body, or CHUNKED.

    `length` and `encoding` are the values of Content-Length and Transfer-Encoding. `repeated` contains the
    names of the headers that occur more than once. Raises Refusal `ambiguous_framing` if two readers could
    determine different lengths (RFC 9112, 6.3), even where the RFC allows a server to repair the framing:
    request smuggling exploits such repairs.
    """
    if encoding is not None:
        valid = encoding.lower() == b"chunked" and version == "1.1" and length is None
        if not valid or b"transfer-encoding" in repeated:
            raise Refusal("ambiguous_framing", close=True)
        return CHUNKED
    if length is None:
        return 0
    if b"content-length" in repeated or not length.isdigit() or len(length) > _MAX_DIGITS:
        raise Refusal("ambiguous_framing", close=True)
    return int(length)


def check_host(version: str, host: bytes | None, repeated: Mapping[bytes, object]) -> None:
    """Raise Refusal `bad_host` unless there is exactly one valid Host header. It is optional in HTTP/1.0."""
    if host is None:
        if version != "1.0":
            raise Refusal("bad_host", close=True)
    elif b"host" in repeated or _HOST.fullmatch(host) is None:
        raise Refusal("bad_host", close=True)


def _classify_headers(pairs: _Pairs) -> tuple[Headers, dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """Returns the kept headers, and the first and the further values of those that the checks read.

    Raises Refusal `headers_too_large` if there are more than MAX_HEADERS.
    """
    if len(pairs) > MAX_HEADERS:
        raise Refusal("headers_too_large", close=True)
    kept: _Pairs = []
    first: dict[bytes, bytes] = {}
    repeated: dict[bytes, list[bytes]] = {}
    action_of = _ACTIONS.get
    for raw_name, value in pairs:
        name = raw_name
        action = action_of(name)
        if action is None:
            name = raw_name.lower()
            action = action_of(name)
            if action is None:
                action = _DROPPED if b"_" in name or name.startswith(_DROPPED_KINDS) else _KEPT
        if action == _KEPT:
            kept.append((name, value))
        elif action >= _NOTED:
            stripped = value.strip(b" \t")  # llhttp does not remove blanks after a value, h11 does
            if name in first:
                repeated.setdefault(name, []).append(stripped)
            else:
                first[name] = stripped
            if action == _NOTED:
                kept.append((name, stripped))
    return tuple(kept), first, repeated


def _without_named(kept: Headers, connections: Iterable[bytes]) -> Headers:
    """Returns the headers without those that `Connection` names, which are for this hop only.

    Raises Refusal `invalid_header` if it names a header with credentials.
    """
    named = {token.strip(b" \t").lower() for value in connections for token in value.split(b",")}
    if not named.isdisjoint(CREDENTIALS):
        raise Refusal("invalid_header", param="connection")
    return tuple(pair for pair in kept if pair[0] not in named)


def _check_content(first: _First, repeated: _Repeated) -> None:
    """Raise Refusal unless the headers declare an uncompressed body of type JSON in UTF-8."""
    kind = first.get(b"content-type")
    if kind != b"application/json" and (kind is None or _JSON.fullmatch(kind) is None):
        raise Refusal("unsupported_media_type")
    encoding = first.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise Refusal("unsupported_media_type")
    if repeated and (b"content-type" in repeated or b"content-encoding" in repeated):
        raise Refusal("unsupported_media_type")


def _check_idempotency_key(first: _First, repeated: _Repeated) -> None:
    key = first.get(b"idempotency-key")
    if key is not None and (b"idempotency-key" in repeated or _IDEMPOTENCY_KEY.fullmatch(key) is None):
        raise Refusal("invalid_header", param="idempotency-key")


def _time_limit(first: _First, repeated: _Repeated) -> float | None:
    """Returns the caller's time limit in seconds, or None. Raises Refusal `invalid_header`."""
    limit = first.get(b"x-standby-timeout-ms")
    if limit is None:
        return None
    if b"x-standby-timeout-ms" in repeated or _MILLISECONDS.fullmatch(limit) is None:
        raise Refusal("invalid_header", param="x-standby-timeout-ms")
    return int(limit) / 1000


def _with_valid_trace(kept: Headers, first: _First, repeated: _Repeated) -> Headers:
    """Returns the headers without an invalid trace context: a new trace is better than a broken one."""
    invalid: set[bytes] = set()
    parent = first.get(b"traceparent")
    state = _size(b"tracestate", first, repeated)
    valid = (
        parent is not None and b"traceparent" not in repeated and _TRACEPARENT.fullmatch(parent) is not None
    )
    if not valid or state > _MAX_TRACESTATE:
        invalid |= {b"traceparent", b"tracestate"}
    if _size(b"baggage", first, repeated) > _MAX_BAGGAGE:
        invalid.add(b"baggage")
    return tuple(pair for pair in kept if pair[0] not in invalid)


def _size(name: bytes, first: _First, repeated: _Repeated) -> int:
    return len(first.get(name, b"")) + sum(map(len, repeated.get(name, ())))
