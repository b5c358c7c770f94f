"""A delayed close for clients that are still sending, so that they can read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import override

__all__ = ["LingeringClose"]


class LingeringClose(asyncio.Transport):
    """A wrapper of the client's transport for uvicorn's protocols.

    `close` calls `closing` instead of closing.

    Closing a socket while bytes are still arriving resets the connection, and a reset may discard the answer
    that the client has not read yet. That would happen to requests that are refused early.
    """

    def __init__(self, transport: asyncio.Transport, closing: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._closing = closing
        self._closed = False

    def detach(self) -> None:
        """Forget `closing`, since the connection is lost."""
        self._closed = True
        self._closing = _nothing

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closed:
            self._transport.write(data)

    @override
    def close(self) -> None:
        self._closed = True
        self._closing()

    @override
    def is_closing(self) -> bool:
        return self._closed or self._transport.is_closing()

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    @override
    def pause_reading(self) -> None:
        self._transport.pause_reading()

    @override
    def resume_reading(self) -> None:
        self._transport.resume_reading()


def _nothing() -> None:
    """What a close means on a connection that is lost."""
