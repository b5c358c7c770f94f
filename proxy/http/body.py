"""The request body, which is read once, parsed once, and replayed for every attempt."""

from __future__ import annotations

from ..asgi import Message, Receive
from ..errors import ClientGone, Refusal
from .json_document import Document, read
from .large_document import LARGE, read_large

__all__ = ["Body"]


class Body:
    """An ASGI `receive` callable that holds the whole request body and can be rewound.

    After the body it calls the server's own `receive`, so that a disconnect of the client is noticed. Later
    middlewares recognise it by its type and share the parsed document. `raw` is the body as bytes.
    """

    __slots__ = ("_document", "_receive", "_sent", "raw")

    def __init__(self, raw: bytes, receive: Receive) -> None:
        self.raw = raw
        self._receive = receive
        self._sent = False
        self._document: Document | None = None

    @classmethod
    async def of(cls, receive: Receive, limit: int) -> Body:
        """Read the whole body from `receive`. Returns `receive` itself if it is a Body already.

        Raises Refusal `body_too_large` if the body has more than `limit` bytes, and ClientGone if the client
        disconnects first.
        """
        if isinstance(receive, cls):
            return receive
        parts: list[bytes] = []
        raw, size, more = b"", 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            raw, more = bytes(message.get("body", b"")), message.get("more_body", False)
            size += len(raw)
            if size > limit:
                raise Refusal("body_too_large", close=True)
            parts += (raw,)
        return cls(raw if len(raw) == size else b"".join(parts), receive)

    @property
    def is_large(self) -> bool:
        """Whether `parse` should be called before `document`, so that others are served meanwhile."""
        return self._document is None and len(self.raw) >= LARGE

    async def parse(self) -> None:
        """Parse a large body in steps. Raises Refusal, as `document` does."""
        self._document = await read_large(self.raw)

    @property
    def document(self) -> Document:
        """The parsed body. Raises Refusal with the error code that fits if it is not a valid document."""
        if self._document is None:
            self._document = read(self.raw)
        return self._document

    def copy(self) -> Body:
        """Returns a rewound copy, for an attempt that runs in parallel. The parsed document is shared."""
        copy = Body(self.raw, self._receive)
        copy._document = self._document
        return copy

    def replaced(self) -> Body:
        """Returns a body whose bytes are those of the document as it is now, for readers of the bytes."""
        body = Body(self.document.bytes(), self._receive)
        body._document = self._document
        return body

    def rewind(self) -> Body:
        """Start again at the first message. Returns this body."""
        self._sent = False
        return self

    async def __call__(self) -> Message:
        if self._sent:
            return await self._receive()
        self._sent = True
        return {"type": "http.request", "body": self.raw, "more_body": False}

    async def disconnected(self) -> None:
        """Return when the client has disconnected.

        A server also reports a disconnect after a normal end of the response, so cancel this before.
        """
        while (await self._receive())["type"] != "http.disconnect":
            pass
