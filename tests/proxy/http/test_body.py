"""The request body: it is read once, replayed for each attempt, and then passes the server's messages on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.asgi import Message
from standby.proxy.errors import ClientGone, Refusal
from standby.proxy.http.body import Body

from tests.proxy.harness import Caller

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Wire:
    """A `receive` that returns these messages in order, and fails if called more often."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    async def __call__(self) -> Message:
        """The next message."""
        return self.messages.pop(0)


def request(*parts: object) -> Iterable[Message]:
    """Returns the messages of a request body in these parts."""
    last = len(parts) - 1
    return [{"type": "http.request", "body": part, "more_body": at < last} for at, part in enumerate(parts)]


GONE: Message = {"type": "http.disconnect"}


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5))
async def test_parts_are_joined(parts: list[bytes]) -> None:
    """A body in several messages is joined."""
    wire = Wire(*request(*parts))
    assert (await Body.of(wire, 1000)).raw == b"".join(parts)
    assert wire.messages == []


async def test_a_body_may_be_missing() -> None:
    """A message without `body` and `more_body` is a complete empty body."""
    assert (await Body.of(Wire({"type": "http.request"}), 10)).raw == b""


async def test_views_are_copied() -> None:
    """A server may overwrite its read buffer, so the body is a copy."""
    buffer = bytearray(b"abc")
    body = await Body.of(Wire(*request(memoryview(buffer))), 10)
    buffer[:] = b"xyz"
    assert body.raw == b"abc"


async def test_a_body_is_read_once() -> None:
    """A later middleware recognises the body and reads nothing."""
    body = await Body.of(Wire(*request(b"{}")), 10)
    assert await Body.of(body, 10) is body
    assert await Body.of(body, 0) is body


async def test_the_document_is_parsed_once() -> None:
    """Every access returns the same document."""
    body = await Body.of(Wire(*request(b'{"model": ', b'"m"}')), 100)
    assert body.document is body.document
    assert body.document.value == {"model": "m"}


async def test_a_body_that_is_no_document() -> None:
    """An invalid document raises the same Refusal at each access."""
    body = await Body.of(Wire(*request(b"{")), 100)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            _ = body.document
        assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("parts", [(b"x" * 11,), (b"x" * 10, b"x"), (b"x", b"x" * 10, b"x" * 1000)])
async def test_too_large(parts: tuple[bytes, ...]) -> None:
    """A body is refused at the first byte past the limit, and no more of it is read."""
    wire = Wire(*request(*parts))
    with pytest.raises(Refusal) as caught:
        await Body.of(wire, 10)
    assert (caught.value.code, caught.value.status, caught.value.close) == ("body_too_large", 413, True)
    assert len(wire.messages) == max(0, len(parts) - 2)


async def test_just_large_enough() -> None:
    """A body of exactly the limit is accepted."""
    assert len((await Body.of(Wire(*request(b"x" * 4, b"x" * 6)), 10)).raw) == 10


@pytest.mark.parametrize("parts", [(), (b"half",)])
async def test_a_client_that_leaves_before_its_body_is_complete(parts: tuple[bytes, ...]) -> None:
    """A disconnect before the end of the body raises ClientGone."""
    unfinished: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    with pytest.raises(ClientGone):
        await Body.of(Wire(*unfinished, GONE), 10)


async def test_the_body_is_served_and_then_the_client() -> None:
    """As a `receive` it returns the whole body in one message, and then the server's messages."""
    body = await Body.of(Wire(*request(b"ab", b"c"), GONE), 10)
    assert await body() == {"type": "http.request", "body": b"abc", "more_body": False}
    assert await body() == GONE


async def test_rewinding_serves_it_again() -> None:
    """After `rewind` the body is returned from its start."""
    body = await Body.of(Wire(*request(b"abc"), GONE), 10)
    for _ in range(3):
        assert body.rewind() is body
        assert (await body())["body"] == b"abc"
    assert await body() == GONE


async def test_disconnected_waits_for_the_hang_up() -> None:
    """`disconnected` ignores every message except a disconnect."""
    caller = Caller(b"abc", b"")
    body = await Body.of(caller.receive, 10)
    waiting = asyncio.create_task(body.disconnected())
    await asyncio.sleep(0)
    assert not waiting.done()
    caller.leave()
    await waiting
    chatty = Body(b"", Wire({"type": "http.request"}, {"type": "something.new"}, GONE))
    await chatty.disconnected()


async def test_a_copy_is_served_beside_it() -> None:
    """A copy returns the same body and document independently, and both receive the disconnect."""
    caller = Caller(b'{"model": "m"}')
    body = await Body.of(caller.receive, 100)
    document = body.document
    copy = body.copy()
    first, second = await body(), await copy()
    assert first == second == {"type": "http.request", "body": b'{"model": "m"}', "more_body": False}
    assert copy.document is document
    caller.leave()
    assert (await body())["type"] == (await copy())["type"] == "http.disconnect"
