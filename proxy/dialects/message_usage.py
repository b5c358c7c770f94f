"""Counts the tokens of one message of Anthropic's, whose usage is told in parts."""

from __future__ import annotations

from typing import Any, Final

from .json_values import is_list, number, within
from .usage import Usage

__all__ = ["MessageUsage"]

# Members of a usage object that count tokens.
_COUNTED: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class MessageUsage:
    """The usage of one message. Of each kind of tokens the largest figure counts, since it is cumulative."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}

    def add(self, usage: dict[str, Any]) -> None:
        """Add what one usage object tells."""
        tokens = self._tokens
        figures = [(name, usage.get(name)) for name in _COUNTED]
        figures += [
            ("thinking", within(usage.get("output_tokens_details"), "thinking_tokens")),
            ("1h", within(usage.get("cache_creation"), "ephemeral_1h_input_tokens")),
        ]
        figures += _iterations(usage.get("iterations"))
        for name, figure in figures:
            if figure is not None:
                known = number(figure)
                tokens[name] = max(tokens.get(name, -1), -1 if known is None else known)

    def forget_output(self) -> None:
        """Forget the output tokens: what was told of them was not the final count."""
        self._tokens.pop("output_tokens", None)

    @property
    def usage(self) -> Usage | None:
        """The usage, or None as long as it is only a part, which would be billed as the whole."""
        tokens = self._tokens
        if "input_tokens" not in tokens or "output_tokens" not in tokens or min(tokens.values()) < 0:
            return None
        cached, cache_write = (
            tokens.get("cache_read_input_tokens", 0),
            tokens.get("cache_creation_input_tokens", 0),
        )
        # `input_tokens` does not include tokens read from or written to the cache.
        return Usage(
            input=tokens["input_tokens"] + cached + cache_write,
            output=tokens["output_tokens"],
            cached=cached,
            cache_write=cache_write,
            reasoning=tokens.get("thinking", 0),
            cache_write_1h=tokens.get("1h", 0),
        )


def _iterations(value: object) -> list[tuple[str, object]]:
    """Returns the sums over the samplings of one answer. The usage itself leaves out those of compactions."""
    if not is_list(value):
        return []
    figures = ((name, [number(within(each, name)) for each in value]) for name in _COUNTED)
    return [(name, sum(known)) for name, each in figures if (known := [n for n in each if n is not None])]
