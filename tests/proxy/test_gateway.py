"""The gateway as an app: how it is folded, mounted, opened and closed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
from standby.proxy.asgi import Message
from standby.proxy.errors import ConfigError
from standby.proxy.gateway import Gateway
from standby.proxy.rehearsal.simulator import Simulator
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.proxy.harness import ASK, SCRIPTED, Caller, ask, chunk, routes_to, scope_of, scripted

__all__: list[str] = []

pytestmark = pytest.mark.anyio

URL: Final = "http://127.0.0.1:9/v1"
UNARY: Final = {**ASK, "stream": False}
JSON: Final = ((b"content-type", b"application/json"),)


def problem_of(top: str, tables: str = "", provider: str = "") -> str:
    """What a gateway with these settings has against them."""
    with pytest.raises(ConfigError) as caught:
        Gateway(routes_to(URL, top=top, tables=tables, provider=provider))
    [problem] = caught.value.problems
    assert problem.line is not None
    return f"{problem.key}: {problem.message}"


async def test_the_default_stack_fails_over() -> None:
    """Without a word about the stack a request goes to the next target when one fails."""
    gateway = Gateway(routes_to(URL, URL, provider=SCRIPTED))
    scripts = scripted(gateway)
    scripts["a"].say(b"", status=500)
    scripts["b"].say(chunk("Hi"), b"data: [DONE]\n\n")
    caller = await ask(gateway)
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"b")
    assert caller.headers[b"x-standby-degraded"] == b"upstream_5xx"


async def test_a_gateway_is_made_from_a_file(tmp_path: Path) -> None:
    """From a path as text or as a Path; what is wrong with the file is said with its name."""
    file = tmp_path / "routes.toml"
    file.write_text(routes_to(URL).source)
    assert list(Gateway(file).routes.pools) == list(Gateway(str(file)).routes.pools) == ["support"]
    file.write_text("[pools]")
    with pytest.raises(ConfigError, match=r"routes\.toml"):
        Gateway(file)


MARKS: Final = '[marks]\nuse = "tests.proxy.custom:Marks"\nword = "hello"\nwait = "250ms"'
NAMED: Final = '[named]\nuse = "tests.proxy.custom:Named"\nname = "ada"'
SHOUT: Final = '[shout]\nuse = "tests.proxy.custom:shouting"'


async def test_middlewares_of_the_operators() -> None:
    """A dataclass, a class or a function, by import string; its table are its keywords; outermost first."""
    top = 'stack = ["marks", "named", "shout", "failover"]'
    gateway = Gateway(routes_to(URL, provider=SCRIPTED, top=top, tables=f"{MARKS}\n{NAMED}\n{SHOUT}"))
    scripted(gateway)["a"].say(b'{"id": "c1", "choices": [{"message": {}}]}', headers=JSON)
    caller = await ask(gateway, UNARY)
    names = [name for name, _ in caller.messages[0]["headers"]]
    assert names.index(b"x-named") < names.index(b"x-mark")
    assert caller.headers[b"x-mark"] == b"hello 0.25"
    assert caller.headers[b"x-named"] == b"ada"
    assert caller.body == b'{"ID": "C1", "CHOICES": [{"MESSAGE": {}}]}'


@pytest.mark.parametrize("order", ['["refuses", "failover"]', '["failover", "refuses"]'])
async def test_a_refusal_of_ours_is_final(order: str) -> None:
    """What a middleware answers itself is the answer, whether it stands around failover or inside."""
    tables = '[refuses]\nuse = "tests.proxy.custom:Refuses"'
    gateway = Gateway(routes_to(URL, URL, provider=SCRIPTED, top=f"stack = {order}", tables=tables))
    scripts = scripted(gateway)
    caller = await ask(gateway)
    assert (caller.status, caller.body) == (451, b"ours")
    assert not scripts["a"].requests
    assert not scripts["b"].requests
    assert b"x-standby-target" not in caller.headers


async def test_an_empty_stack() -> None:
    """Every concern can be left out: what remains is a proxy to the first target."""
    gateway = Gateway(routes_to(URL, URL, provider=SCRIPTED, top="stack = []"))
    scripts = scripted(gateway)
    scripts["a"].say(b"", status=500)
    assert (await ask(gateway)).status == 502
    assert not scripts["b"].requests


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ("no.such.module:App", "ours.use: cannot import no.such.module:App"),
        ("tests.proxy.custom:Missing", "ours.use: cannot import tests.proxy.custom:Missing"),
        ("tests.proxy.custom:NOT_CALLABLE", "ours.use: tests.proxy.custom:NOT_CALLABLE"),
    ],
)
def test_a_middleware_that_cannot_be_imported(use: str, problem: str) -> None:
    """An import string that leads nowhere stops the start, with its key and line."""
    assert problem_of('stack = ["ours"]', f'[ours]\nuse = "{use}"').startswith(problem)


@pytest.mark.parametrize(
    "transport", ["no.such.module:T", "tests.proxy.custom:Missing", "tests.proxy.custom:NOT_CALLABLE"]
)
def test_a_transport_that_cannot_be_imported(transport: str) -> None:
    """So does a provider's transport: the first request is too late to find out."""
    assert problem_of("", provider=f'transport = "{transport}"').startswith("providers.at-a.transport: ")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("wrod = 1\nword = 'x'", "ours.wrod: unknown key"),
        ("", "ours.word: required, but not given"),
        ("word = 1", "ours.word: "),
        ("word = 'x'\nwait = 3", "ours.wait: "),
    ],
)
def test_a_middlewares_table_is_checked(table: str, problem: str) -> None:
    """The fields of a middleware are its keys, and their types hold."""
    assert problem_of('stack = ["ours"]', f'[ours]\nuse = "tests.proxy.custom:Marks"\n{table}').startswith(
        problem
    )


