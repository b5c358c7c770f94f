"""What an attempt may take, told before the call, and what it took, told after it. No I/O.

A provider's own figures count wherever it gives them, 0 too. Where it gives none, because the answer broke
off or the caller left, what was sent and what came back are counted instead, at the most that they can have
been: an estimate never charges less than the provider does.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ...config import Pool, Price, Target
from ...dialects.base import Operation
from ...dialects.registry import operation_named
from ...dialects.usage import Usage
from ...errors import Refusal
from ...exchange import Attempt, Exchange
from ...stores.records import Source
from .price_card import cost, estimate, served
from .token_estimate import Prompt
from .vocabularies import NONE, Vocabularies

__all__ = ["ASSUMED_OUTPUT", "ActualUsage", "ExpectedUsage", "actual_usage", "amend", "expected_usage"]

ASSUMED_OUTPUT: Final = 4096
"""Tokens of output assumed where neither the request nor the configuration has a limit."""

_NOTHING: Final = Usage(0, 0)
_MAY_HAVE_GENERATED: Final = frozenset({"stream_failed", "stream_truncated", "timeout", "timeout_first_byte"})
"""Faults after which a provider may have generated something all the same."""
_NOT_SENT: Final = frozenset({"local_overload", "policy"})
"""Faults of ours: whatever was begun, no provider has seen a request."""


class ExpectedUsage(NamedTuple):
    """What a request may take at one target: tokens, at the most, and images.

    `limit` is the output that the provider will not exceed; None where `output` is only assumed. In the
    `background` it is generated whether or not anybody is there to see it.
    """

    input: int
    output: int
    images: int = 0
    limit: int | None = None
    background: bool = False

    @property
    def tokens(self) -> int:
        """Of both kinds."""
        return self.input + self.output

    def cost(self, price: Price | None) -> int:
        """The most it can cost, in nano-dollars; 0 without a price."""
        return 0 if price is None else estimate(price, self.input, self.output, self.images)


class ActualUsage(NamedTuple):
    """What an attempt took.

    `cost` is what the provider charges, in nano-dollars, None where there is no price for the `model` that
    served; `charge` is what to book all the same: then what was expected.
    """

    usage: Usage
    source: Source
    model: str | None
    cost: int | None
    charge: int


def expected_usage(
    prompt: Prompt,
    value: dict[str, Any],
    operation: str,
    target: Target,
    *,
    pool: Pool | None = None,
    assume_output: int = ASSUMED_OUTPUT,
    vocabularies: Vocabularies = NONE,
) -> ExpectedUsage:
    """What the request of document `value` may take at `target`. `operation` is the name of its operation."""
    if operation == "count_tokens":
        return ExpectedUsage(0, 0, limit=0)  # nothing is generated, and no vendor charges for it
    tokens = prompt.input(target, vocabularies)
    if target.context is not None:
        tokens = min(tokens, target.context)
    kind = operation_named(operation)
    if kind.limit_field is None:
        return ExpectedUsage(tokens, 0, prompt.images, limit=0)
    choices = _choices(value, operation)
    limits = [kind.requested_output(value), target.max_output]
    limit = min((each * choices for each in limits if each is not None), default=None)
    if pool is not None and pool.max_output is not None:
        limit = pool.max_output if limit is None else min(limit, pool.max_output)
    output = assume_output * choices if limit is None else limit
    return ExpectedUsage(tokens, output, prompt.images, limit, value.get("background") is True)


def amend(exchange: Exchange, value: dict[str, Any]) -> None:
    """Say what the forwarded document must have besides the caller's own members, and hide what answers it.

    A pool's `max_output` is said where the caller sets no limit. Raises Refusal, `invalid_value`, if the
    caller asks for more.
    """
    operation, pool = exchange.operation, exchange.pool
    if operation is None:
        return
    if pool is not None and pool.max_output is not None:
        _limit_output(exchange.amendments, value, operation, pool.max_output)
    if exchange.streamed and (requested := operation.usage_request(value)):
        exchange.amendments.update(requested)
        exchange.hides_usage = True


def actual_usage(attempt: Attempt, expected: ExpectedUsage) -> ActualUsage:
    """What an attempt took that has ended, however it ended."""
    target = attempt.candidate.target
    reader = None if attempt.answer is None else attempt.answer.reader
    model = None if reader is None else reader.model
    usage, source = _usage(attempt, expected)
    if usage is _NOTHING or target is None:
        return ActualUsage(usage, source, model, 0, 0)
    price = served(target, model)
    if price is None:
        return ActualUsage(usage, "unpriced", model, None, expected.cost(target.price))
    amount = cost(usage, price, expected.images)
    return ActualUsage(usage, source, model, amount, amount)


def _usage(attempt: Attempt, expected: ExpectedUsage) -> tuple[Usage, Source]:
    answer, fault = attempt.answer, attempt.fault
    if answer is None:
        # Nobody heard how it ended, as when a connection breaks once the request is out.
        may_have_generated = attempt.sent and (fault is None or fault.kind not in _NOT_SENT)
        output = expected.output if expected.background else 0
        return (Usage(expected.input, output), "estimated") if may_have_generated else (_NOTHING, "provider")
    reader = answer.reader
    reported = None if reader is None else reader.usage
    if reported is not None and reader is not None:
        if answer.complete or reader.finish is not None or not answer.is_stream:
            return reported, "provider"
    elif fault is not None and not answer.written and fault.kind not in _MAY_HAVE_GENERATED:
        return _NOTHING, "provider"
    if not 200 <= answer.status <= 299:
        return _NOTHING, "provider"
    # The bytes of a text are no fewer than its tokens. Thinking that nobody is shown cannot be counted.
    output = answer.written if expected.limit is None else min(answer.written, expected.limit)
    if expected.background:
        output = max(output, expected.output)  # it goes on, and its usage will be told to nobody here
    if reported is None:
        return Usage(expected.input, output), "estimated"
    return reported._replace(output=max(reported.output, output)), "estimated"


def _limit_output(amendments: dict[str, Any], value: dict[str, Any], operation: Operation, most: int) -> None:
    field = operation.limit_field
    if field is None:
        return
    choices = _choices(value, operation.name)
    requested = operation.requested_output(value)
    if requested is None:
        if choices > most:
            raise Refusal("invalid_value", param="n")
        amendments[field] = most // choices
    elif requested * choices > most:
        given = field if value.get(field) is not None else "max_tokens"
        raise Refusal("invalid_value", param=given)


def _choices(value: dict[str, Any], operation: str) -> int:
    """How many answers are generated, of which a caller need not see all."""
    if operation != "chat":
        return 1
    given = (value.get("n"), value.get("best_of"))
    return max([1, *(number for number in given if type(number) is int)])
