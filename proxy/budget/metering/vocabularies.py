"""Counting tokens exactly, where the vocabulary of a model is known and the extra `tokens` is installed.

A vocabulary is some 60 MB in memory and takes a few tenths of a second to read, so those that the
configured models need are read when the gateway is assembled, and no others, ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

__all__ = ["NONE", "Count", "Vocabularies", "encoding_of"]

Count = Callable[[str], int]
"""The number of tokens of a text that holds no special tokens, only what looks like them."""

_ENCODINGS: Final = (
    (re.compile(r"gpt-oss(?![a-z])"), "o200k_harmony"),
    (re.compile(r"(?:chat)?gpt-4o|gpt-4\.[15]|gpt-5|o[134](?![a-z0-9])"), "o200k_base"),
    (re.compile(r"gpt-4(?![.o0-9])|gpt-3\.?5-turbo|text-embedding-(?:3|ada-002)"), "cl100k_base"),
    (re.compile(r"(?:meta-)?llama-?3(?:[.-]|$)"), "llama3"),
    (re.compile(r"qwen-?(?:2(?:\.5)?|3)(?:-|$)"), "qwen3"),
)
"""The vocabularies that quicktok has, by the beginning of a model's name, in lower case and without a vendor
(OpenAI's as tiktoken's `model.py` lists them). A name that is not here has none, however alike it looks."""


def encoding_of(model: str) -> str | None:
    """The name of the vocabulary of a model, or None where it is not known."""
    name = model.lower().rpartition("/")[2]
    return next((encoding for pattern, encoding in _ENCODINGS if pattern.match(name)), None)


class Vocabularies:
    """The vocabularies that were read. Without any, every count is an upper bound."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[str, Count] = MappingProxyType({})) -> None:
        self._counts = dict(counts)

    @classmethod
    def load(cls, models: Iterable[str]) -> Vocabularies:
        """Read what these models need. Takes up to 0.4 s for each vocabulary, so not while serving."""
        needed = {encoding for model in models if (encoding := encoding_of(model)) is not None}
        if not needed or find_spec("quicktok") is None:
            return cls()
        quicktok: Any = import_module("quicktok")
        return cls({name: quicktok.get_encoding(name).count for name in sorted(needed)})

    def count(self, model: str) -> Count | None:
        """What counts the tokens of a text for this model, or None."""
        encoding = encoding_of(model) if self._counts else None
        return None if encoding is None else self._counts.get(encoding)


NONE: Final = Vocabularies()
"""No vocabulary at all."""
