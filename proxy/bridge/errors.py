"""Writes the error of a provider in the caller's format."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import error_of, is_list, is_object, text, within

__all__ = ["error_document", "error_message"]

_ANTHROPIC_TYPES: Final = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
)
"""https://docs.anthropic.com/en/api/errors; all others are an "invalid_request_error" or an "api_error"."""
_LONGEST: Final = 2_000
"""Characters of a provider's message that are passed on."""


def error_document(value: object, status: int, dialect: str, request_id: str) -> dict[str, Any]:
    """Returns a provider's error answer as a document of `dialect`. `value` may be anything."""
    if is_list(value) and value:
        value = value[0]  # Google's
    error = error_of(within(value, "error") or value)
    message = error_message(error) or f"The provider refused the request with status {status}."
    kind = text(error.get("type"))
    if dialect == "anthropic":
        usual = "api_error" if status >= 500 else "invalid_request_error"
        inner = {"type": _ANTHROPIC_TYPES.get(status, usual), "message": message}
        return {"type": "error", "error": inner, "request_id": request_id}
    return {
        "error": {
            "message": message,
            "type": kind or ("server_error" if status >= 500 else "invalid_request_error"),
            "param": error.get("param") if isinstance(error.get("param"), str) else None,
            "code": text(error.get("code")) or kind,
        }
    }


def error_message(error: object) -> str | None:
    """Returns the message of a provider's error object, or None."""
    message = text(within(error, "message")) if is_object(error) else None
    return None if message is None else message[:_LONGEST]
