"""The vocabularies of a configuration's models, read beside the requests that come meanwhile."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from ...config import Routes
from .vocabularies import NONE, Vocabularies, encoding_of

__all__ = ["VocabularyCache"]


class VocabularyCache:
    """Reads vocabularies once it is asked for them. Until it has, counts are too high, never too low."""

    __slots__ = ("_loaded", "_models", "_reader", "_routes")

    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._models: set[str] = set()
        self._loaded: Vocabularies = NONE
        self._reader: asyncio.Task[None] | None = None

    def of(self, routes: Routes | None) -> Vocabularies:
        """Those that have been read."""
        if routes is not None and routes is not self._routes:
            self._routes = routes
            models = {target.model for target in routes.targets.values()}
            if models == self._models:
                return self._loaded
            self._models = models
            if find_spec("quicktok") is not None and any(encoding_of(model) for model in models):
                self._reader = asyncio.create_task(self._read(models))
        return self._loaded

    def inherit(self, before: VocabularyCache) -> None:
        """Take what has been read for a configuration before."""
        if before._reader is None or before._reader.done():
            self._loaded, self._models = before._loaded, before._models

    async def _read(self, models: set[str]) -> None:
        self._loaded = await asyncio.to_thread(Vocabularies.load, models)
