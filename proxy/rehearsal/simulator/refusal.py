"""Refusals: what a healthy provider answers to a request that it cannot serve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from .answer import Answer, encode
from .connection import Received
from .faults import Fault, Status

__all__ = ["Refusal", "is_for_anthropic"]


def is_for_anthropic(received: Received) -> bool:
    """Whether a request is for Anthropic's API: by its path, or by the version header."""
    path = f"{received.path}/"
    return path.startswith("/v1/messages/") or received.header("anthropic-version") is not None


@dataclass(frozen=True)
class Refusal(Fault):
    """The vendor's own error for a request that is wrong: an unknown path, a bad key, a malformed body.

    `code` is OpenAI's and may be None, which is then sent as null. Anthropic's errors have none.
    """

    status: int
    code: str | None
    openai_message: str
    anthropic_message: str

    @classmethod
    def of(cls, received: Received, *, known: bool, keys: Collection[str] | None) -> Self | None:
        """Returns the refusal of a request, None if it can be served.

        `known` is whether its path is served. `keys` are the API keys accepted, None for any and for none.
        """
        if not known or received.method != "POST":
            url = f"{received.method} {received.path}"
            if received.path.startswith("/v1/"):
                return cls(404, None, f"Invalid URL ({url})", "Not Found")
            return cls(404, "unknown_url", f"Unknown request URL: {url}.", "Not Found")
        key = _key(received)
        if keys is not None and key is None:
            return cls(401, None, "You didn't provide an API key.", "x-api-key header is required")
        if keys is not None and key not in keys:
            return cls(401, "invalid_api_key", "Incorrect API key provided.", "invalid x-api-key")
        if not received.is_object or not received.json:
            wanted = "We could not parse the JSON body of your request."
            return cls(400, None, wanted, "The request body is not valid JSON.")
        return None

    def change(self, answer: Answer) -> Answer:
        message = self.anthropic_message if answer.anthropic else self.openai_message
        document = answer.error(self.status, None, None, message)
        if not answer.anthropic:
            document["error"]["code"] = self.code
        return Status(self.status, body=encode(document)).change(answer)


def _key(received: Received) -> str | None:
    """Returns the API key of a request, None if it has none."""
    scheme, _, token = (received.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return received.header("x-api-key") if is_for_anthropic(received) else None
