"""What the span of an attempt says of the answer: numbers and names, none of its text. No I/O."""

from __future__ import annotations

from typing import Any, Final

from ..classify.answer import Answer
from ..config import NANO
from ..dialects.base import AnswerReader
from ..exchange import Attempt, Exchange
from . import names

__all__ = ["answer_facts"]

_LONGEST: Final = 256
"""Characters of a name that the provider chose."""


def answer_facts(attempt: Attempt, exchange: Exchange) -> dict[str, Any]:
    """Returns the attributes of an attempt that has ended, by name."""
    facts: dict[str, Any] = {names.GEN_AI_REQUEST_STREAM: exchange.streamed or None}
    if attempt.cost is not None:
        facts[names.COST_USD] = attempt.cost / NANO
    if (answer := attempt.answer) is not None:
        facts |= _http(answer)
        if (reader := answer.reader) is not None:
            facts |= _model(reader, broken=attempt.fault is not None and attempt is exchange.served)
        if exchange.streamed and attempt.fault is None:
            facts[names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] = attempt.upstream_wait
    return {name: value for name, value in facts.items() if value is not None}


def _http(answer: Answer) -> dict[str, Any]:
    return {
        names.HTTP_RESPONSE_STATUS_CODE: answer.status or None,
        names.UPSTREAM_REQUEST_ID: _cut(answer.request_id),
    }


def _model(reader: AnswerReader, *, broken: bool) -> dict[str, Any]:
    finish = "error" if broken else _cut(reader.finish)  # by the convention, also without any reason given
    facts: dict[str, Any] = {
        names.GEN_AI_RESPONSE_ID: _cut(reader.answer_id),
        names.GEN_AI_RESPONSE_MODEL: _cut(reader.model),
        names.GEN_AI_RESPONSE_FINISH_REASONS: None if finish is None else [finish],
    }
    if (usage := reader.usage) is not None:
        facts |= {
            names.GEN_AI_USAGE_INPUT_TOKENS: usage.input,
            names.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output,
            names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cached or None,
            names.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: usage.cache_write or None,
            names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning or None,
        }
    return facts


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]
