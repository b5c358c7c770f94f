"""What a failure is, and what follows from it: the decision table. No I/O.

Three questions are answered here and nowhere else:

* which fault is it: of a status, headers and an error body (`refused`), of an error in a 200 (`in_band`);
* may another target be tried (`Rule.moves`), and which alternates does that open (`Rule.opens`);
* what does it say about the target's health (`Rule.health`), and which status does the caller get when
  nothing else is left (`Rule.status`; None means the provider's own answer).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from ..asgi import Headers, header
from ..dialects.json_values import is_list, is_object, within
from .faults import RULES, Fault, FaultKind

__all__ = ["MAX_RETRY_AFTER", "in_band", "is_refusal", "refused", "retry_after"]

MAX_RETRY_AFTER: Final = 300.0
"""Seconds. A provider may not park itself for longer on its own word (Envoy and Linkerd cap it likewise)."""


_REFUSALS: Final = frozenset({"content_filter", "refusal"})
_QUOTA: Final = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "quota_exceeded",
        "billing_error",
    }
)
_CONTENT: Final = frozenset({"content_filter", "responsibleaipolicyviolation", "content_policy_violation"})
_CONTEXT: Final = frozenset({"context_length_exceeded", "request_too_large", "model_context_window_exceeded"})
_CONTEXT_PHRASES: Final = ("prompt is too long", "maximum context length", "context length")
_INCOMPATIBLE: Final = frozenset({"unsupported_parameter", "unsupported_value"})
_MISSING: Final = frozenset({"model_not_found", "deploymentnotfound"})
_RAMP: Final = frozenset({"slow_down", "ramp_limit_exceeded"})
_OVERLOADED: Final = frozenset(
    {"overloaded_error", "server_is_overloaded", "overloaded", "unavailable", "service_unavailable"}
)
_RATE: Final = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "resource_exhausted"}
)
_TIMEOUT: Final = frozenset({"timeout_error", "timeout", "deadline_exceeded"})
_AUTH: Final = frozenset(
    {
        "authentication_error",
        "permission_error",
        "invalid_api_key",
        "permission_denied",
        "unsupported_country_region_territory",
    }
)

_BY_WORD: Final[tuple[tuple[frozenset[str], FaultKind], ...]] = (
    (_QUOTA, "quota"),
    (_CONTENT, "content_refused"),
    (_CONTEXT, "context_overflow"),
    (_INCOMPATIBLE, "incompatible"),
    (_MISSING, "target_missing"),
    (_RAMP, "ramp_limited"),
    (_OVERLOADED, "overloaded"),
    (_RATE, "rate_limited"),
    (_TIMEOUT, "timeout"),
    (_AUTH, "upstream_auth"),
)
_BY_STATUS: Final[Mapping[int, FaultKind]] = MappingProxyType(
    {
        401: "upstream_auth",
        402: "quota",
        403: "upstream_auth",
        408: "timeout",
        409: "conflict",
        413: "context_overflow",
        424: "upstream_5xx",  # Bedrock's ModelErrorException
        429: "rate_limited",
        503: "overloaded",
        504: "timeout",
        529: "overloaded",
    }
)
# What a word in the body may refine, by status. A 500 whose text says "rate_limit_error" is still a 500.
_REFINES: Final[Mapping[int, frozenset[FaultKind]]] = MappingProxyType(
    {
        400: frozenset({"quota", "content_refused", "context_overflow", "incompatible"}),
        402: frozenset(),
        403: frozenset({"content_refused", "quota"}),
        404: frozenset({"target_missing"}),
        413: frozenset({"context_overflow"}),
        422: frozenset({"content_refused", "context_overflow", "incompatible"}),
        429: frozenset({"quota", "ramp_limited", "overloaded"}),
        503: frozenset({"ramp_limited"}),
    }
)
# Anthropic's own sentences, at their start: elsewhere a message may repeat the caller's words, and nobody may
# rest a target for minutes by saying "billing".
_SPEND_PHRASES: Final = ("your credit balance is too low", "you have reached your specified api usage limits")
# Anthropic; then Ollama, vLLM and others, which quote the name one way or another.
_MISSING_PHRASES: Final = ("model:", 'model "', "model '", "model `", "the model ")
_LONGEST_CODE: Final = 64


class _ErrorFields(NamedTuple):
    """What a provider's error object says, in lower case."""

    words: tuple[str, ...]
    text: str
    code: str | None
    retry_after: float | None


def refused(status: int, headers: Headers, body: bytes) -> Fault:
    """The fault of an answer whose status is not 2xx. `body` may be cut short or be no JSON at all."""
    error = _error_fields(_parsed(body))
    wait = retry_after(headers)
    return Fault(
        kind=_kind(status, error),
        status=status,
        code=error.code,
        retry_after=error.retry_after if wait is None else wait,
    )


