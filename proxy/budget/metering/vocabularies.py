"""Exact token counts, for models with a known vocabulary if the extra `tokens` is installed.

A vocabulary needs about 60 MB of memory and takes a few tenths of a second to load. So only the vocabularies
of the configured models are loaded, when the gateway is assembled, and no others later. For models whose
vocabulary is not public, such as Anthropic's, that of OpenAI's current models stands in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = ["NONE", "Count", "Counting", "Vocabularies", "encoding_of", "is_known"]

Count = Callable[[str], int]
"""A function that returns the number of tokens in a text. Strings that look like special tokens count as
ordinary text."""

_ENCODINGS: Final = (
    (re.compile(r"gpt-oss(?![a-z])"), "o200k_harmony"),
    (re.compile(r"(?:chat)?gpt-4o|gpt-4\.[15]|gpt-5|o[134](?![a-z0-9])"), "o200k_base"),
    (re.compile(r"gpt-4(?![.o0-9])|gpt-3\.?5-turbo|text-embedding-(?:3|ada-002)"), "cl100k_base"),
    (re.compile(r"(?:meta-)?llama-?3(?:[.-]|$)"), "llama3"),
    (re.compile(r"qwen-?(?:2(?:\.5)?|3)(?:-|$)"), "qwen3"),
)
"""Patterns for the start of a model's name, in lower case and without its vendor prefix, and the name of the
vocabulary in quicktok. The OpenAI entries follow tiktoken's `model.py`. A name that matches no pattern has no
known vocabulary."""


_STAND_IN: Final = "o200k_base"
"""The vocabulary that stands in for those that are not public."""
_NOT_PUBLIC: Final = re.compile(r"claude|gemini|grok")
"""Patterns for the start of the names of models with such a vocabulary, as in _ENCODINGS."""


def encoding_of(model: str) -> str | None:
    """Returns the name of a model's vocabulary, or None if it is unknown."""
    name = model.lower().rpartition("/")[2]
    return next((encoding for pattern, encoding in _ENCODINGS if pattern.match(name)), None)


class Counting(NamedTuple):
    """A function that counts tokens, and whether that is the model's own way of counting."""

    function: Count
    is_own: bool


class Vocabularies:
    """The loaded vocabularies. For a model without one, tokens are not counted but bounded from above."""

    __slots__ = ("_by_model", "_counts")

    def __init__(self, counts: Mapping[str, Count] = MappingProxyType({})) -> None:
        self._counts = dict(counts)
        self._by_model: dict[str, Counting | None] = {}

    @classmethod
    def load(cls, models: Iterable[str]) -> Vocabularies:
        """Loads the vocabularies of these models. Blocks for up to 0.4 s each, so never call it in the loop.

        Returns an empty instance if quicktok is not installed.
        """
        needed = set(filter(None, map(_needed, models)))
        if not needed or find_spec("quicktok") is None:
            return cls()
        quicktok: Any = import_module("quicktok")
        return cls({name: quicktok.get_encoding(name).count for name in sorted(needed)})

    def count(self, model: str) -> Count | None:
        """Returns the function that counts this model's tokens, or None if its vocabulary is not loaded."""
        encoding = encoding_of(model) if self._counts else None
        return None if encoding is None else self._counts.get(encoding)

    def counting(self, model: str) -> Counting | None:
        """Returns how to count for a model of the configuration, or None. The result is kept."""
        if model not in self._by_model:
            own = self.count(model)
            count = own or self.stand_in(model)
            self._by_model[model] = None if count is None else Counting(count, own is not None)
        return self._by_model[model]

    def stand_in(self, model: str) -> Count | None:
        """Returns the function that counts for a model whose vocabulary is not public, or None."""
        return self._counts.get(_STAND_IN) if self._counts and _is_secret(model) else None


def is_known(model: str) -> bool:
    """Whether the tokens of a model can be counted, with its own vocabulary or another one."""
    return _needed(model) is not None


def _is_secret(model: str) -> bool:
    return _NOT_PUBLIC.match(model.lower().rpartition("/")[2]) is not None


def _needed(model: str) -> str | None:
    return encoding_of(model) or (_STAND_IN if _is_secret(model) else None)


NONE: Final = Vocabularies()
"""An instance without vocabularies."""
