"""Leaves signed or encrypted reasoning out of a request to a target that cannot read it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import is_list, is_object, within
from ..dialects.signatures import REASONING, block_signatures, message_signatures
from ..dialects.state_key import state_key
from ..exchange import Attempt, Exchange

__all__ = ["ReasoningStrip"]

_DISABLED: Final = MappingProxyType({"type": "disabled"})

_Unreadable = Callable[[str], bool]


class ReasoningStrip:
    """A clearance for pools with `reasoning_state = "strip"`, which never refuses.

    `value` is the request's document. `domains` maps the keys of signatures to the domain of their issuer;
    `home` is the domain of those that are not in it.
    """

    __slots__ = ("_domains", "_home", "_value")

    def __init__(self, value: dict[str, Any], domains: Mapping[str, str], home: str | None) -> None:
        self._value = value
        self._domains = domains
        self._home = home

    async def __call__(self, exchange: Exchange, attempt: Attempt) -> None:
        """Amend what the attempt sends, and write what was left out into `attempt.dropped`."""
        target, operation = attempt.candidate.target, exchange.operation
        if target is None or operation is None:
            return
        domain = target.provider.signature_domain

        def unreadable(signature: str) -> bool:
            return self._domains.get(state_key(signature), self._home) != domain

        member = "input" if operation.name == "responses" else "messages"
        amendments = attempt.amendments or {}
        before = amendments.get(member, self._value.get(member))
        if not is_list(before):
            return
        after = [kept for item in before if (kept := _without_reasoning(item, unreadable)) is not None]
        if after == before:
            return
        attempt.amendments = {**amendments, member: after}
        attempt.dropped = ("reasoning",)
        if operation.dialect == "anthropic" and self._needs_thinking(before, after):
            attempt.amendments["thinking"] = dict(_DISABLED)
            attempt.dropped = ("reasoning", "thinking")

    def _needs_thinking(self, before: list[Any], after: list[Any]) -> bool:
        """Whether Anthropic would refuse `after`: with thinking enabled, an answer whose tool calls are
        answered now must begin with its thinking."""
        if within(self._value.get("thinking"), "type") != "enabled" or len(before) < 2 or len(after) < 2:
            return False
        content = within(after[-2], "content")
        calls = is_list(content) and any(within(block, "type") == "tool_use" for block in content)
        return calls and after[-2] != before[-2]


def _without_reasoning(item: Any, unreadable: _Unreadable) -> Any:
    """Returns an item of the Responses API or a message, without reasoning; None if nothing is left of it."""
    if not is_object(item):
        return item
    if item.get("type") in REASONING:
        return None if _is_unreadable(item, unreadable) else item
    content = item.get("content")
    if is_list(content):
        kept = [block for block in content if not _is_unreadable(block, unreadable)]
        if len(kept) != len(content):
            return {**item, "content": kept} if kept else None
    members = {member for member, signature in message_signatures(item) if unreadable(signature)}
    if not members:
        return item
    rest = {name: value for name, value in item.items() if name not in members or name == "tool_calls"}
    if "tool_calls" in members:
        rest["tool_calls"] = [_without_signature(call) for call in item["tool_calls"]]
    return rest


def _is_unreadable(block: object, unreadable: _Unreadable) -> bool:
    if within(block, "type") not in REASONING:
        return False
    signatures: list[object] = [*block_signatures(block)]
    for signature in signatures or [within(block, "id")]:
        if isinstance(signature, str) and unreadable(signature):
            return True
    return False


def _without_signature(call: Any) -> Any:
    return (
        {name: value for name, value in call.items() if name != "extra_content"} if is_object(call) else call
    )
