"""Classification of providers' error answers into faults. No I/O.

`refused` classifies an answer whose status is not 2xx, by status, headers and body. `in_band` classifies an
error object inside an answer of status 200. `faults.RULES` has the policy for each kind of fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from ..asgi import Headers, header
from ..dialects.json_values import is_list, is_object, number, read_json, within
from .error_table import Meaning, ProviderError, meaning_of, meaning_of_words
from .faults import RULES, Fault

__all__ = ["MAX_RETRY_AFTER", "NO_ENDS", "in_band", "is_refusal", "refused", "retry_after"]

MAX_RETRY_AFTER: Final = 300.0
"""Seconds. A longer delay asked for by a provider is reduced to this. Envoy and Linkerd cap it likewise."""


_REFUSALS: Final = frozenset({"content_filter", "refusal", "sensitive"})
"""Finish reasons of declined content; "sensitive" is Z.ai's. Google writes "content_filter: SAFETY"."""
NO_ENDS: Final = frozenset({"insufficient_system_resource", "network_error", "abort"})
"""Finish reasons with which a provider gives an answer up (DeepSeek, Z.ai, vLLM)."""
_LONGEST_CODE: Final = 64  # characters


class _ErrorFields(NamedTuple):
    """The fields of a provider's error object. `code` is the one that is logged."""

    error: ProviderError
    code: str | None
    retry_after: float | None


def refused(status: int, headers: Headers, body: bytes) -> Fault:
    """Returns the fault of an answer whose status is not 2xx. `body` may be truncated or not JSON."""
    fields = _error_fields(read_json(body))
    meaning = meaning_of(status, fields.error)
    wait = retry_after(headers)
    return Fault(
        kind=meaning.kind,
        status=status,
        code=fields.code,
        retry_after=fields.retry_after if wait is None else wait,
        rests=meaning.rests,
    )


def in_band(error: object, status: int = 200) -> Fault:
    """Returns the fault of an `error` object in an answer of status 2xx; `bad_response` if unknown."""
    fields = _error_fields({"error": error})
    meaning = meaning_of_words(fields.error)
    if meaning is None:
        code = number(within(error, "code"))  # Azure and Alibaba write it as text
        if code is not None and 400 <= code <= 599:
            meaning = meaning_of(code, fields.error)
        elif not {"server_error", "api_error"}.isdisjoint(fields.error.words):
            meaning = Meaning("upstream_5xx")
    # An error under a 200 does not prove that the request is at fault: let the next target decide.
    if meaning is None or RULES[meaning.kind].moves in {"no", "if_failed"}:
        meaning = Meaning("bad_response")
    return Fault(meaning.kind, status, fields.code, fields.retry_after, meaning.rests)


def is_refusal(fault: Fault | None, finish: str | None) -> bool:
    """Whether an attempt ended with refused content: by a content filter, or by the model (`finish`)."""
    if fault is not None:
        return fault.kind == "content_refused"
    return finish is not None and finish.partition(":")[0] in _REFUSALS


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


def _error_fields(value: object) -> _ErrorFields:
    if is_list(value) and value:
        value = value[0]
    error = value.get("error", value) if is_object(value) else None
    if isinstance(error, str):
        outer = value.get("code") if is_object(value) else None
        said = (error.lower(), outer.lower()) if isinstance(outer, str) else (error.lower(),)
        return _ErrorFields(ProviderError(said, error.lower()), _code(error), None)
    if not is_object(error):
        return _ErrorFields(ProviderError((), ""), None, None)
    details = error.get("details")
    codes = [
        *(error.get(name) for name in ("code", "type", "status", "__type")),
        within(details, "error_code"),
        within(error.get("innererror"), "code"),
        *(within(detail, "reason") for detail in (details if is_list(details) else ())),
        *_refused_members(error),
    ]
    words = [word for word in codes if isinstance(word, str)]
    message = error.get("message") or error.get("Message") or error.get("detail")
    text = message.lower() if isinstance(message, str) else ""
    return _ErrorFields(
        error=ProviderError(tuple(word.lower() for word in words), text),
        code=next((code for word in words if (code := _code(word)) is not None), None),
        retry_after=_google_delay(details),
    )


def _refused_members(error: dict[str, Any]) -> Iterator[object]:
    """Yields the types of what a validation by pydantic found, as in Mistral's errors."""
    for holder in (error.get("message"), error):
        found = within(holder, "detail")
        yield from (within(each, "type") for each in (found if is_list(found) else ()))


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
