"""What a request may look like when it enters, whatever its server's parser let through. No I/O.

Parsers differ: what one refuses another repairs, and a repaired request is read differently by two readers.
So every rule stands here once, over the ASGI scope, and gives one answer under any server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from ..asgi import Headers
from ..dialects.base import Operation
from ..errors import Refusal
from ..keys.credentials import CREDENTIALS
from .paths import admit_query, route

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
"""The length of a body that tells its length as it goes."""

MAX_HEADERS: Final = 100
"""As Envoy has it; HAProxy stops at 101. The official SDKs send about 20."""

_MAX_DIGITS: Final = 18  # of a length; more would not fit the parsers' 64 bits

_Pairs: TypeAlias = list[tuple[bytes, bytes]]
_First: TypeAlias = Mapping[bytes, bytes]  # the first value of each header that a rule reads
_Repeated: TypeAlias = Mapping[bytes, list[bytes]]  # its further values

# What becomes of a header.
_KEPT: Final = 0
_DROPPED: Final = (
    1  # it is about this connection, or about what is not served, or claims what cannot be checked
)
_NOTED: Final = 2  # kept, and a rule reads it
_READ: Final = 3  # a rule reads it, and it goes no further


def _fates() -> dict[bytes, int]:
    table = {
        # A caller's request id may hold anything, so it is never echoed: ours is always our own.
        _DROPPED: "expect forwarded http2-settings keep-alive range request-id te trailer upgrade"
        " x-request-id",
        _NOTED: "authorization baggage content-encoding content-length content-type host idempotency-key"
        " traceparent tracestate x-api-key x-goog-api-key x-standby-on-break",
        _READ: "connection transfer-encoding x-standby-timeout-ms",
    }
    return {name.encode(): fate for fate, names in table.items() for name in names.split()}


_FATES: Final = MappingProxyType(_fates())
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
"""What official SDKs and curl send. All but `connection` is kept; no rule passes one between blanks."""

_SELDOM: Final = frozenset(
    {b"baggage", b"idempotency-key", b"traceparent", b"tracestate", b"x-standby-timeout-ms"}
)
_NAMES_NOTHING: Final = frozenset({b"close", b"keep-alive"})
_NOTHING: Final[_Repeated] = MappingProxyType({})

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_BEARER: Final = CREDENTIALS[b"authorization"]
_KEY: Final = CREDENTIALS[b"x-api-key"]
_JSON: Final = re.compile(rb'(?i:application/json)(?:[ \t]*;[ \t]*(?i:charset)=(?i:utf-8|"utf-8"))?')
_MILLISECONDS: Final = re.compile(rb"[1-9][0-9]{0,8}")
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")
_PRINTABLE: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"  # W3C Trace Context, 3.2
)
_MAX_TRACESTATE: Final = 512  # bytes; W3C Trace Context, 3.3.1.5
_MAX_BAGGAGE: Final = 8192  # bytes; W3C Baggage, 3.3.2


class RequestChecks(NamedTuple):
    """A request that may enter.

    `headers` is what counts of the headers, taken before the body: what arrives later never counts. `path`
    is relative to where the gateway is mounted. `operation` is None where the gateway itself answers.
    `time_limit` is how many seconds the caller is willing to wait.
    """

    headers: Headers
    path: str
    operation: Operation | None
    time_limit: float | None


def examine(scope: Mapping[str, Any], max_body: int) -> RequestChecks:
    """The request of an ASGI scope of type "http", if it may enter. Raises Refusal. Needs no body yet."""
    pairs: _Pairs = list(scope["headers"])
    first = dict(pairs)
    if (
        len(first) == len(pairs)
        and USUAL.issuperset(first)
        and not b"".join(first.values()).translate(None, _PRINTABLE)
    ):
        # The short way, for nearly every request. What it refuses is looked at again the long way, which
        # forgives blanks around a value (llhttp leaves them there, h11 does not) and pairs that are lists.
        try:
            if (connection := first.get(b"connection")) is not None:
                pairs.remove((b"connection", connection))
            return _judged(scope, max_body, tuple(pairs), first, _NOTHING)
        except (Refusal, ValueError):
            pairs = list(scope["headers"])
    return _closely(scope, max_body, pairs)


def _closely(scope: Mapping[str, Any], max_body: int, pairs: _Pairs) -> RequestChecks:
    checked = _judged(scope, max_body, *_sorted_out(pairs))
    if any(_CONTROL.search(value) for _, value in pairs):  # h11 lets most of them through
        raise Refusal("malformed_request", close=True)
    return checked


def _judged(
    scope: Mapping[str, Any], max_body: int, kept: Headers, first: _First, repeated: _Repeated
) -> RequestChecks:
    """First where the request ends and whom it is for, then what it asks, who asks, and what it carries."""
    version: str = scope["http_version"]
    length = body_length(version, first.get(b"content-length"), first.get(b"transfer-encoding"), repeated)
    check_host(version, first.get(b"host"), repeated)

    path = local_path(scope)
    matched = route(scope["method"], path)
    if query := scope["query_string"]:
        admit_query(matched, query)

    if (connection := first.get(b"connection")) is not None and (
        repeated or connection not in _NAMES_NOTHING
    ):
        kept = _without_named(kept, (connection, *repeated.get(b"connection", ())))
    _check_credentials(first, repeated)
    if matched.operation is not None:
        _check_content(first, repeated)
        if length > max_body:
            raise Refusal("body_too_large", close=True)
    time_limit = None
    if repeated is not _NOTHING and not _SELDOM.isdisjoint(first):  # the short way never meets these
        _check_idempotency_key(first, repeated)
        time_limit = _time_limit(first, repeated)
        kept = _with_sound_trace(kept, first, repeated)
    return RequestChecks(kept, path, matched.operation, time_limit)


def local_path(scope: Mapping[str, Any]) -> str:
    """The path below where we are mounted. Raises Refusal for one that only decoding makes look like ours."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) :][:1] == "/":
        path = path[len(root) :]
    if path[:1] != "/":  # absolute form, authority form: some parsers hand them on as they came
        raise Refusal("malformed_request", close=True)
    raw: bytes | None = scope.get("raw_path")
    if not path.isascii() or (raw is not None and not raw.endswith(path.encode())):
        raise Refusal("unknown_route")
    return path


