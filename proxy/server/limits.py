"""The limits on the size and duration of a request, beyond which the server refuses it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerLimits"]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits that uvicorn lacks: it waits for a head for ever, and httptools accepts a head of any size.

    Sizes are in bytes, times in seconds of the loop's clock. `head_seconds` runs from the first byte of a
    request's head, or from the connection's start if nothing arrives. `body_seconds` runs from the end of the
    head; a body of a known length has as many seconds more as it takes at `body_rate` bytes a second.
    `linger_seconds` is how long a refused client may go on sending before the connection is cut:
    closing at once could discard the answer that it has not read yet.
    """

    head_bytes: int = 64 * 1024  # Envoy: 60 KiB
    target_bytes: int = 8 * 1024  # RFC 9112, 3, asks for at least 8000
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: int = 256 * 1024
    linger_seconds: float = 2.0
