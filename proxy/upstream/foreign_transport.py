"""Requests over a transport of somebody else's: any `httpx2.AsyncBaseTransport` that a provider names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Self, cast

import httpx2
from typing_extensions import override

from ..asgi import Headers
from ..http.headers import is_framed

__all__ = ["ForeignStream", "post"]


async def post(
    transport: httpx2.AsyncBaseTransport,
    url: httpx2.URL,
    headers: list[tuple[bytes, bytes]],
    content: bytes,
    pool: float,
    connect: float,
    connected: Callable[[], None],
) -> ForeignStream:
    """POST `content` and return the response once its head has arrived, as the gateway's own transport does.

    `pool` and `connect` are the limits of httpx2 in seconds. Raises what the transport raises.
    """
    limits = {"connect": connect, "read": None, "write": None, "pool": pool}
    body = _Content(content, connected)
    request = httpx2.Request("POST", url, headers=headers, stream=body, extensions={"timeout": limits})
    return ForeignStream(await transport.handle_async_request(request))


class ForeignStream:
    """A response of httpx2, with the members of the own transport's `Stream`."""

    __slots__ = ("_stream", "framed", "headers", "status")

    def __init__(self, response: httpx2.Response) -> None:
        self._stream = cast("httpx2.AsyncByteStream", response.stream)
        self.status = response.status_code
        self.headers: Headers = tuple([(name.lower(), value) for name, value in response.headers.raw])
        self.framed = is_framed(self.headers)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def release(self) -> None:
        """End the response, whose connection the transport may keep."""
        await self._stream.aclose()


class _Content(httpx2.AsyncByteStream):
    """The body of one request, in one piece. Once it is iterated, the connection is established."""

    __slots__ = ("_connected", "_content", "_left")

    def __init__(self, content: bytes, connected: Callable[[], None]) -> None:
        self._content = content
        self._connected = connected
        self._left = False

    @override
    def __aiter__(self) -> Self:
        self._connected()
        self._left = True
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        self._left = False
        return self._content
