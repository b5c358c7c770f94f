"""The inbound protocol without a socket, on a loop with virtual time. The test controls packets and time."""

from __future__ import annotations

import asyncio
from typing import Any

from standby.proxy.http.hygiene import Hygiene
from standby.proxy.server import Parser, ServerLimits, configuration
from standby.proxy.server.inbound_protocol import InboundProtocol
from typing_extensions import override
from uvicorn.server import ServerState

from tests.proxy.server.wire import Recorder

__all__ = ["Line", "Wire"]


class Wire(asyncio.Transport):
    """The server's side of a connection: the bytes written to it, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.closed_at: float | None = None
        self.paused = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        self.ended = True

    @override
    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    @override
    def abort(self) -> None:
        self.close()

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def is_closing(self) -> bool:
        return self.closed_at is not None

    @override
    def pause_reading(self) -> None:
        self.paused = True

    @override
    def resume_reading(self) -> None:
        self.paused = False


class Line:
    """One client connected to a recorder behind hygiene, under one parser."""

    def __init__(
        self, parser: Parser, limits: ServerLimits | None = None, recorder: Recorder | None = None
    ) -> None:
        self.recorder = recorder or Recorder()
        self.wire = Wire()
        self.state = ServerState()
        config = configuration(Hygiene(self.recorder), parser=parser, limits=limits, log_config=None)
        config.load()
        kind: Any = config.http_protocol_class
        self.entrance: InboundProtocol = kind(config=config, server_state=self.state, app_state={})
        self.entrance.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        """Deliver `data` from the client."""
        self.entrance.data_received(data)

    async def settle(self) -> None:
        """Run the app as far as it gets without more input and without time passing."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def hang_up(self) -> None:
        """The connection is lost, and the app has been notified."""
        self.wire.close()
        self.entrance.connection_lost(None)
        await asyncio.gather(*self.state.tasks)
