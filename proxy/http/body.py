"""The request body: read once, parsed once, served again to every attempt."""

from __future__ import annotations

from ..asgi import Message, Receive
from ..errors import ClientGone, Refusal
from .json_document import Document, read

__all__ = ["Body"]


class Body:
    """A `receive` that carries the whole request body and can be rewound.

    After the body it falls through to the server's own `receive`, so that a hang-up is heard. Later
    middlewares recognise it by its type, and the document is parsed once.
    """

    __slots__ = ("_document", "_receive", "_sent", "raw")

    def __init__(self, raw: bytes, receive: Receive) -> None:
        self.raw = raw
        self._receive = receive
        self._sent = False
        self._document: Document | None = None

    @classmethod
    async def of(cls, receive: Receive, limit: int) -> Body:
        """The body that `receive` carries, read to its end unless it was already.

        Raises Refusal `body_too_large` past `limit` bytes, and ClientGone.
        """
        if isinstance(receive, cls):
            return receive
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = bytes(message.get("body", b""))
            size += len(part)
            if size > limit:
                raise Refusal("body_too_large", close=True)
            parts.append(part)
            if not message.get("more_body", False):
                return cls(parts[0] if len(parts) == 1 else b"".join(parts), receive)

    @property
    def document(self) -> Document:
        """The body as a document. Raises Refusal, with the code of what is wrong with it."""
        if self._document is None:
            self._document = read(self.raw)
        return self._document

    def copy(self) -> Body:
        """The same body from its start, for an attempt beside another."""
        copy = Body(self.raw, self._receive)
        copy._document = self._document  # parsed once
        return copy

    def rewind(self) -> Body:
        """The same body, from its start."""
        self._sent = False
        return self

    async def __call__(self) -> Message:
        if self._sent:
            return await self._receive()
        self._sent = True
        return {"type": "http.request", "body": self.raw, "more_body": False}

    async def disconnected(self) -> None:
        """Return when the client has hung up. A server says so after a normal end too: cancel this before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
