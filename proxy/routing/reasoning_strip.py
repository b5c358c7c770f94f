"""Leaves signed or encrypted reasoning out of a request to a target that cannot read it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..dialects.json_values import is_list, is_object, within
from ..dialects.signatures import REASONING, block_signatures, message_signatures
from ..dialects.state_key import content_key, id_key
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

        def unreadable(key: str) -> bool:
            return self._domains.get(key, self._home) != domain

        member = "input" if operation.name == "responses" else "messages"
        amendments = attempt.amendments or {}
        before = amendments.get(member, self._value.get(member))
        if not is_list(before):
            return
        after = [_without_reasoning(item, unreadable) for item in before]
        if after == before:
            return
        attempt.amendments = {**amendments, member: [item for item in after if item is not None]}
        attempt.dropped = ("reasoning",)
        if operation.dialect == "anthropic" and self._must_not_think(before, after):
            attempt.amendments |= self._without_thinking()
            attempt.dropped = ("reasoning", "thinking")

    def _must_not_think(self, before: list[Any], after: list[Any]) -> bool:
        """Whether Anthropic would refuse `after`, in which removed messages are None.

        With thinking enabled, an answer whose tool calls are answered now must begin with its thinking. It
        may be split over several messages, and the results of its tools may be followed by more text.
        """
        if within(self._value.get("thinking"), "type") != "enabled":
            return False
        begin = 0
        for at in reversed(range(len(before))):
            follows_results = at > 0 and _has(before[at - 1], "tool_result")
            is_users = within(before[at], "role") == "user"
            if is_users and not _has(before[at], "tool_result") and not follows_results:
                begin = at
                break
        calls = any(_has(message, "tool_use") for message in before[begin:])
        return calls and before[begin:] != after[begin:]

    def _without_thinking(self) -> dict[str, Any]:
        """Returns the members that switch thinking off, and what may not be asked for without it."""
        members: dict[str, Any] = {"thinking": dict(_DISABLED)}
        management = self._value.get("context_management")
        edits = within(management, "edits")
        if is_object(management) and is_list(edits):
            kept = [edit for edit in edits if not str(within(edit, "type")).startswith("clear_thinking")]
            members["context_management"] = {**management, "edits": kept}
        return members


def _has(message: object, kind: str) -> bool:
    """Whether a message has a block of this type."""
    content = within(message, "content")
    return is_list(content) and any(within(block, "type") == kind for block in content)


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
            if not kept and not item.get("tool_calls"):
                return None
            item = {**item, "content": kept or None}
    members = {member for member, signature in message_signatures(item) if unreadable(content_key(signature))}
    if not members:
        return item
    rest = {name: value for name, value in item.items() if name not in members or name == "tool_calls"}
    if "tool_calls" in members:
        rest["tool_calls"] = [_without_signature(call) for call in item["tool_calls"]]
    return rest


def _is_unreadable(block: object, unreadable: _Unreadable) -> bool:
    if within(block, "type") not in REASONING:
        return False
    keys = [content_key(signature) for signature in block_signatures(block)]
    if not keys and isinstance(identifier := within(block, "id"), str):
        keys = [id_key(identifier)]
    return any(map(unreadable, keys))


def _without_signature(call: Any) -> Any:
    return (
        {name: value for name, value in call.items() if name != "extra_content"} if is_object(call) else call
    )
