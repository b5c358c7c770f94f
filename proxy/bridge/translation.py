"""What becomes of each member of a request that is translated: carried, dropped with a note, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..errors import StandbyError

__all__ = ["TRANSLATED_OUTPUT", "Dropped", "Members", "TargetLimits", "Translation", "Untranslatable"]

_LONGEST_FIELD: Final = 120  # characters of a field's path
TRANSLATED_OUTPUT: Final = 8192
"""Output tokens of a translated request that sets no limit, where neither pool nor target does and the format
demands one. All models of Anthropic's since 2024 generate as many."""
_NONE: Final[Mapping[str, tuple[object, ...]]] = MappingProxyType({})


class Untranslatable(StandbyError):
    """A request has a `field` that the target's wire format cannot carry without changing what it means."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        # A caller may name a member as he likes, and the path is printed.
        self.field = "".join([each if each.isprintable() else "?" for each in field[:_LONGEST_FIELD]])


class Translation(NamedTuple):
    """A translated request, and the paths of what was left out of it because its absence is harmless."""

    value: dict[str, Any]
    dropped: tuple[str, ...]


class TargetLimits(NamedTuple):
    """What a translation needs to know of its target.

    `max_output` is the output limit in tokens of a request that sets none, for a format that demands one.
    `limit_member` is the member by which a chat request limits its output there, and `reasons` whether it is
    said to reason, so that it may be asked not to.
    """

    max_output: int = TRANSLATED_OUTPUT
    limit_member: str = "max_completion_tokens"
    reasons: bool = True


class Dropped:
    """Collects the paths of what is left out, each once, without indexes."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Note that what is at `path` is left out."""
        self._paths[path] = None

    def paths(self) -> tuple[str, ...]:
        """Returns the paths in the order in which they were added."""
        return tuple(self._paths)


class Members:
    """The members of one kind of object, and what becomes of each.

    `carried` are translated by the reader of the object. `dropped` may be left out without harm. `neutral`
    maps a member to the values that ask for nothing, so that they need not be carried. All others, unknown
    ones included, make the request untranslatable. `label` begins the paths of what is dropped.
    """

    __slots__ = ("carried", "dropped", "label", "neutral")

    def __init__(
        self,
        carried: str,
        *,
        dropped: str = "",
        neutral: Mapping[str, tuple[object, ...]] = _NONE,
        label: str = "",
    ) -> None:
        self.carried = frozenset(carried.split())
        self.dropped = frozenset(dropped.split())
        self.neutral = neutral
        self.label = label

    def check(self, value: dict[str, Any], place: str, dropped: Dropped) -> None:
        """Note what is dropped of `value`. Raises Untranslatable for what can be neither carried nor dropped.

        `place` is the path of the object in the request, with a dot at its end, or "" for the request itself.
        """
        for name, given in value.items():
            if name in self.carried or given is None:
                continue
            if name in self.neutral and given in self.neutral[name]:
                continue
            if name not in self.dropped:
                raise Untranslatable(place + name)
            dropped.add(self.label + name)
