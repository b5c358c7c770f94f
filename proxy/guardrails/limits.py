"""What a rule of kind `limits` forbids in a request. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from ..dialects.base import Operation
from ..dialects.json_values import is_list, within
from .document_texts import Text
from .rules import Bound, Rule

__all__ = ["exceeded"]

_BYTES_PER_TOKEN: Final = 4
_KINDS: Final = ("function", "custom")
_TURNS: Final = ("messages", "input")


def exceeded(rule: Rule, operation: Operation, value: dict[str, Any], texts: Sequence[Text]) -> str | None:
    """Returns the code of the first limit that the request exceeds, or None."""
    if rule.max_messages is not None:
        turns = max((len(given) for name in _TURNS if is_list(given := value.get(name))), default=0)
        if turns > rule.max_messages:
            return "max_messages"
    if rule.max_input_tokens is not None:
        size = sum(len(each.text) if each.text.isascii() else len(each.text.encode()) for each in texts)
        if size > rule.max_input_tokens * _BYTES_PER_TOKEN:
            return "max_input_tokens"
    if rule.max_output_tokens is not None and operation.limits:
        requested = operation.requested_output(value)
        if requested is None or requested > rule.max_output_tokens:
            return "max_output_tokens"
    if rule.tools is not None or rule.deny_tools:
        for name in _tools(value):
            if _is_any(name, rule.deny_tools) or (rule.tools is not None and not _is_any(name, rule.tools)):
                return "tools"
    return next((name for name, bound in rule.parameters.items() if _breaks(bound, value.get(name))), None)


def _tools(value: dict[str, Any]) -> Iterator[str]:
    """Returns every name of each tool on offer, and its type unless that is an ordinary one. A tool without
    any is ""."""
    pending = [
        tool for member in ("tools", "functions") if is_list(given := value.get(member)) for tool in given
    ]
    for tool in pending:  # grows: a namespace holds tools
        names = [within(tool, "name"), *(within(within(tool, kind), "name") for kind in _KINDS)]
        names.append(within(tool, "function"))
        if within(tool, "type") not in _KINDS:
            names.append(within(tool, "type"))
        known = [name for name in names if isinstance(name, str)]
        yield from known or ("",)
        inner = within(tool, "tools")
        pending += inner if is_list(inner) else ()


def _is_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _breaks(bound: Bound, given: object) -> bool:
    if given is None:
        return False
    if bound.denied:
        return True
    if not isinstance(given, int | float) or isinstance(given, bool):
        return bound.least is not None or bound.most is not None
    return (bound.least is not None and given < bound.least) or (
        bound.most is not None and given > bound.most
    )
