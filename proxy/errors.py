"""All exceptions that Standby raises on purpose, and the table of its stable error codes.

StandbyError
+-- ConfigError     routes.toml is invalid; carries every problem found
+-- Refusal         the gateway answers a request itself, with a documented status and code
+-- Interrupted     an answer broke off after its first byte was sent to the client

Superseded(OSError) this attempt lost to another one; raised when it still sends, as a server raises OSError
                    in an application whose client has disconnected
ClientGone(OSError) the client disconnected before its request was complete
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = [
    "CODES",
    "ClientGone",
    "Code",
    "ConfigError",
    "Interrupted",
    "Problem",
    "Refusal",
    "StandbyError",
    "Superseded",
]


class StandbyError(Exception):
    """Base class of the exceptions above that are no OSError."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a configuration file. `line` counts from 1, None if it is unknown."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(StandbyError):
    """`routes.toml` is invalid. `problems` lists all problems, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Code(NamedTuple):
    """The HTTP status and the message of a stable error code."""

    status: int
    message: str


CODES: Final = MappingProxyType(
    {
        # HTTP framing and headers
        "ambiguous_framing": Code(400, "The length of the request body is stated in more than one way."),
        "malformed_request": Code(400, "The request is not well-formed HTTP/1.1."),
        "bad_host": Code(400, "The request must name exactly one valid host."),
        "ambiguous_credentials": Code(400, "The request carries more than one credential, and they differ."),
        "method_not_allowed": Code(405, "This path does not take this method."),
        "unknown_route": Code(404, "There is no such path."),
        "unsupported_media_type": Code(
            415, "Send one JSON document as application/json, in UTF-8 and unencoded."
        ),
        "request_timeout": Code(408, "The request did not arrive in time."),
        "headers_too_large": Code(431, "The request's headers are too large or too many."),
        "uri_too_long": Code(414, "The request's path and query are too long."),
        "body_too_large": Code(413, "The request body is larger than this gateway accepts."),
        # request body
        "invalid_json": Code(400, "The request body is not one valid JSON document."),
        "invalid_encoding": Code(400, "The request body is not valid UTF-8."),
        "duplicate_key": Code(400, "An object in the request body names the same key twice."),
        "json_too_deep": Code(400, "The request body is nested too deeply."),
        "json_too_complex": Code(400, "The request body has too many objects and arrays."),
        "number_out_of_range": Code(400, "A number in the request body does not fit 64 bits."),
        "forbidden_field": Code(400, "The request body sets a field that only the operator may set."),
        "invalid_request": Code(400, "The request body is not what this path takes."),
        "invalid_value": Code(400, "A field has the wrong type or is out of range."),
        "unknown_model": Code(404, "There is no model of this name."),
        "operation_not_supported": Code(400, "This model is not served at this path."),
        "untranslatable": Code(
            400,
            "No target of this model can take the request: its wire format has no place for a field of it.",
        ),
        "background_not_supported": Code(
            400, "Responses in the background are not served: leave `background` out, or stream the response."
        ),
        "unknown_state": Code(
            400, "The request refers to a response, an item or a file that no target of this model has."
        ),
        "state_unavailable": Code(503, "It cannot be found out now who issued what the request refers to."),
        "invalid_header": Code(400, "A request header has a value this gateway does not take."),
        # authentication and grants
        "invalid_api_key": Code(401, "The API key is missing or not valid."),
        "api_key_expired": Code(401, "The API key has expired."),
        "api_key_disabled": Code(401, "The API key is disabled."),
        "api_key_revoked": Code(401, "The API key has been revoked."),
        "ip_not_allowed": Code(403, "The API key may not be used from this address."),
        "model_not_allowed": Code(403, "The API key does not grant a model of this name."),
        "region_not_allowed": Code(403, "No target of this model is in a region that the API key allows."),
        "provider_not_allowed": Code(
            403, "No target of this model is at a provider that the API key allows."
        ),
        "auth_unavailable": Code(503, "The API key cannot be checked now."),
        # budgets and rate limits
        "budget_exceeded": Code(402, "The budget does not allow this request."),
        "rate_limited": Code(429, "The rate limit does not allow this request now."),
        "too_large_for_limit": Code(413, "The request is larger than a rate limit ever allows at once."),
        "budget_unavailable": Code(503, "The budget cannot be checked now."),
        # guardrails
        "guardrail_blocked": Code(400, "A guardrail does not allow this request."),
        "guardrail_answer_blocked": Code(502, "A guardrail does not allow the answer."),
        "guardrail_not_scanned": Code(400, "A guardrail cannot read a part of this request."),
        "guardrail_unavailable": Code(503, "A guardrail cannot decide about this request now."),
        "text_not_stream_safe": Code(400, "A text has too many combining marks in a row."),
        # failure before the answer began
        "all_attempts_failed": Code(502, "No target gave an answer."),
        "policy_no_eligible_target": Code(503, "No target that policy allows can take the request now."),
        "no_target_available": Code(503, "No target of this model can take the request now."),
        "deadline_exceeded": Code(504, "No target answered before the deadline."),
        "overloaded": Code(503, "The gateway has no room for this request now."),
        "internal_error": Code(500, "The gateway failed to handle this request."),
        # failure after a stream had begun
        "upstream_interrupted": Code(502, "The answer broke off before it was complete."),
        "upstream_stall": Code(504, "The answer stopped arriving before it was complete."),
        "upstream_event_too_large": Code(502, "The answer held an event larger than this gateway relays."),
        "gateway_draining": Code(503, "The gateway is being stopped; the answer is not complete."),
        "answer_timeout": Code(504, "The answer took longer than this gateway allows."),
    }
)
"""The stable error codes.

Each message is fixed, and may be followed by a `detail`: a field, a limit, a model's name, or what happened
at each target. It never contains keys, addresses, prompts or text of a provider."""

_LONGEST_DETAIL: Final = 400  # characters


class Refusal(StandbyError):
    """The gateway answers the request itself, with a documented status and code.

    `code` is a key of `CODES`. `param` names the invalid field, or the limit or rule that refused. `detail`
    is added to the message, because SDKs show nothing else; by default it is `param`. `retry_after` is in
    seconds. `retryable` means that the same request may succeed if it is sent again at once. `status`
    overrides the status of the code. `close` requests that the connection is closed. `headers` are added to
    the response.
    """

    def __init__(
        self,
        code: str,
        *,
        param: str | None = None,
        detail: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        close: bool = False,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        entry = CODES[code]
        detail = param if detail is None else detail
        message = entry.message if not detail else f"{entry.message[:-1]}: {_shown(detail)}."
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = entry.status if status is None else status
        self.param = param
        self.retry_after = retry_after
        self.retryable = retryable
        self.close = close
        self.headers = tuple(headers)


def _shown(detail: str) -> str:
    """Returns a detail that may hold a caller's words, such as a model's name, for one line of text."""
    return "".join([each if each.isprintable() else "?" for each in detail[:_LONGEST_DETAIL]])


class Interrupted(StandbyError):
    """An answer broke off after commit. Only closing the connection can signal that to the client."""


class Superseded(OSError):
    """This attempt lost to another one: its bytes are discarded, as if its client had disconnected."""


class ClientGone(OSError):
    """The client disconnected before its request was complete."""
