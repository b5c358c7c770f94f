"""Classification of providers' error answers into faults. No I/O.

`refused` classifies an answer whose status is not 2xx, by status, headers and body. `in_band` classifies an
error object inside an answer of status 200. `faults.RULES` has the policy for each kind of fault.
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
"""Seconds. A longer delay asked for by a provider is reduced to this. Envoy and Linkerd cap it likewise."""


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
# The kinds that an error code in the body may select, by status. A 500 with the code "rate_limit_error" is
# still a 500.
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
# Prefixes of Anthropic's own messages. Only prefixes match, since the rest of a message may quote the caller:
# otherwise a caller could put a target into a long cooldown by sending the word "billing".
_SPEND_PHRASES: Final = ("your credit balance is too low", "you have reached your specified api usage limits")
# Prefixes for a missing model: Anthropic's; then those of Ollama, vLLM and others, which quote the name.
_MISSING_PHRASES: Final = ("model:", 'model "', "model '", "model `", "the model ")
_LONGEST_CODE: Final = 64  # characters


class _ErrorFields(NamedTuple):
    """The fields of a provider's error object. `words` (its codes and types) and `text` are in lower case."""

    words: tuple[str, ...]
    text: str
    code: str | None
    retry_after: float | None


def refused(status: int, headers: Headers, body: bytes) -> Fault:
    """Returns the fault of an answer whose status is not 2xx. `body` may be truncated or not JSON."""
    error = _error_fields(_parse_json(body))
    wait = retry_after(headers)
    return Fault(
        kind=_kind(status, error),
        status=status,
        code=error.code,
        retry_after=error.retry_after if wait is None else wait,
    )


def in_band(error: object, status: int = 200) -> Fault:
    """Returns the fault of an `error` object in an answer of status 2xx; `bad_response` if unknown."""
    fields = _error_fields({"error": error})
    kind: FaultKind = "bad_response"
    for words, matched in _BY_WORD:
        if not words.isdisjoint(fields.words):
            kind = matched
            break
    else:
        if isinstance(code := within(error, "code"), int) and 400 <= code <= 599:
            kind = _kind(code, fields)
        elif "server_error" in fields.words or "api_error" in fields.words:
            kind = "upstream_5xx"
        elif any(phrase in fields.text for phrase in _CONTEXT_PHRASES):
            kind = "context_overflow"
    # An error under a 200 does not prove that the request is at fault: let the next target decide.
    if RULES[kind].moves == "no":
        kind = "bad_response"
    return Fault(kind=kind, status=status, code=fields.code, retry_after=fields.retry_after)


def is_refusal(fault: Fault | None, finish: str | None) -> bool:
    """Whether an attempt ended with refused content: by a content filter, or by the model (`finish`)."""
    return finish in _REFUSALS if fault is None else fault.kind == "content_refused"


def retry_after(headers: Headers) -> float | None:
    """Seconds until the provider accepts a retry, at most `MAX_RETRY_AFTER`; None without a usable header.

    `retry-after-ms` has precedence over `retry-after`, since it is more exact; the official SDKs do the same.
    """
    if (value := header(headers, b"retry-after-ms")) is not None and (seconds := _number(value)) is not None:
        return _capped(seconds / 1000)
    if (value := header(headers, b"retry-after")) is None:
        return None
    if (seconds := _number(value)) is not None:
        return _capped(seconds)
    date = header(headers, b"date")
    try:
        until = parsedate_to_datetime(value.decode("latin-1"))
        # Relative to the provider's own clock (the date header), since ours may differ.
        return _capped((until - parsedate_to_datetime((date or b"").decode("latin-1"))).total_seconds())
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
        # Any other missing object, such as a file, is the caller's error. Without an API error in the body,
        # the base_url is wrong.
        return "target_missing"
    if status == 403 and _AUTH.isdisjoint(error.words):
        # The error is not about the credential: the model, or a firewall before it, rejects this request.
        return "incompatible" if error.words else "bad_response"
    if (by_status := _BY_STATUS.get(status)) is not None:
        return by_status
    if 500 <= status <= 599:
        return "upstream_5xx"
    # Redirects are never followed, and a status outside HTTP's range is not a valid answer.
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
    """Returns a provider's error code if it is safe to log (short, letters, digits and `_-.`), else None."""
    plain = (
        len(word) <= _LONGEST_CODE
        and word.isascii()
        and word.replace("_", "").replace("-", "").replace(".", "").isalnum()
    )
    return word if plain else None


def _google_delay(details: object) -> float | None:
    """Seconds from `RetryInfo.retryDelay` ("37s"), which Google sends in the body instead of a header."""
    if not is_list(details):
        return None
    for detail in details:
        delay = within(detail, "retryDelay")
        if (
            isinstance(delay, str)
            and delay.endswith("s")
            and (seconds := _number(delay[:-1].encode())) is not None
        ):
            return _capped(seconds)
    return None


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _capped(seconds: float) -> float | None:
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None


def _parse_json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
