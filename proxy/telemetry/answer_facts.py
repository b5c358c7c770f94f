"""What the span of an attempt says of the answer: numbers and names, none of its text. No I/O."""

from __future__ import annotations

from typing import Any, Final

from ..classify.answer import Answer
from ..config import NANO
from ..dialects.base import AnswerReader
from ..exchange import Attempt, Exchange

__all__ = ["answer_facts"]

_LONGEST: Final = 256
"""Characters of a name that the provider chose."""


def answer_facts(attempt: Attempt, exchange: Exchange) -> dict[str, Any]:
    """Returns the attributes of an attempt that has ended, by name."""
    facts: dict[str, Any] = {"gen_ai.request.stream": exchange.streamed or None}
    if attempt.cost is not None:
        facts["standby.cost.usd"] = attempt.cost / NANO
    if (answer := attempt.answer) is not None:
        facts |= _http(answer)
        if (reader := answer.reader) is not None:
            facts |= _model(reader, broken=attempt.fault is not None and attempt is exchange.served)
        if exchange.streamed and attempt.fault is None:
            facts["gen_ai.response.time_to_first_chunk"] = attempt.upstream_wait or None
    return {name: value for name, value in facts.items() if value is not None}


def _http(answer: Answer) -> dict[str, Any]:
    return {
        "http.response.status_code": answer.status or None,
        "standby.upstream.request_id": _cut(answer.request_id),
    }


def _model(reader: AnswerReader, *, broken: bool) -> dict[str, Any]:
    finish = "error" if broken else _cut(reader.finish)  # by the convention, also without any reason given
    facts: dict[str, Any] = {
        "gen_ai.response.id": _cut(reader.answer_id),
        "gen_ai.response.model": _cut(reader.model),
        "gen_ai.response.finish_reasons": None if finish is None else [finish],
    }
    if (usage := reader.usage) is not None:
        facts |= {
            "gen_ai.usage.input_tokens": usage.input,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cached or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
        }
    return facts


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]
