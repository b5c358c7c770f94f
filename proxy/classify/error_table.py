"""What the errors of providers mean: a table, and the one interpreter that reads it. No I/O.

A row applies if all that it names is true of an error: its status is one of `statuses`, one of its codes and
types is in `words`, its message matches `says`. The first row that applies decides.

Providers quote the caller in their messages. So `says` is matched at the begin of a message, and only where
little depends on it, `says_anywhere` is searched for in what is not in quotation marks. What rests a target
for minutes is never decided by the latter: a caller could otherwise take a provider from everybody else.

Sources: the documentation of OpenAI, Azure, Anthropic, Google, Groq, OpenRouter, Mistral, DeepSeek, Bedrock,
vLLM, llama.cpp, Ollama and LM Studio on errors, and issues in which users quote what they got; `source` has
the more particular ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from .faults import FaultKind, Rests

__all__ = ["Meaning", "ProviderError", "meaning_of", "meaning_of_words"]


class ProviderError(NamedTuple):
    """A provider's error: its codes and types (`words`) and its message (`text`), in lower case."""

    words: tuple[str, ...]
    text: str


class Meaning(NamedTuple):
    """The kind of fault, and what rests because of it; None for what such a fault usually rests."""

    kind: FaultKind
    rests: Rests | None = None


class _Row(NamedTuple):
    meaning: Meaning
    statuses: frozenset[int] = frozenset()
    words: frozenset[str] = frozenset()
    says: re.Pattern[str] | None = None
    says_anywhere: re.Pattern[str] | None = None
    source: str = ""

    def applies(self, status: int, error: ProviderError) -> bool:
        """Whether all that the row names is true of the error."""
        if self.statuses and status not in self.statuses:
            return False
        if self.words and self.words.isdisjoint(error.words):
            return False
        if self.says is not None and self.says.match(error.text) is None:
            return False
        return self.says_anywhere is None or self.says_anywhere.search(_unquoted(error.text)) is not None


def _row(
    kind: FaultKind,
    *statuses: int,
    rests: Rests | None = None,
    words: str = "",
    says: Iterable[str] = (),
    anywhere: Iterable[str] = (),
    source: str = "",
) -> _Row:
    begins, holds = "|".join(says), "|".join(anywhere)
    return _Row(
        Meaning(kind, rests),
        frozenset(statuses),
        frozenset(words.split()),
        re.compile(begins) if begins else None,
        re.compile(holds) if holds else None,
        source,
    )


_QUOTA: Final = (
    "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded"
    " project_spend_limit_exceeded organization_usage_limit_exceeded enforced_spend_limit_reached"
    " contract_spend_limit_reached linked_organization_spend_limit_reached quota_exceeded billing_error"
    " billing_hard_limit_reached billing_not_active account_deactivated organization_deactivated"
    " insufficient_balance insufficient_credits arrearage accountoverdueerror consumer_suspended"
    " billing_disabled prepayment_required exceeded_current_quota_error allocationquota.freetieronly"
    " servicequotaexceededexception"
)
_CONTENT: Final = (
    "content_filter responsibleaipolicyviolation content_policy_violation data_inspection_failed"
    " datainspectionfailed moderation_blocked prompt_blocked sensitive_content invalid_prompt"
)
_CONTEXT: Final = (
    "context_length_exceeded request_too_large model_context_window_exceeded exceed_context_size_error"
    " string_above_max_length context_window_exceeded input_too_long model_max_prompt_tokens_exceeded"
)
_INCOMPATIBLE: Final = "unsupported_parameter unsupported_value extra_forbidden wrong_api_format"
_MISSING: Final = (
    "model_not_found deploymentnotfound model_decommissioned model_deprecated invalid_model"
    " model_not_available modelnotfound model_not_supported model_retired unknown_model operationnotsupported"
    " accessdenied.unpurchased"
)
_RAMP: Final = "slow_down ramp_limit_exceeded"
_OVERLOADED: Final = (
    "overloaded_error server_is_overloaded overloaded unavailable service_unavailable engine_overloaded_error"
    " unavailable_error modelnotreadyexception"
)
_RATE: Final = (
    "rate_limit_exceeded rate_limit_error too_many_requests resource_exhausted throttlingexception"
    " throttling throttling.ratequota throttling.allocationquota limit_requests"
)
_TIMEOUT: Final = "timeout_error timeout deadline_exceeded"
_AUTH: Final = (
    "authentication_error permission_error invalid_api_key permission_denied"
    " unsupported_country_region_territory invalid_authentication unauthorized"
)
_KEY: Final = "api_key_invalid api_key_expired invalid_api_key invalid_authentication authentication_error"

