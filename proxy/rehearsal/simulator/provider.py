"""The simulated provider: its listener, its answers and the faults to come."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias, cast

import orjson

from .answer import Answer, Api, Content, Document, Move, encode
from .answer_format import Reports
from .anthropic_format import AnthropicFormat
from .bill import Billed, GeneratedText, prompt_tokens
from .connection import Connection, Received
from .faults import ErrorEvent, Fault, Html, Just, Status
from .json_mode import json_words
from .openai_format import OpenAIFormat
from .refusal import Refusal, is_for_anthropic
from .socket_faults import Cut, Drip, Slow, Stall

__all__ = ["APIS", "CUES", "Cue", "Simulator", "Words"]


APIS: Final[Mapping[str, Api]] = MappingProxyType(
    {
        "/v1/chat/completions": "chat",
        "/v1/responses": "responses",
        "/v1/embeddings": "embeddings",
        "/v1/messages": "messages",
        "/v1/messages/count_tokens": "count_tokens",
    }
)

Words: TypeAlias = Sequence[str] | Callable[[Received], Sequence[str]]
Cue: TypeAlias = Fault | Callable[[Received], Fault | None] | None

# The faults of `POST /_simulator/fault {"fault": name, ...}`. The other keys are the fault's fields.
CUES: Final[Mapping[str, Callable[..., Fault | None]]] = MappingProxyType(
    {
        "ok": lambda: None,
        "outage": partial(Status, code=503),
        "rate_limited": partial(Status, code=429, retry_after=10),
        "error": partial(Status, code=500),
        "slow": partial(Slow, seconds=5.0),
        "stall": partial(Stall, after=0),
        "cut": partial(Cut, after=Content(2)),
        "empty": Just,
        "error_event": ErrorEvent,
        "drip": partial(Drip, seconds=1.0),
        "html": Html,
    }
)


@dataclass(eq=False)
class Simulator:
    """One provider on a loopback port, inside `async with`.

    Its words and faults may be changed at any time. A request uses those in force when it arrived. `faults`
    are used first, one per request (None: a good answer). When they are used up, `fault` applies. Words and
    faults may be functions of the request.
    """

    name: str = "alpha"
    seed: int = 0
    port: int = 0  # 0: any free one
    words: Words = ()  # the text of an answer, one delta each
    arguments: Sequence[str] = ('{"ci', 'ty": ', '"Paris"}')  # of a tool call, one fragment each
    calls_tools: bool = False  # call the first tool offered instead of answering with words
    keeps_formats: bool = True  # put the words in JSON if the request demands it; False: ignore the demand
    pace: float = 0.0  # seconds between the events of a stream
    reports: Reports = "asked"
    answers_as: str | None = None  # the model name in answers, if not the requested one
    keys: Collection[str] | None = None  # the API keys accepted; None: any, or none at all
    fault: Cue = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    faults: deque[Cue] = field(default_factory=deque["Cue"])
    requests: list[Received] = field(default_factory=list["Received"])
    connections: set[Connection] = field(default_factory=set["Connection"], repr=False)

    def __post_init__(self) -> None:
        self.canary = (
            f"canary-{self.name}-{hashlib.sha256(f'{self.name} {self.seed}'.encode()).hexdigest()[:12]}"
        )
        self.words = self.words or (f"{self.name} ", "says: ", "all ", "is ", "well.")
        self.accepted = 0
        self.count = 0
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None  # holds the port while there is no listener
        self._filler: socket.socket | None = None  # fills the queue of a silent listener
        self._changed = asyncio.Event()

    @property
    def origin(self) -> str:
        """The base URL for the anthropic SDK."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL for the openai SDK."""
        return f"{self.origin}/v1"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self.connections)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.down()
        finally:
            self._release()

    async def up(self) -> None:
        """Start listening, on the same port as before if it was down."""
        if self._server is None:
            self._release()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self), sock=self._hold(), backlog=1024)

    async def down(self, *, silent: bool = False) -> None:
        """Drop all connections and refuse new ones. If `silent`, new ones get no answer at all (Linux only).

        The port stays bound, so that no other process can answer there meanwhile.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        self._release()
        self._held = self._hold()
        if silent:  # a queue of one, and that one in it: the kernel drops further attempts
            self._held.listen(0)
            self._filler = socket.create_connection(("127.0.0.1", self.port))
        tasks = [connection.task for connection in self.connections]
        for connection in tuple(self.connections):
            connection.drop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.wait_for(lambda: not self.connections)

    @property
    def bill(self) -> list[Billed]:
        """One line per request for which tokens were generated, even if the caller hung up."""
        return [line for received in self.requests if (line := received.billed) is not None]

    def next(self, fault: Cue, times: int = 1) -> None:
        """Queue `fault` for the next `times` requests."""
        self.faults.extend([fault] * times)

    async def wait_for(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until `condition` is true. It is checked on every change of the simulator.

        Raises TimeoutError after `within` seconds.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            state = f"{self.open} connections open, last requests {self.requests[-3:]}"
            raise TimeoutError(f"{self.name}: not so within {within:g} s; {state}") from None

    def notice(self) -> None:
        """Wake up `wait_for`, since the state has changed."""
        self._changed.set()

    def _hold(self) -> socket.socket:
        # IPPROTO_TCP is explicit, since asyncio disables Nagle's algorithm only for sockets that state it.
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", self.port))
        self.port = held.getsockname()[1]
        return held

    def _release(self) -> None:
        for held in (self._filler, self._held):
            if held is not None:
                held.close()
        self._filler = self._held = None

    def respond(
        self, connection: Connection, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Iterator[Move], Received | None]:
        """Returns the moves that answer one request, and its record, None for the control pages."""
        try:
            document: Any = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            document = None
        path = path.partition("?")[0]
        if path.startswith("/_simulator"):
            return Fault().play(self._control(method, path, document)), None
        self.count += 1
        received = Received(
            number=self.count,
            connection=connection.number,
            reused=connection.served > 0,
            method=method,
            path=path,
            headers=headers,
            body=body,
            json=document,
            at=self.clock(),
        )
        self.requests.append(received)
        self.notice()
        cue = self.faults.popleft() if self.faults else self.fault
        fault = cue(received) if callable(cue) else cue
        received.fault = fault
        player = fault or Fault()
        answer = player.change(self._good(received))
        if any(isinstance(piece, GeneratedText) for piece in answer.events):
            received.generates = True
            received.input = prompt_tokens(document)
        return player.play(answer), received

    def _good(self, received: Received) -> Answer:
        """Returns the answer without a fault."""
        known = APIS.get(received.path)
        api = known or ("messages" if is_for_anthropic(received) else "chat")
        request: Document = received.json if received.is_object else {}
        tools = bool(self.calls_tools and request.get("tools"))
        words = tuple(self.words(received) if callable(self.words) else self.words)
        format_class = AnthropicFormat if api in ("messages", "count_tokens") else OpenAIFormat
        answer_format = format_class(
            api=api,
            canary=self.canary,
            number=received.number,
            request=request,
            words=json_words(api, request, words) if self.keeps_formats else words,
            arguments=tuple(self.arguments) if tools else None,
            pace=self.pace,
            seed=self.seed,
            reports=self.reports,
            answers_as=self.answers_as,
        )
        answer = answer_format.answer()
        refusal = Refusal.of(received, known=known is not None, keys=self.keys)
        return answer if refusal is None else refusal.change(answer)

    def _control(self, method: str, path: str, document: object) -> Answer:
        """Returns the answer of a control page."""
        answer = Answer("chat", self.canary, ())
        if path == "/_simulator/bill":
            return answer.whole(encode({"name": self.name, "lines": [line._asdict() for line in self.bill]}))
        if method == "POST" and path == "/_simulator/fault":
            fields = dict(cast("Document", document)) if isinstance(document, dict) else {}
            try:
                self.fault = CUES[fields.pop("fault")](**fields)
            except (KeyError, TypeError):
                error = {"error": "There is no such cue, or it takes no such field.", "cues": sorted(CUES)}
                return replace(answer.whole(encode(error) + b"\n"), status=400)
        fault = None if self.fault is None else repr(self.fault)
        state: Document = {"name": self.name, "fault": fault, "requests": self.count, "open": self.open}
        return answer.whole(encode(state) + b"\n")
