"""Which provider holds the state that a later request may name.

A response id means something only to the provider account that issued it. What this process has relayed it
remembers; of an id it has never seen it assumes that the pool's first target issued it.
"""

from __future__ import annotations

from typing import Final

from cachetools import TTLCache

__all__ = ["KEPT", "LIFETIME", "StateAffinity"]

KEPT: Final = 50_000
"""Ids remembered at a time; about 10 MB."""
LIFETIME: Final = 24 * 3600.0
"""Seconds an id is remembered. OpenAI keeps responses for 30 days; conversations that go on are young."""

_LONGEST_ID: Final = 256


class StateAffinity:
    """Remembers, for one process, which provider issued an id."""

    def __init__(self) -> None:
        self._issuers: TTLCache[str, str] = TTLCache(KEPT, LIFETIME)

    def remember(self, answer_id: str, provider: str) -> None:
        """`provider` issued `answer_id`. One longer than any real one is forgotten at once."""
        if len(answer_id) <= _LONGEST_ID:
            self._issuers[answer_id] = provider

    def provider_of(self, answer_id: str) -> str | None:
        """The provider that issued `answer_id`, or None if this process has not seen it."""
        return self._issuers.get(answer_id)