# A model name: what the operator wrote as `model`, never the caller's.
_NAME: Final = r"[`'\"]?[\w./:@-]{1,200}[`'\"]?"
_MODEL: Final = r"(?:the )?model " + _NAME
_CONTEXT_PHRASES: Final = (
    r"prompt is too long",
    r"maximum context length",
    r"exceeds? (?:the )?(?:model'?s? )?(?:maximum )?context (?:length|window|size|limit)",
    r"maximum prompt length is \d",
    r"exceeded model token limit",
    r"context window exceeds limit",
    r"prompt token count of \d+ exceeds the limit",
    r"must have less than \d+ tokens",
    r"exceeds? the available context size",
    r"(?:greater|longer|larger) than the (?:model'?s? )?(?:maximum )?context (?:length|window|size)",
    r"input token count .{0,40}exceeds the maximum",
    r"tokens? .{0,40}too large for model with \d+",
    r"input is too long for (?:the )?requested model",
    r"range of input length should be",
    r"inputs? tokens \+ .{0,30} must be <=",
    r"tokens \+ .{0,40} must be <=",
    r"(?:input|prompt|request) (?:is|was) too (?:long|large)(?! for .{0,80}per min)",
    r"too many (?:input )?tokens\b(?!.{0,20}(?:wait|per ))",
    r"(?:total|number of) (?:input )?tokens .{0,60}exceeds?\b(?! .{0,20}rate)",
    r"context (?:length|window|size) (?:is |was |has been )?exceeded",
    r"reduce the length of (?:the|your) (?:messages|input|prompt)",
)

_TABLE: Final = (
    # -- money and place: the whole account
    _row("quota", 400, 401, 403, 429, words=_QUOTA),
    _row("quota", 402),
    _row(
        "quota",
        400,
        403,
        says=(
            r"your credit balance is too low",
            r"you have reached your specified api usage limits",
            r"this organization has been disabled",
            r"billing hard limit has been reached",
            r"your account is not active",
            r"your account has been (?:disabled|suspended|deactivated)",
            r"key limit exceeded",
            r"(?:sorry, )?(?:your )?account balance is insufficient",
            r"your newly created team doesn't have any credits",
            r"your team .{0,60}has (?:either )?used all available credits",
            r"(?:access denied, please make sure your )?account is (?:in good standing|overdue|suspended)",
        ),
        source="anthropics/claude-code#4207, dfinke/PowerShellAI#127; Alibaba Model Studio: Arrearage",
    ),
    _row("quota", 429, words="1113", source="Z.ai: the account is in arrears"),
    _row("quota", 412, says=(r"account \S+ is suspended",), source="Fireworks"),
    _row(
        "upstream_auth",
        400,
        403,
        rests="provider",
        says=(r"user location is not supported", r"country, region, or territory not supported"),
        source="ai.google.dev troubleshooting, FAILED_PRECONDITION; OpenAI error codes",
    ),
    _row("upstream_auth", 403, rests="provider", words="unsupported_country_region_territory"),
    # -- the key
    _row("upstream_auth", 401, rests="provider"),
    _row("upstream_auth", 400, 403, rests="provider", words=_KEY, source="google.rpc.ErrorInfo reasons"),
    _row(
        "upstream_auth",
        400,
        403,
        rests="provider",
        says=(
            r"(?:incorrect|invalid) api key",
            r"api key (?:not valid|not found|expired|is invalid)",
            r"invalid x-api-key",
            r"the security token included in the request is (?:expired|invalid)",
            r"authentication failed\b",
        ),
        source="google/timesketch#3703; xAI answers 400",
    ),
    # -- declined content
    _row("content_refused", 400, 403, 422, 451, words=_CONTENT),
    _row(
        "content_refused",
        400,
        403,
        422,
        says=(
            r"content exists risk",
            r"the (?:request|response|prompt) was (?:rejected|filtered|blocked)",
            r"your request was (?:rejected|flagged|blocked)",
            r"(?:input|output|the input|the output) (?:data|text)? ?may contain inappropriate content",
            r"request was rejected by our safety system",
            r"output blocked by content filtering policy",
            r"\S+ requires moderation on \S+",
        ),
        source="DeepSeek; Moonshot; Azure; Alibaba DataInspectionFailed; OpenAI; Anthropic; OpenRouter",
    ),
    _row("content_refused", 400, words="1301", source="Z.ai: unsafe or sensitive content"),
    # -- rates: a request that is by itself more than a minute's allowance rests nothing
    _row(
        "rate_limited",
        413,
        429,
        rests="nothing",
        says=(r"request too large for ",),
        source="vanna-ai/vanna-flask#11",
    ),
    _row("rate_limited", 413, words=_RATE),
    _row("ramp_limited", 429, 503, words=_RAMP),
    _row("overloaded", 429, words=_OVERLOADED),
    _row(
        "overloaded",
        429,
        says=(
            r"the (?:engine|model|server) is (?:currently |temporarily )?overloaded",
            r"the model specified in the request is not ready",
        ),
        source="Moonshot; Bedrock ModelNotReadyException",
    ),
    # -- the model
    _row("target_missing", 400, 403, 404, 410, words=_MISSING),
    _row("target_missing", 410),
    _row("target_missing", 403, says=(r"you don't have access to the model",), source="Bedrock"),
    _row(
        "target_missing",
        400,
        422,
        says=(
            _NAME + r" is not a valid model",
            _MODEL + r" (?:has been|is|was) (?:decommissioned|deprecated|retired|no longer|not )",
            _MODEL + r" (?:does not exist|not found)(?! in )",
            r"model not exist",
            r"invalid model(?: name| id)?\b",
            r"the provided model identifier is invalid",
            r"invocation of model id \S+ with on-demand throughput",
            r"no endpoints found",
        ),
        source="OpenRouterTeam/openrouter-examples#74; Bedrock inference profiles; DeepSeek; Mistral 1500",
    ),
    _row(
        "target_missing",
        404,
        says=(
            r"(?:publisher )?models?[:/ ]",
            r"not found the model\b",
            r"file not found$",
            r"the model\b",
            r"model not found",
            r"unable to access model",
            r"resource not found$",
            r"no endpoints found",
            r"(?:the )?deployment\b",
            r"no (?:such )?model\b",
        ),
        source="Anthropic; Google NOT_FOUND; vLLM; Ollama; Azure 404; Together; Fireworks",
    ),
    # -- context, in the words of every vendor
    _row("context_overflow", 400, 413, 422, words=_CONTEXT),
    _row(
        "context_overflow",
        400,
        413,
        422,
        500,
        anywhere=_CONTEXT_PHRASES,
        source="badlogic/pi-mono overflow.ts",
    ),
    _row("incompatible", 400, 422, words=_INCOMPATIBLE),
    _row(
        "incompatible",
        400,
        422,
        says=(
            r"(?:'messages[^']{0,40}' : )?property '[^']{1,80}' is unsupported",
            r"extra inputs are not permitted, field",
            r"invalid json payload received\. unknown name",
        ),
        source="a member that this vendor alone does not know: Groq; Fireworks; Gemini",
    ),
    # -- what is left, by status
    _row("timeout", 408, 504),
    _row("conflict", 409),
    _row("context_overflow", 413),
    _row("upstream_5xx", 424, source="Bedrock ModelErrorException"),
    _row("rate_limited", 429),
    _row("overloaded", 503, 529),
)

