"""Leaving a client that is still talking, so that it can read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import override

__all__ = ["LingeringClose"]


class LingeringClose(asyncio.Transport):
    """The client's transport as uvicorn's protocols see it: whoever owns the connection may put off its end.

    A socket that is closed while bytes are still coming in resets the connection, and a reset may cost the
    client the answer that it has not read yet. A request that is refused early is just such a case.
    """

    def __init__(self, transport: asyncio.Transport, closing: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._closing = closing
        self._closed = False

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
