"""A cache of the vocabularies of the configured models, loaded in a thread while requests are served."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from ...config import Routes
from .vocabularies import NONE, Vocabularies, is_known

__all__ = ["VocabularyCache"]


class VocabularyCache:
    """Loads vocabularies on first use. Until they are loaded, token counts are upper bounds."""

    __slots__ = ("_loaded", "_loader", "_models", "_routes")

    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._models: set[str] = set()
        self._loaded: Vocabularies = NONE
        self._loader: asyncio.Task[None] | None = None

    def of(self, routes: Routes | None) -> Vocabularies:
        """Returns the vocabularies loaded so far. Starts loading those of `routes` if its models changed."""
        if routes is not None and routes is not self._routes:
            self._routes = routes
            models = {target.model for target in routes.targets.values()}
            if models == self._models:
                return self._loaded
            self._models = models
            if find_spec("quicktok") is not None and any(map(is_known, models)):
                self._loader = asyncio.create_task(self._load(models))
        return self._loaded

    def load(self, routes: Routes) -> None:
        """Loads the vocabularies of `routes` at once. It takes up to a second, in which nothing else runs."""
        self._routes = routes
        self._models = {target.model for target in routes.targets.values()}
        if find_spec("quicktok") is not None:
            self._loaded = Vocabularies.load(self._models)

    def inherit(self, previous: VocabularyCache) -> None:
        """Takes over the vocabularies of the previous configuration's cache, unless it is still loading."""
        if previous._loader is None or previous._loader.done():
            self._loaded, self._models = previous._loaded, previous._models

    async def _load(self, models: set[str]) -> None:
        self._loaded = await asyncio.to_thread(Vocabularies.load, models)
