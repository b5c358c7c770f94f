"""Who speaks to the gateway: the official SDKs over a transport that keeps every byte, and raw HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import anthropic
import httpx2
import openai
from typing_extensions import override

__all__ = ["APIS", "CHAT", "MESSAGES", "RESPONSES", "Api", "Raw", "Recorded", "Sdks", "raw_client"]


class Api(NamedTuple):
    """One way to ask for an answer that can be streamed. `end` is what only a complete stream holds."""

    name: str
    path: str
    model: str
    end: bytes
    document: Mapping[str, Any]

    def asking(self, *, stream: bool, **fields: Any) -> dict[str, Any]:
        """The document of a request."""
        asked = {"model": self.model, **self.document, **fields}
        return {**asked, "stream": True} if stream else asked

    def __str__(self) -> str:
        return self.name


_ASKS: Final = MappingProxyType({"messages": ({"role": "user", "content": "Say something."},)})

CHAT: Final = Api("chat", "/v1/chat/completions", "gpt", b"[DONE]", _ASKS)
RESPONSES: Final = Api(
    "responses", "/v1/responses", "gpt", b"response.completed", MappingProxyType({"input": "Say something."})
)
MESSAGES: Final = Api(
    "messages", "/v1/messages", "claude", b"message_stop", MappingProxyType({**_ASKS, "max_tokens": 64})
)
APIS: Final = (CHAT, RESPONSES, MESSAGES)


@dataclass
class Recorded:
    """One answer as it came over the wire: status, headers, and what has been read of the body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytearray = field(default_factory=bytearray)

    @property
    def whole(self) -> bytes:
        """Headers and body, to look for what must not be there."""
        return b"\n".join(b": ".join(pair) for pair in self.headers) + b"\n\n" + self.body

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        wanted = name.encode()
        return next((value.decode() for key, value in self.headers if key.lower() == wanted), None)


class _Kept(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, recorded: Recorded) -> None:
        self._stream = stream
        self._recorded = recorded

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._recorded.body += chunk
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


class _Recorder(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=False, trust_env=False)
        self.answers: list[Recorded] = []

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        recorded = Recorded(response.status_code, tuple(response.headers.raw))
        self.answers.append(recorded)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Kept(response.stream, recorded)
        return response

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class Sdks:
    """The official SDKs, pointed at one gateway. `answers` are all they were sent, byte for byte."""

    def __init__(self, origin: str, *, key: str = "key-of-the-caller", retries: int = 0) -> None:
        self._transport = _Recorder()
        self.openai = openai.AsyncOpenAI(
            base_url=f"{origin}/v1",
            api_key=key,
            max_retries=retries,
            timeout=20.0,
            http_client=httpx2.AsyncClient(transport=self._transport),
        )
        self.anthropic = anthropic.AsyncAnthropic(
            base_url=origin,
            api_key=key,
            max_retries=retries,
            timeout=20.0,
            http_client=httpx2.AsyncClient(transport=self._transport),
        )

    @property
    def answers(self) -> list[Recorded]:
        """Every answer so far, in the order in which they began."""
        return self._transport.answers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.openai.close()
        await self.anthropic.close()

    async def say(
        self, api: Api, *, stream: bool, prompt: str = "Say something.", model: str | None = None
    ) -> str:
        """The text of the answer, once it is complete. Raises what the SDK raises."""
        return "".join([word async for word in self.words(api, stream=stream, prompt=prompt, model=model)])

    async def words(
        self, api: Api, *, stream: bool, prompt: str = "Say something.", model: str | None = None
    ) -> AsyncIterator[str]:
        """The text of the answer as it comes."""
        model = model or api.model
        speak = {"chat": self._chat, "responses": self._responses, "messages": self._messages}[api.name]
        async for word in speak(model, prompt, stream=stream):
            yield word

    async def _chat(self, model: str, prompt: str, *, stream: bool) -> AsyncIterator[str]:
        create = self.openai.chat.completions.create
        if not stream:
            answer = await create(model=model, messages=[{"role": "user", "content": prompt}])
            yield answer.choices[0].message.content or ""
            return
        async with await create(
            model=model, messages=[{"role": "user", "content": prompt}], stream=True
        ) as chunks:
            async for chunk in chunks:
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""

    async def _responses(self, model: str, prompt: str, *, stream: bool) -> AsyncIterator[str]:
        if not stream:
            yield (await self.openai.responses.create(model=model, input=prompt)).output_text
            return
        async with await self.openai.responses.create(model=model, input=prompt, stream=True) as events:
            async for event in events:
                if event.type == "response.output_text.delta":
                    yield event.delta

    async def _messages(self, model: str, prompt: str, *, stream: bool) -> AsyncIterator[str]:
        create = self.anthropic.messages.create
        if not stream:
            answer = await create(model=model, max_tokens=64, messages=[{"role": "user", "content": prompt}])
            yield "".join(block.text for block in answer.content if block.type == "text")
            return
        async with self.anthropic.messages.stream(
            model=model, max_tokens=64, messages=[{"role": "user", "content": prompt}]
        ) as events:
            async for text in events.text_stream:
                yield text


class Raw:
    """Plain HTTP: what a client without an SDK sees, never decoded."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def ask(
        self,
        api: Api,
        *,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Recorded:
        """One answer, read to its end. Raises httpx2.RemoteProtocolError where that does not come."""
        return await self.post(api, api.asking(stream=stream, **fields), headers)

    async def post(
        self, api: Api, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Recorded:
        """The answer to any document."""
        async with self.client.stream("POST", api.path, json=document, headers=headers) as response:
            recorded = Recorded(response.status_code, tuple(response.headers.raw))
            async for chunk in response.aiter_raw():
                recorded.body += chunk
        names = [name.lower() for name, _ in recorded.headers]
        assert not {b"content-length", b"transfer-encoding"} <= set(names), "two lengths"
        return recorded


@asynccontextmanager
async def raw_client(origin: str) -> AsyncGenerator[Raw]:
    """Plain HTTP to one server, over connections that are kept."""
    async with httpx2.AsyncClient(base_url=origin, verify=False, trust_env=False, timeout=30.0) as client:
        yield Raw(client)