def test_hygienes_table_is_checked() -> None:
    """The outermost step is configured like any other."""
    assert problem_of("", "[hygiene]\nmax_boddy = '1MiB'").startswith("hygiene.max_boddy: unknown key")


async def test_settings_reach_their_middleware() -> None:
    """What a table says is what its middleware does."""
    gateway = Gateway(
        routes_to(
            URL, URL, provider=SCRIPTED, tables='[hygiene]\nmax_body = "10B"\n[failover]\nmax_attempts = 1'
        )
    )
    assert (await ask(gateway, scope=scope_of(headers=[(b"content-length", b"11")]))).status == 413
    wide = Gateway(routes_to(URL, URL, provider=SCRIPTED, tables="[failover]\nmax_attempts = 1"))
    scripts = scripted(wide)
    scripts["a"].say(b"", status=500)
    assert (await ask(wide)).status == 502
    assert not scripts["b"].requests


async def test_mounted_without_a_lifespan(alpha: Simulator) -> None:
    """In a host whose lifespan never reaches it, it opens with its first request and is closed by hand."""
    gateway = Gateway(routes_to(alpha.url))
    host = Starlette(routes=[Mount("/llm", gateway)])
    for _ in range(2):
        caller = await ask(host, UNARY, scope_of("/llm/v1/chat/completions"))
        assert caller.status == 200
        assert alpha.canary.encode() in caller.body
    assert alpha.open == 1
    await gateway.aclose()
    await alpha.wait_for(lambda: alpha.open == 0)


async def test_closed_and_used_again(alpha: Simulator) -> None:
    """A request that comes after closing finds the gateway as it was before its first."""
    gateway = Gateway(routes_to(alpha.url))
    for _ in range(2):
        async with gateway:
            assert (await ask(gateway, UNARY)).status == 200
        await alpha.wait_for(lambda: alpha.open == 0)


async def live(app: Any) -> tuple[asyncio.Task[None], asyncio.Queue[Message], list[Message]]:
    """An app whose lifespan has begun."""
    problem: asyncio.Queue[Message] = asyncio.Queue()
    heard: list[Message] = []
    up = asyncio.Event()

    async def send(message: Message) -> None:
        heard.append(message)
        up.set()

    task = asyncio.create_task(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, problem.get, send)
    )
    problem.put_nowait({"type": "lifespan.startup"})
    await up.wait()
    return task, problem, heard


@pytest.mark.parametrize("host", [False, True])
async def test_a_lifespan_closes_it(alpha: Simulator, host: bool) -> None:
    """With the server's own lifespan, or with the one it gives to its host, it closes before it says so."""
    gateway = Gateway(routes_to(alpha.url))
    app = Starlette(routes=[Mount("/llm", gateway)], lifespan=gateway.lifespan) if host else gateway
    task, problem, heard = await live(app)
    assert (await ask(gateway, UNARY)).status == 200
    assert alpha.open == 1
    problem.put_nowait({"type": "lifespan.shutdown"})
    await task
    await alpha.wait_for(lambda: alpha.open == 0)
    assert [message["type"] for message in heard] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_websocket_is_refused() -> None:
    """It is closed before it is accepted, and nothing is read."""
    caller = Caller()
    await Gateway(routes_to(URL))({"type": "websocket", "path": "/v1/responses"}, caller.receive, caller.send)
    assert [message["type"] for message in caller.messages] == ["websocket.close"]
    assert caller.received == 0


async def test_two_gateways_share_nothing() -> None:
    """What one has learnt of its targets is not known to another."""
    first, second = Gateway(routes_to(URL, provider=SCRIPTED)), Gateway(routes_to(URL, provider=SCRIPTED))
    scripted(first)["a"].say(b"", status=429)
    scripted(second)["a"].say(chunk("Hi"), b"data: [DONE]\n\n")
    assert [(await ask(first)).status for _ in range(2)] == [429, 429]
    assert (await ask(second)).status == 200


async def test_a_request_keeps_the_configuration_it_began_with() -> None:
    """Whatever becomes of the gateway's meanwhile."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    script = scripted(gateway)["a"]
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    script.before = wait
    script.say(chunk("Hi"), b"data: [DONE]\n\n")
    running = asyncio.create_task(ask(gateway))
    await begun.wait()
    await gateway.reload(routes_to(URL, provider=SCRIPTED, pool='serves = ["other"]'))
    go_on.set()
    assert (await running).status == 200
    assert (await ask(gateway)).status == 404
