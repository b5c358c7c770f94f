"""Translates the request of one attempt for its target, by the rules of its pool and its vendor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import Pool, Target
from ..dialects.vendor_request import adapted
from .bridges import Bridge
from .translation import TRANSLATED_OUTPUT, TargetLimits, Translation, Untranslatable

__all__ = ["request_for"]


def request_for(
    bridge: Bridge, value: dict[str, Any], target: Target, pool: Pool | None, dropped: Sequence[str] = ()
) -> Translation:
    """Returns the request `value` as `target` takes it.

    `dropped` is what is left out of it besides. Raises Untranslatable for a field that cannot be carried,
    and in a strict pool for one that would be left out.
    """
    request, lost = bridge.request(value, _limits(target, pool))
    vendor = target.provider.known_as
    if vendor is not None and bridge.target.name == "chat":
        refused = tuple(sorted(vendor.refuses & request.keys()))
        request = adapted({name: request[name] for name in request if name not in refused}, vendor)
        lost += refused
    lost += tuple(dropped)
    if lost and pool is not None and pool.strict:
        raise Untranslatable(lost[0])
    request["model"] = target.model
    return Translation(request, lost)


def _limits(target: Target, pool: Pool | None) -> TargetLimits:
    vendor = target.provider.known_as
    given = (target.max_output, None if pool is None else pool.max_output)
    return TargetLimits(
        max_output=min((limit for limit in given if limit is not None), default=TRANSLATED_OUTPUT),
        # Every server knows `max_tokens`, except for OpenAI's newest models.
        limit_member="max_tokens" if vendor is None else vendor.limit or "max_completion_tokens",
        reasons=target.can is not None and "reasoning" in target.can,
    )
