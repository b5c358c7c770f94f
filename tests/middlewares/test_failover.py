"""Failover alone, around an app that does not know the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from standby.middlewares.failover import Failover
from standby.proxy.asgi import Message, Receive, Scope, Send
from standby.proxy.errors import Superseded
from standby.proxy.exchange import Attempt, Exchange

from tests.proxy.harness import CHAT, SSE, Caller, ask, chunk, scope_of, virtual_time
from tests.proxy.streams import SPOKEN

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

Play = Callable[[Scope, Receive, Send], Awaitable[None]]
DONE: Final = b"data: [DONE]\n\n"
GOOD: Final = chunk("Hi") + DONE


def says(status: int, *parts: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Play:
    """Returns an app that responds like this."""

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return play


def streams(*parts: bytes) -> Play:
    """Returns an app that streams these events."""
    return says(200, *parts, headers=SSE)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that returns without a response."""


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that never responds."""
    await asyncio.Event().wait()


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that raises an exception."""
    raise ZeroDivisionError("of a dependency")


async def raises_group(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that raises an exception group."""
    raise ExceptionGroup("tasks", [ZeroDivisionError(), OSError()])


async def starts_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that raises after the start of its response, before any content."""
    await send({"type": "http.response.start", "status": 200, "headers": list(SSE)})
    raise ZeroDivisionError


async def swallows(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that ignores Superseded and continues to send."""
    messages: tuple[Message, ...] = (
        {"type": "http.response.start", "status": 500, "headers": []},
        {"type": "http.response.body", "body": b"no", "more_body": False},
        {"type": "http.response.body", "body": b"still here", "more_body": False},
    )
    for message in messages:
        with suppress(OSError):
            await send(message)


class App:
    """A foreign app with a behaviour for each target. It records every call."""

    def __init__(self, **plays: Play) -> None:
        self.plays = plays
        self.calls: list[str] = []
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        attempt = Attempt.of(scope)
        assert attempt is not None
        self.calls.append(attempt.candidate.name)
        self.scopes.append(scope)
        self.bodies.append((await receive())["body"])
        await self.plays[attempt.candidate.name](scope, receive, send)


def failover(app: App, **fields: Any) -> Failover:
    """Returns Failover over all targets of the app."""
    return Failover(app, targets=tuple(app.plays), **fields)


FAULTS: Final[dict[str, Play]] = {
    "500": says(500, b"trace of a dependency"),
    "502": says(502),
    "503": says(503, b"busy"),
    "504": says(504),
    "529": says(529),
    "429": says(429, headers=((b"retry-after", b"7"),)),
    "401": says(401, b"bad key sk-123"),
    "404": says(404, b"<html>"),
    "307": says(307, headers=((b"location", b"http://elsewhere"),)),
    "an error before content": streams(SPOKEN["chat"].refused),
    "an error after a preamble": streams(*SPOKEN["chat"].preamble, SPOKEN["chat"].refused),
    "an empty stream": streams(),
    "only an end": streams(DONE),
    "only comments": streams(b": one\n\n", b": two\n\n"),
    "a page": says(200, b"<html>", headers=((b"content-type", b"text/html"),)),
    "an error document": says(
        200, b'{"error": {"type": "server_error"}}', headers=((b"content-type", b"application/json"),)
    ),
    "silence": silent,
    "an exception": raises,
    "a group of exceptions": raises_group,
    "an exception after the head": starts_and_raises,
    "a hang": hangs,
    "an app that does not listen": swallows,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_the_next_target_answers(fault: Play) -> None:
    """However the first attempt fails, the client gets only the second one's answer."""
    app = App(a=fault, b=streams(GOOD))
    caller = await ask(failover(app, first_token=5.0))
    assert app.calls == ["a", "b"]
    assert (caller.status, caller.body, caller.complete) == (200, GOOD, True)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_nobody_answers(fault: Play) -> None:
    """If all attempts fail, the client gets one error with the targets and without their texts."""
    app = App(a=fault, b=fault)
    caller = await ask(failover(app, first_token=5.0))
    assert app.calls == ["a", "b"]
    assert 400 <= caller.status < 600
    assert caller.status != 401
    assert caller.headers[b"x-should-retry"] == b"false"
    assert [attempt["target"] for attempt in caller.json["error"]["attempts"]] == ["a", "b"]
    for word in (b"dependency", b"sk-123", b"busy", b"elsewhere", b"html", b"ZeroDivision"):
        assert word not in caller.body


@pytest.mark.parametrize(("faults", "status"), [((hangs, hangs), 504), ((FAULTS["429"], FAULTS["429"]), 429)])
async def test_the_status_tells_why(faults: tuple[Play, ...], status: int) -> None:
    """Attempts with the same fault determine the status."""
    assert (await ask(failover(App(a=faults[0], b=faults[1]), first_token=5.0))).status == status


async def test_the_wait_that_was_asked_for() -> None:
    """Retry-After is the minimum of those of the targets."""
    later = says(429, headers=((b"retry-after", b"30"),))
    caller = await ask(failover(App(a=later, b=FAULTS["429"])))
    assert caller.headers[b"retry-after"] == b"7"


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_attempts_are_limited(limit: int) -> None:
    """At most `max_attempts` targets are tried."""
    app = App(a=raises, b=raises, c=raises, d=streams(GOOD))
    await ask(failover(app, max_attempts=limit))
    assert app.calls == list("abc")[:limit]


async def test_a_callers_refusal_is_not_taken_elsewhere() -> None:
    """A fault that no other target can fix is returned to the caller after one attempt."""
    body = b'{"error": {"type": "invalid_request_error"}}'
    app = App(a=says(400, body), b=streams(GOOD))
    caller = await ask(failover(app))
    assert (app.calls, caller.status, caller.body) == (["a"], 400, body)


async def test_a_callers_refusal_is_the_best_there_may_be() -> None:
    """If no other attempt succeeds, the caller gets the refusal meant for it, not a summary."""
    refusal = says(400, b'{"error": {"code": "unsupported_value",', b'"message": "first"}}')
    app = App(a=raises, b=refusal, c=raises)
    caller = await ask(failover(app))
    assert app.calls == ["a", "b", "c"]
    assert (caller.status, caller.json["error"]["message"], caller.complete) == (400, "first", True)


async def test_after_the_commit_nobody_else_is_asked() -> None:
    """An exception after the first content is raised again, and no other target is tried."""

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(SSE)})
        await send({"type": "http.response.body", "body": chunk("one"), "more_body": True})
        raise ZeroDivisionError

    app, caller = App(a=breaks, b=streams(GOOD)), Caller(b"{}")
    with pytest.raises(ZeroDivisionError):
        await failover(app)(scope_of(), caller.receive, caller.send)
    assert (app.calls, caller.body, caller.complete) == (["a"], chunk("one"), False)