_BY_WORD: Final = (
    _row("quota", words=_QUOTA),
    _row("content_refused", words=_CONTENT),
    _row("context_overflow", words=_CONTEXT),
    _row("incompatible", words=_INCOMPATIBLE),
    _row("target_missing", words=_MISSING),
    _row("ramp_limited", words=_RAMP),
    _row("overloaded", words=_OVERLOADED),
    _row("rate_limited", words=_RATE),
    _row("timeout", words=_TIMEOUT),
    _row("upstream_auth", words=_AUTH),
    _row("context_overflow", anywhere=_CONTEXT_PHRASES),
)
"""The same for an error without a status of its own."""

_AUTH_WORDS: Final = frozenset(_AUTH.split())
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


def meaning_of(status: int, error: ProviderError) -> Meaning:
    """Returns what an error with a status other than 2xx means. `error` may be empty."""
    for row in _TABLE:
        if row.applies(status, error):
            return row.meaning
    if status == 404 and not error.words:
        # Without an API error in the body the base_url is wrong. Any other missing object is the caller's.
        return Meaning("target_missing")
    if status == 403:
        if not _AUTH_WORDS.isdisjoint(error.words):
            return Meaning("upstream_auth", "operation")  # one operation may lack what another has
        # The error is not about the credential: the model, or a firewall before it, rejects this request.
        return Meaning("incompatible" if error.words else "bad_response")
    if 500 <= status <= 599:
        return Meaning("upstream_5xx")
    # Redirects are never followed, and a status outside HTTP's range is not a valid answer.
    return Meaning("bad_request" if 400 <= status <= 499 else "bad_response")


def meaning_of_words(error: ProviderError) -> Meaning | None:
    """Returns what an error without a status means, by its words; None if it is unknown."""
    return next((row.meaning for row in _BY_WORD if row.applies(200, error)), None)


def _unquoted(text: str) -> str:
    return _QUOTED.sub("", text)
