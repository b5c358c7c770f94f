"""Maps response ids to the provider that issued them, for later requests that refer to stored state.

A response id is valid only at the provider account that issued it. This process remembers the ids that it has
relayed. For an id it has never seen, the router assumes that the pool's first target issued it.
"""

from __future__ import annotations

from typing import Final

from cachetools import TTLCache

__all__ = ["KEPT", "LIFETIME", "StateAffinity"]

KEPT: Final = 50_000
"""Maximum number of ids that are remembered at a time, about 10 MB."""
LIFETIME: Final = 24 * 3600.0
"""Seconds that an id is remembered.

OpenAI keeps responses for 30 days, but most conversations that continue are recent."""

_LONGEST_ID: Final = 256


class StateAffinity:
    """The provider that issued each id, for one process. Entries expire after LIFETIME."""

    def __init__(self) -> None:
        self._issuers: TTLCache[str, str] = TTLCache(KEPT, LIFETIME)

    def remember(self, answer_id: str, provider: str) -> None:
        """Store that `provider` issued `answer_id`. An id of more than 256 characters is ignored."""
        if len(answer_id) <= _LONGEST_ID:
            self._issuers[answer_id] = provider

    def provider_of(self, answer_id: str) -> str | None:
        """Returns the provider that issued `answer_id`, or None if this process has not seen it."""
        return self._issuers.get(answer_id)