async def test_the_first_limit_is_lifted_by_the_commit() -> None:
    """After the commit there is no timeout."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(SSE)})
        await asyncio.sleep(4)
        await send({"type": "http.response.body", "body": chunk("one"), "more_body": True})
        await asyncio.sleep(1000)
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    caller = await ask(failover(App(a=slow, b=raises), first_token=5.0, deadline=10.0))
    assert caller.body == chunk("one") + DONE


async def test_the_deadline_is_for_all_attempts() -> None:
    """The deadline limits all attempts together and has its own error code."""
    app = App(a=hangs, b=hangs, c=hangs)
    began = asyncio.get_running_loop().time()
    caller = await ask(failover(app, first_token=4.0, deadline=6.0))
    assert asyncio.get_running_loop().time() - began == pytest.approx(6.0)
    assert app.calls == ["a", "b"]
    assert (caller.status, caller.json["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize(("limit", "seconds"), [(2.0, 2.0), (1000.0, 6.0), (None, 6.0)])
async def test_a_caller_may_lower_the_deadline(limit: float | None, seconds: float) -> None:
    """The caller's time limit can lower the deadline, but not raise it."""
    scope = scope_of()
    Exchange.of(scope).time_limit = limit
    began = asyncio.get_running_loop().time()
    await ask(failover(App(a=hangs), deadline=6.0), None, scope)
    assert asyncio.get_running_loop().time() - began == pytest.approx(seconds)


@pytest.mark.parametrize("answers", [False, True])
async def test_an_app_that_cannot_be_stopped(answers: bool) -> None:
    """An app that suppresses its cancellation has timed out unless it responds."""

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if answers:
                await streams(GOOD)(scope, receive, send)

    app, scope = App(a=deaf, b=streams(chunk("from b") + DONE)), scope_of()
    caller = await ask(failover(app, first_token=5.0), None, scope)
    assert caller.status == 200
    if answers:
        assert caller.body in {GOOD, chunk("from b") + DONE}
    else:
        fault = Exchange.of(scope).attempts[0].fault
        assert fault is not None
        assert fault.kind == "timeout_first_byte"


