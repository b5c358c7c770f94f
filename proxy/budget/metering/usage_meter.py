"""The expected usage of an attempt before the call, and its actual usage afterwards. No I/O.

The usage that the provider reports is used wherever there is one, even if it is 0. Where there is none,
because the answer was cut off or the caller disconnected, usage is estimated from what was sent and received.
The estimate is an upper bound: it never charges less than the provider does.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ...bridge.bridges import operation_at_target
from ...bridge.translation import TRANSLATED_OUTPUT
from ...config import Pool, Price, Target, targets_of
from ...dialects.base import Operation
from ...dialects.json_values import served_tier, text, within
from ...dialects.registry import operation_named
from ...dialects.usage import Usage
from ...errors import Refusal
from ...exchange import Attempt, Exchange
from ...stores.records import Source
from .price_card import cost, estimate, served, tiered
from .token_estimate import Prompt
from .vocabularies import NONE, Vocabularies

__all__ = [
    "ASSUMED_OUTPUT",
    "ActualUsage",
    "ExpectedUsage",
    "Requested",
    "Unheard",
    "actual_usage",
    "amend",
    "expected_usage",
]

ASSUMED_OUTPUT: Final = 4096
"""Output tokens assumed where neither the request nor the configuration sets a limit."""

Unheard: TypeAlias = Literal["held", "input"]
"""How an answer counts that a caller did not wait for: as what was held for it, or as its input alone."""

_NO_USAGE: Final = Usage(0, 0)
_TIERS: Final = ("service_tier", "speed", "inference_geo")
"""Fields of a request that choose another price."""
_NAMES_TIER: Final = frozenset(_TIERS)
_ASKS_REASONING: Final = frozenset(
    {"enable_thinking", "output_config", "reasoning", "reasoning_effort", "thinking"}
)
"""Fields of a request that may ask for reasoning."""
_ASKS_CHOICES: Final = frozenset({"best_of", "n"})
"""Fields of a request that ask for several answers."""
_MAY_HAVE_GENERATED: Final = frozenset({"stream_failed", "stream_truncated", "timeout", "timeout_first_byte"})
"""Faults after which the provider may nevertheless have generated output."""
_NOT_SENT: Final = frozenset({"local_overload", "policy"})
"""Faults on Standby's side: no provider has received the request."""


class ExpectedUsage(NamedTuple):
    """The maximum usage of a request at one target: input and output tokens, and images.

    `limit` is the number of output tokens that the provider will not exceed; it is None if `output` is only
    an assumption. `reasons` is whether it may reason without showing it, and `tier` the service tier that is
    asked for.
    """

    input: int
    output: int
    images: int = 0
    limit: int | None = None
    reasons: bool = False
    tier: str | None = None

    @property
    def tokens(self) -> int:
        """The total number of input and output tokens."""
        return self.input + self.output

    def cost(self, price: Price | None) -> int:
        """Returns the maximum cost in nano-dollars; 0 if there is no price."""
        if price is None:
            return 0
        card = price if self.tier is None else tiered(price, self.tier) or price
        return estimate(card, self.input, self.output, self.images)


class ActualUsage(NamedTuple):
    """The usage of a finished attempt.

    `model` is the model that answered. `cost` is the provider's charge in nano-dollars, or None if that model
    has no price. `charge` is the amount to book: the cost, or if there is no price the expected cost, or what
    the usage costs by the target's usual card if that is more.
    """

    usage: Usage
    source: Source
    model: str | None
    cost: int | None
    charge: int


class Requested(NamedTuple):
    """What of a request's usage is the same at every target.

    `choices` is the number of answers that are generated, and `output` the caller's limit for each, None
    without one. `reasons` is whether it asks for reasoning, which an answer need not show.
    """

    operation: Operation
    choices: int = 1
    output: int | None = None
    reasons: bool = False
    tier: str | None = None

    @classmethod
    def of(cls, value: dict[str, Any], operation: str) -> Requested:
        """Reads the request's JSON document. `operation` is the name of its operation."""
        kind = operation_named(operation)
        output = kind.requested_output(value)
        return cls(kind, _choices(value, operation), output, _reasons(value), _tier(value))


def expected_usage(
    prompt: Prompt,
    requested: Requested,
    target: Target,
    *,
    pool: Pool | None = None,
    assume_output: int = ASSUMED_OUTPUT,
    vocabularies: Vocabularies = NONE,
) -> ExpectedUsage:
    """Returns the maximum usage of a request at `target`.

    `assume_output` is the number of output tokens to assume where no limit is set.
    """
    kind, choices, limit, reasons, tier = requested
    if kind.name == "count_tokens":
        return ExpectedUsage(0, 0, limit=0)  # it generates nothing, and no vendor charges for it
    tokens = prompt.input(target, vocabularies)
    if target.context is not None:
        tokens = min(tokens, target.context)
    if not kind.limits:
        return ExpectedUsage(tokens, 0, prompt.images, limit=0)
    if target.max_output is not None and (limit is None or target.max_output < limit):
        limit = target.max_output
    if limit is not None:
        limit *= choices
    if pool is not None and pool.max_output is not None:
        limit = pool.max_output if limit is None else min(limit, pool.max_output)
    if limit is None and operation_at_target(target, kind).name == "messages" != kind.name:
        limit = TRANSLATED_OUTPUT
    output = assume_output * choices if limit is None else limit
    return ExpectedUsage(tokens, output, prompt.images, limit, reasons, tier)


