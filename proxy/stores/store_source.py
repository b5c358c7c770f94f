"""Where a middleware finds its store, opened and closed in one way whoever hosts it."""

from __future__ import annotations

from .address import open_store
from .store import Store

__all__ = ["StoreSource"]


class StoreSource:
    """The store of one middleware: the one that it was given, the one at a URL, or that of the gateway.

    A store that was opened here, from a URL, is closed here, when the app that hosts the middleware ends.
    Every other one belongs to whoever made it.
    """

    __slots__ = ("_given", "_opened")

    def __init__(self, given: Store | str | None) -> None:
        self._given = given
        self._opened: Store | None = None

    def store(self, gateways: Store | None) -> Store | None:
        """Returns the store, opened if it has to be; `gateways` if none was given."""
        given = self._given
        if given is None:
            return gateways
        if not isinstance(given, str):
            return given
        if self._opened is None:
            self._opened = open_store(given)
        return self._opened

    async def aclose(self) -> None:
        """Close the store if it was opened here. A later use opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()