async def test_a_cancelled_request_is_cancelled() -> None:
    """If the server cancels a request, no other target is tried."""
    app, caller = App(a=hangs, b=streams(GOOD)), Caller(b"{}")
    task = asyncio.create_task(failover(app)(scope_of(), caller.receive, caller.send))
    await asyncio.sleep(1)
    assert app.calls == ["a"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (app.calls, caller.messages) == (["a"], [])


async def test_every_attempt_has_a_scope_of_its_own() -> None:
    """Changes of an attempt to its scope or headers do not affect the next one or the host."""

    async def spoils(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = "/elsewhere"
        scope["headers"].append((b"x-spoilt", b"1"))
        scope["added"] = True
        raise ZeroDivisionError

    app, scope = App(a=spoils, b=streams(GOOD)), scope_of()
    headers = list(scope["headers"])
    await ask(failover(app), None, scope)
    second = app.scopes[1]
    assert (second["path"], second["headers"], "added" in second) == (CHAT, headers, False)
    assert (scope["path"], scope["headers"], "standby.attempt" in scope) == (CHAT, headers, False)
    assert [Attempt.of(each).number for each in app.scopes] == [1, 2]  # type: ignore[union-attr]
    assert Exchange.of(app.scopes[0]) is Exchange.of(second) is Exchange.of(scope)


async def test_every_attempt_reads_the_whole_body() -> None:
    """The body is read from the client once, and replayed for each attempt."""
    app, caller = App(a=raises, b=raises, c=streams(GOOD)), Caller(b'{"model"', b': "m"}')
    await failover(app)(scope_of(), caller.receive, caller.send)
    assert app.bodies == [b'{"model": "m"}'] * 3
    assert caller.received == 2


async def test_after_the_body_the_client_is_heard() -> None:
    """An app that waits for a disconnect receives it, in every attempt."""
    messages: list[Message] = []

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())

    caller = Caller(b"{}")
    caller.leave()
    await failover(App(a=listens, b=listens))(scope_of(), caller.receive, caller.send)
    assert messages == [{"type": "http.disconnect"}] * 2


async def test_a_client_that_leaves_before_its_body_is_complete() -> None:
    """After a disconnect before the end of the body there is no attempt and no response."""
    app, caller = App(a=streams(GOOD)), Caller(b"{", b"}")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{", "more_body": True} if caller.received == 0 else gone

    gone: Message = {"type": "http.disconnect"}

    async def counted() -> Message:
        message = await receive()
        caller.received += 1
        return message

    scope = scope_of()
    await failover(app)(scope, counted, caller.send)
    assert (app.calls, caller.messages, Exchange.of(scope).client_gone) == ([], [], True)


async def test_too_large_a_body() -> None:
    """A body that is too large is refused before the first attempt."""
    app, caller = App(a=streams(GOOD)), Caller(*[b"x" * 2**20] * 33)
    await failover(app)(scope_of(), caller.receive, caller.send)
    assert (app.calls, caller.status) == ([], 413)


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "something.new"])
async def test_what_is_no_request_passes(kind: str) -> None:
    """Other scopes are passed to the app unchanged, with the server's own callables."""
    seen: list[Any] = []

    async def app(*channels: Any) -> None:
        seen.extend(channels)

    scope, caller = {"type": kind}, Caller()
    receive, send = caller.receive, caller.send
    await Failover(app, targets=("a",))(scope, receive, send)
    assert seen[0] is scope
    assert scope == {"type": kind}
    assert seen[1:] == [receive, send]


async def test_a_host_app_for_everything_else() -> None:
    """Around a whole host app every path and method works, judged by status."""
    app = App(a=says(200, b"page", headers=((b"content-type", b"text/html"),)), b=raises)
    for scope in (scope_of("/", method="GET"), scope_of("/form"), scope_of("/v1/files")):
        caller = Caller()
        await failover(app)(scope, caller.receive, caller.send)
        assert (caller.status, caller.body) == (200, b"page")
    assert app.calls == ["a"] * 3


async def test_the_signal_is_an_oserror() -> None:
    """Superseded is an OSError as after a disconnect, so that the app cleans up."""
    cleaned: list[type[BaseException]] = []

    async def tidy(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await says(500, b"no")(scope, receive, send)
        except OSError as error:
            cleaned.append(type(error))
            raise

    await ask(failover(App(a=tidy, b=streams(GOOD))))
    assert cleaned == [Superseded]


def test_its_defaults() -> None:
    """The defaults are three attempts and five minutes."""
    default = Failover(silent)
    assert (default.max_attempts, default.deadline, default.first_token, default.targets) == (
        3,
        300.0,
        None,
        (),
    )
    assert default != Failover(silent)
    assert hash(default)