def body_length(
    version: str, length: bytes | None, encoding: bytes | None, repeated: Mapping[bytes, object]
) -> int:
    """Bytes of the body, or CHUNKED. `repeated` holds the names of the headers that came more than once.

    Raises Refusal `ambiguous_framing` for whatever two readers could measure differently (RFC 9112, 6.3),
    also where the RFC lets a server repair it: repairs are what request smuggling lives on.
    """
    if encoding is not None:
        sound = encoding.lower() == b"chunked" and version == "1.1" and length is None
        if not sound or b"transfer-encoding" in repeated:
            raise Refusal("ambiguous_framing", close=True)
        return CHUNKED
    if length is None:
        return 0
    if b"content-length" in repeated or not length.isdigit() or len(length) > _MAX_DIGITS:
        raise Refusal("ambiguous_framing", close=True)
    return int(length)


def check_host(version: str, host: bytes | None, repeated: Mapping[bytes, object]) -> None:
    """Raise Refusal `bad_host` unless there is exactly one, and valid; HTTP/1.0 may lack it."""
    if host is None:
        if version != "1.0":
            raise Refusal("bad_host", close=True)
    elif b"host" in repeated or _HOST.fullmatch(host) is None:
        raise Refusal("bad_host", close=True)


def _sorted_out(pairs: _Pairs) -> tuple[Headers, dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """What is kept of the headers, and what the rules read of them. Raises Refusal when they are too many."""
    if len(pairs) > MAX_HEADERS:
        raise Refusal("headers_too_large", close=True)
    kept: _Pairs = []
    first: dict[bytes, bytes] = {}
    repeated: dict[bytes, list[bytes]] = {}
    fate_of = _FATES.get
    for given, value in pairs:
        name = given
        fate = fate_of(name)
        if fate is None:
            name = given.lower()
            fate = fate_of(name)
            if fate is None:
                fate = _DROPPED if b"_" in name or name.startswith(_DROPPED_KINDS) else _KEPT
        if fate == _KEPT:
            kept.append((name, value))
        elif fate >= _NOTED:
            sound = value.strip(b" \t")  # llhttp leaves the spaces after a value, h11 does not
            if name in first:
                repeated.setdefault(name, []).append(sound)
            else:
                first[name] = sound
            if fate == _NOTED:
                kept.append((name, sound))
    return tuple(kept), first, repeated


def _without_named(kept: Headers, connections: Iterable[bytes]) -> Headers:
    """The headers but those that `Connection` names: they are for this hop only. A credential never is."""
    named = {token.strip(b" \t").lower() for value in connections for token in value.split(b",")}
    if not named.isdisjoint(CREDENTIALS):
        raise Refusal("invalid_header", param="connection")
    return tuple(pair for pair in kept if pair[0] not in named)


def _check_credentials(first: _First, repeated: _Repeated) -> None:
    """Raise Refusal for a credential that cannot be one, and for several that differ. None at all is fine."""
    bearer, key = first.get(b"authorization"), first.get(b"x-api-key")
    if repeated or b"x-goog-api-key" in first or (bearer is not None and key is not None):
        _compare_credentials(first, repeated)
    elif (bearer is not None and _BEARER.fullmatch(bearer) is None) or (
        key is not None and _KEY.fullmatch(key) is None
    ):
        raise Refusal("invalid_api_key")


def _compare_credentials(first: _First, repeated: _Repeated) -> None:
    shown: set[bytes] = set()
    for name, shape in CREDENTIALS.items():
        for value in (*([first[name]] if name in first else ()), *repeated.get(name, ())):
            match = shape.fullmatch(value)
            if match is None:
                raise Refusal("invalid_api_key")
            shown.add(match[1])
    if len(shown) > 1:
        raise Refusal("ambiguous_credentials")


def _check_content(first: _First, repeated: _Repeated) -> None:
    """Raise Refusal unless the body is said to be one JSON document, as it is."""
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
    limit = first.get(b"x-standby-timeout-ms")
    if limit is None:
        return None
    if b"x-standby-timeout-ms" in repeated or _MILLISECONDS.fullmatch(limit) is None:
        raise Refusal("invalid_header", param="x-standby-timeout-ms")
    return int(limit) / 1000


def _with_sound_trace(kept: Headers, first: _First, repeated: _Repeated) -> Headers:
    """The headers without a trace context that cannot be continued: a new trace is better than a broken."""
    unsound: set[bytes] = set()
    parent = first.get(b"traceparent")
    state = _size(b"tracestate", first, repeated)
    sound = (
        parent is not None and b"traceparent" not in repeated and _TRACEPARENT.fullmatch(parent) is not None
    )
    if not sound or state > _MAX_TRACESTATE:
        unsound |= {b"traceparent", b"tracestate"}
    if _size(b"baggage", first, repeated) > _MAX_BAGGAGE:
        unsound.add(b"baggage")
    return tuple(pair for pair in kept if pair[0] not in unsound)


def _size(name: bytes, first: _First, repeated: _Repeated) -> int:
    return len(first.get(name, b"")) + sum(map(len, repeated.get(name, ())))
