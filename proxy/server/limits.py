"""How large and how slow a request may be before the server itself says no."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerLimits"]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What uvicorn leaves open: it waits for a header for ever, and httptools takes one of any size.

    Sizes are in bytes, times in seconds of the loop's clock. `head_seconds` runs from the first byte of a
    request's head (from the connection on, for one that stays silent), `body_seconds` from the head's end.
    `linger_seconds` is how long a refused client may go on sending before it is cut off: closing at once
    could cost it the answer that it has not read yet.
    """

    head_bytes: int = 64 * 1024  # Envoy: 60 KiB
    target_bytes: int = 8 * 1024  # RFC 9112, 3, asks for at least 8000
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    linger_seconds: float = 2.0