def amend(exchange: Exchange, value: dict[str, Any]) -> None:
    """Adds the members that the forwarded document needs to `exchange.amendments`.

    These are the pool's `max_output`, if the caller sets no limit, and the request for usage in a stream. In
    the latter case `exchange.hides_usage` is set, so that the caller does not see the extra usage. Raises
    Refusal with the code `invalid_value` if the caller's limit exceeds the pool's, and for a service tier for
    which no target has a price.
    """
    operation, pool = exchange.operation, exchange.pool
    if operation is None:
        return
    if pool is not None:
        _check_tiers(value, pool)
    if pool is not None and pool.max_output is not None:
        _limit_output(exchange.amendments, value, operation, pool.max_output)
    if exchange.streamed and (requested := operation.usage_request(value)):
        exchange.amendments.update(requested)
        exchange.hides_usage = True


def actual_usage(
    attempt: Attempt, expected: ExpectedUsage, *, left: bool = False, unheard: Unheard = "held"
) -> ActualUsage:
    """Returns the usage of a finished attempt, whatever its outcome.

    `left` is whether the caller left before the end. `unheard` is then how an answer counts whose usage was
    not told: as the most it can have been (`held`), or as its input and what of it was heard.
    """
    target = attempt.candidate.target
    reader = None if attempt.answer is None else attempt.answer.reader
    model = None if reader is None else reader.model
    usage, source = _usage(attempt, expected, held=left and unheard == "held")
    if usage is _NO_USAGE or target is None:
        return ActualUsage(usage, source, model, 0, 0)
    price = served(target, model, None if reader is None else reader.tier)
    if price is None:
        charge = expected.cost(target.price)
        if target.price is not None:
            charge = max(charge, cost(usage, target.price, expected.images))
        return ActualUsage(usage, "unpriced", model, None, charge)
    amount = cost(usage, price, expected.images)
    return ActualUsage(usage, source, model, amount, amount)


def _usage(attempt: Attempt, expected: ExpectedUsage, *, held: bool) -> tuple[Usage, Source]:
    answer, fault = attempt.answer, attempt.fault
    if answer is None:
        # There is no answer, for example because the connection failed after the request was sent.
        may_have_generated = attempt.sent and (fault is None or fault.kind not in _NOT_SENT)
        output = expected.output if held else 0
        return (Usage(expected.input, output), "estimated") if may_have_generated else (_NO_USAGE, "provider")
    reader = answer.reader
    reported = None if reader is None else reader.usage
    if reported is not None and reader is not None:
        told_last = reader.finish is not None or reader.error is not None
        if answer.complete or not answer.is_stream or (told_last and reader.written == reader.counted_at):
            return reported, "provider"
    elif fault is not None and not answer.written and fault.kind not in _MAY_HAVE_GENERATED:
        return _NO_USAGE, "provider"
    elif reader is not None and reader.error is not None and not answer.is_stream:
        return _NO_USAGE, "provider"  # the whole body is an error
    if not 200 <= answer.status <= 299:
        return _NO_USAGE, "provider"
    # A text has at least as many bytes as tokens.
    output = answer.written if expected.limit is None else min(answer.written, expected.limit)
    # Generation continues without us, was over before we heard of it, or may have been hidden reasoning.
    unseen = held and not answer.complete and (not answer.is_stream or not answer.written)
    if unseen or expected.reasons:
        output = max(output, expected.output)
    if reported is None:
        return Usage(expected.input, output), "estimated"
    return reported._replace(output=max(reported.output, output)), "estimated"


def _reasons(value: dict[str, Any]) -> bool:
    """Whether a request asks for reasoning, which an answer need not show."""
    if _ASKS_REASONING.isdisjoint(value):
        return False
    reasoning, config = value.get("reasoning"), value.get("output_config")
    efforts = (value.get("reasoning_effort"), within(reasoning, "effort"), within(config, "effort"))
    return (
        any(isinstance(effort, str) and effort not in {"none", "minimal"} for effort in efforts)
        or text(within(value.get("thinking"), "type")) in {"enabled", "adaptive"}
        or value.get("enable_thinking") is True
        or bool(within(reasoning, "max_tokens"))
    )


def _tier(value: dict[str, Any]) -> str | None:
    if _NAMES_TIER.isdisjoint(value):
        return None
    return served_tier(*(value.get(name) for name in _TIERS))


def _check_tiers(value: dict[str, Any], pool: Pool) -> None:
    """Raise Refusal for a tier, speed or place that no card of the pool names, if one of them names any.

    Where no card has tiers, such an answer is booked as unpriced.
    """
    if _NAMES_TIER.isdisjoint(value):
        return
    cards = [target.price.tiers for target in targets_of(pool) if target.price is not None]
    if all(card is None for card in cards):
        return
    for name in _TIERS:
        tier = served_tier(value.get(name))
        if tier is not None and all(card is None or tier not in card for card in cards):
            raise Refusal("invalid_value", param=name)


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
        param = field if value.get(field) is not None else "max_tokens"
        raise Refusal("invalid_value", param=param)


def _choices(value: dict[str, Any], operation: str) -> int:
    """Returns the number of answers that are generated. With `best_of`, the caller receives only some."""
    if operation != "chat" or _ASKS_CHOICES.isdisjoint(value):
        return 1
    requested = (value.get("n"), value.get("best_of"))
    return max([1, *(number for number in requested if type(number) is int)])