def in_band(error: object, status: int = 200) -> Fault:
    """The fault of an error that arrived inside a 200: as the error says, else `bad_response`."""
    fields = _error_fields({"error": error})
    kind: FaultKind = "bad_response"
    for words, named in _BY_WORD:
        if not words.isdisjoint(fields.words):
            kind = named
            break
    else:
        if isinstance(code := within(error, "code"), int) and 400 <= code <= 599:
            kind = _kind(code, fields)
        elif "server_error" in fields.words or "api_error" in fields.words:
            kind = "upstream_5xx"
        elif any(phrase in fields.text for phrase in _CONTEXT_PHRASES):
            kind = "context_overflow"
    # An error under a 200 is this provider's way of failing; the next one judges the request by itself.
    if RULES[kind].moves == "no":
        kind = "bad_response"
    return Fault(kind=kind, status=status, code=fields.code, retry_after=fields.retry_after)


def is_refusal(fault: Fault | None, finish: str | None) -> bool:
    """Whether an attempt ended with a refusal of the content: a filter's, or as its `finish` the model's."""
    return finish in _REFUSALS if fault is None else fault.kind == "content_refused"


def retry_after(headers: Headers) -> float | None:
    """Seconds the provider asks to be left alone, at most `MAX_RETRY_AFTER`; None if it says nothing usable.

    `retry-after-ms` is exact where it exists, so it goes first, as in the official SDKs.
    """
    if (value := header(headers, b"retry-after-ms")) is not None and (seconds := _number(value)) is not None:
        return _bounded(seconds / 1000)
    if (value := header(headers, b"retry-after")) is None:
        return None
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    date = header(headers, b"date")
    try:
        until = parsedate_to_datetime(value.decode("latin-1"))
        # The provider's own clock, where it tells the time: ours may differ.
        return _bounded((until - parsedate_to_datetime((date or b"").decode("latin-1"))).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _kind(status: int, error: _ErrorFields) -> FaultKind:
    refinable = _REFINES.get(status, frozenset[FaultKind]())
    for words, kind in _BY_WORD:
        if kind in refinable and not words.isdisjoint(error.words):
            return kind
    if status == 400 and any(phrase in error.text for phrase in _CONTEXT_PHRASES):
        return "context_overflow"
    if status == 400 and error.text.startswith(_SPEND_PHRASES):
        return "quota"
    if status == 404 and (error.text.startswith(_MISSING_PHRASES) or not error.words):
        # A 404 of something else, a file say, is the caller's; one that is no API error is a wrong base_url.
        return "target_missing"
    if status == 403 and _AUTH.isdisjoint(error.words):
        # Not a word of our credential: this model, or a wall before it, does not take this request.
        return "incompatible" if error.words else "bad_response"
    if (by_status := _BY_STATUS.get(status)) is not None:
        return by_status
    if 500 <= status <= 599:
        return "upstream_5xx"
    # A redirect is never followed, and a status outside HTTP's own range is no answer.
    return "bad_request" if 400 <= status <= 499 else "bad_response"


def _error_fields(value: object) -> _ErrorFields:
    if is_list(value) and value:
        value = value[0]
    error = value.get("error", value) if is_object(value) else None
    if isinstance(error, str):
        return _ErrorFields((error.lower(),), error.lower(), _code(error), None)
    if not is_object(error):
        return _ErrorFields((), "", None, None)
    details = error.get("details")
    codes = [
        *(error.get(name) for name in ("code", "type", "status")),
        within(details, "error_code"),
        within(error.get("innererror"), "code"),
    ]
    words = [word for word in codes if isinstance(word, str)]
    message = error.get("message")
    return _ErrorFields(
        words=tuple(word.lower() for word in words),
        text=message.lower() if isinstance(message, str) else "",
        code=next((code for word in words if (code := _code(word)) is not None), None),
        retry_after=_google_delay(details),
    )


def _code(word: str) -> str | None:
    """A provider's code as it may stand in our logs: short, plain, or not at all."""
    plain = (
        len(word) <= _LONGEST_CODE
        and word.isascii()
        and word.replace("_", "").replace("-", "").replace(".", "").isalnum()
    )
    return word if plain else None


def _google_delay(details: object) -> float | None:
    """`RetryInfo.retryDelay` ("37s"), which Google sends instead of a header."""
    if not is_list(details):
        return None
    for detail in details:
        delay = within(detail, "retryDelay")
        if (
            isinstance(delay, str)
            and delay.endswith("s")
            and (seconds := _number(delay[:-1].encode())) is not None
        ):
            return _bounded(seconds)
    return None


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> float | None:
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
