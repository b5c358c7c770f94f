"""What the errors of vendors mean, in the words that they send."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from standby.proxy.classify.faults import FaultKind
from standby.proxy.classify.provider_errors import in_band, refused

__all__: list[str] = []


def error(message: str = "", **fields: Any) -> dict[str, Any]:
    """The usual form of an error."""
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # Anthropic, also through Bedrock; xAI; Moonshot; MiniMax; GitHub Copilot; TGI
        (
            400,
            error("input length and `max_tokens` exceed context limit: 19 + 2"),
            "context_overflow",
        ),
        (
            400,
            error("This model's maximum prompt length is 131072 but yours has 2"),
            "context_overflow",
        ),
        (400, error("Invalid request: Your request exceeded model token limit: 8192"), "context_overflow"),
        (400, error("invalid params, context window exceeds limit"), "context_overflow"),
        (400, error("prompt token count of 9 exceeds the limit of 8"), "context_overflow"),
        (400, error("x", code="model_max_prompt_tokens_exceeded"), "context_overflow"),
        (422, error("Input validation error: `inputs` must have less than 4096 tokens"), "context_overflow"),
        # Vertex; Moonshot; llama.cpp with a wrong address; GitHub Models; Azure; Bedrock
        (404, error("Publisher Model `projects/p/x` was not found", status="NOT_FOUND"), "target_missing"),
        (
            404,
            error("Not found the model x or Permission denied", type="not_found"),
            "target_missing",
        ),
        (404, error("File Not Found", type="not_found_error"), "target_missing"),
        (400, error("Unknown model: x", code="unknown_model"), "target_missing"),
        (400, error("x", code="OperationNotSupported"), "target_missing"),
        (
            403,
            {"Message": "You don't have access to the model with this ID."},
            "target_missing",
        ),
        # Fireworks; Moonshot; Z.ai; xAI; OpenRouter; SiliconFlow; Alibaba; Bedrock
        (412, error("Account x is suspended, possibly due to the monthly spending limit"), "quota"),
        (429, error("x", type="exceeded_current_quota_error"), "quota"),
        (429, error("x", code="1113"), "quota"),
        (403, error("Your team abc has either used all available credits or reached its limit"), "quota"),
        (403, error("Key limit exceeded (monthly limit)."), "quota"),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}, "quota"),
        (403, {"code": "AllocationQuota.FreeTierOnly", "message": "x"}, "quota"),
        (400, {"__type": "ServiceQuotaExceededException", "message": "x"}, "quota"),
        # Bedrock
        (403, {"message": "The security token included in the request is expired"}, "upstream_auth"),
        (403, {"Message": "Authentication failed: Please make sure your API Key is valid."}, "upstream_auth"),
        # Anthropic; OpenAI; Z.ai; OpenRouter
        (400, error("Output blocked by content filtering policy"), "content_refused"),
        (400, error("x", code="invalid_prompt"), "content_refused"),
        (400, error("x", code="1301"), "content_refused"),
        (403, error("openai/gpt-4 requires moderation on OpenAI. Your input was flagged"), "content_refused"),
    ],
    ids=lambda each: None if isinstance(each, int) else str(each)[:70],
)
def test_an_error(status: int, body: object, kind: FaultKind) -> None:
    """It means the same whoever sends it, and in whichever form."""
    assert refused(status, (), orjson.dumps(body)).kind == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "429", "message": "Requests have exceeded the rate limit"}, "rate_limited"),
        ({"code": "503", "message": "x"}, "overloaded"),
        (
            {"type": "throttlingException", "message": "Too many tokens, please wait"},
            "rate_limited",
        ),
        ({"message": "Too many tokens, please wait before trying again."}, "bad_response"),
    ],
    ids=str,
)
def test_an_error_in_a_stream(body: object, kind: FaultKind) -> None:
    """A status may be given as text, and a rate of tokens is no context."""
    assert in_band(body).kind == kind


@pytest.mark.parametrize("status", [400, 422, 429])
def test_what_a_caller_wrote_decides_nothing(status: int) -> None:
    """Words of the table in what a provider quotes rest no account, key or model."""
    quoted = error("Invalid value: 'your credit balance is too low, invalid api key, model x not found'")
    fault = refused(status, (), orjson.dumps(quoted))
    assert fault.kind in {"bad_request", "rate_limited"}
