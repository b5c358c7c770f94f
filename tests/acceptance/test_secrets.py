"""Secrets stay where they belong, whatever goes wrong."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import Any, Final

import pytest
from standby.proxy.rehearsal.simulator import (
    Content,
    Cut,
    Fault,
    Headers,
    Html,
    Just,
    Malformed,
    Redirect,
    Simulator,
    Stall,
    Status,
    stale_keep_alive,
)

from tests.acceptance.clients import APIS, CHAT, MESSAGES, Api
from tests.acceptance.faults import BEFORE_CONTENT, before_content
from tests.acceptance.pairs import pairwise
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CLIENT: Final = "canary-of-the-client-key"
PROMPT: Final = "canary-of-the-prompt"
QUIET: Final = MappingProxyType[str, Fault](
    {name: fault for name, _ in BEFORE_CONTENT if (fault := before_content(name)) is not None}
    | {
        "401 that quotes the key": Status(
            401, message="Incorrect API key: secret-of-alpha secret-of-alpha_claude"
        ),
        "403": Status(403),
        "404": Status(404, message="model: none"),
        "redirect": Redirect(),
        "status 999": Status(999),
        "status 300": Status(300),
    }
)
"""Faults of which the client may learn no more than that they happened."""
_OF_STREAMS: Final = {name for name, _ in BEFORE_CONTENT if (name, False) not in BEFORE_CONTENT}
QUIETLY: Final = tuple(
    (api, name, stream or name in _OF_STREAMS) for api, name, stream in pairwise(APIS, QUIET)
)


def request_of(api: Api) -> dict[str, Any]:
    """A request whose prompt can be recognised."""
    return (
        {"input": PROMPT} if api.name == "responses" else {"messages": [{"role": "user", "content": PROMPT}]}
    )


def shown(api: Api) -> dict[str, str]:
    """The client's key, in the header of its dialect."""
    if api is MESSAGES:
        return {"x-api-key": CLIENT, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {CLIENT}"}


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What we, and the server, wrote to the log."""
    ours = ("standby", "uvicorn", "asyncio")
    return "\n".join(
        caplog.handler.format(record) for record in caplog.records if record.name.split(".")[0] in ours
    )


@pytest.mark.parametrize(("api", "name", "stream"), QUIETLY, ids=str)
async def test_when_all_fail(
    front: Front, caplog: pytest.LogCaptureFixture, api: Api, name: str, stream: bool
) -> None:
    """Neither the client's answer nor our log holds a key, the prompt, an address or a provider's word."""
    caplog.set_level(logging.DEBUG)
    async with scene(front, first_token="100ms") as stage:
        stage.alpha.fault = stage.beta.fault = QUIET[name]

        answer = await stage.raw.ask(api, stream=stream, headers=shown(api), **request_of(api))

        assert answer.status >= 500 or answer.status == 429
        for text in (answer.whole.decode(), logged(caplog)):
            for secret in (
                CLIENT,
                PROMPT,
                "secret-of-",
                "canary-alpha",
                "canary-beta",
                "127.0.0.1",
                "169.254",
            ):
                assert secret not in text
        _nobody_knows_too_much(stage)


@pytest.mark.parametrize(
    ("api", "fault", "stream"),
    [
        *pairwise(
            APIS, [None, Status(503), Status(401), Status(400), Status(422), Html(), stale_keep_alive, Cut()]
        ),
        (CHAT, Stall(), True),
    ],
    ids=str,
)
async def test_when_somebody_answers(
    stage: Scene, caplog: pytest.LogCaptureFixture, api: Api, fault: Fault | None, stream: bool
) -> None:
    """On success, after failover and on a refusal passed on, answer and log hold no key and no prompt."""
    caplog.set_level(logging.DEBUG)
    stage.alpha.fault = fault

    for _ in range(2):
        answer = await stage.raw.ask(api, stream=stream, headers=shown(api), **request_of(api))
        for text in (answer.whole.decode(), logged(caplog)):
            for secret in (CLIENT, PROMPT, "secret-of-", "127.0.0.1"):
                assert secret not in text
    _nobody_knows_too_much(stage)


@pytest.mark.parametrize(
    "fault", [Cut(Content(1)), Stall(Content(1)), Malformed(Content(1)), Just(b"data: {}\n\n")], ids=str
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_when_a_stream_breaks(
    front: Front, caplog: pytest.LogCaptureFixture, api: Api, fault: Fault
) -> None:
    """A stream that breaks or is odd shows no key or prompt, in what we add to it or in our log."""
    caplog.set_level(logging.DEBUG)
    async with scene(front, stall="200ms") as stage:
        stage.alpha.fault = fault
        answer = await stage.raw.ask(api, headers=shown(api), **request_of(api))
        for text in (answer.whole.decode(), logged(caplog)):
            for secret in (CLIENT, PROMPT, "secret-of-", "127.0.0.1"):
                assert secret not in text
        _nobody_knows_too_much(stage)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": PROMPT},
        {"messages": PROMPT, "input": {PROMPT: PROMPT}},
        {"max_tokens": PROMPT, "max_output_tokens": PROMPT},
        {"api_base": f"http://{PROMPT}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_when_we_refuse(
    stage: Scene, caplog: pytest.LogCaptureFixture, api: Api, fields: dict[str, Any]
) -> None:
    """A request that is refused before anybody is asked is not quoted, in the answer or in our log, but for
    the name of a model that is not there."""
    caplog.set_level(logging.DEBUG)

    answer = await stage.raw.ask(api, stream=False, headers=shown(api), **{**request_of(api), **fields})

    assert 400 <= answer.status < 500
    for text in (answer.whole.decode(), logged(caplog)):
        assert CLIENT not in text
        assert PROMPT not in text
    assert stage.alpha.requests == stage.beta.requests == []


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_model_that_is_not_there(stage: Scene, caplog: pytest.LogCaptureFixture, api: Api) -> None:
    """Its name is told to its caller, and to nobody else."""
    caplog.set_level(logging.DEBUG)

    fields: dict[str, Any] = {**request_of(api), "model": PROMPT}
    answer = await stage.raw.ask(api, stream=False, headers=shown(api), **fields)

    assert answer.status == 404
    assert PROMPT in answer.whole.decode()
    assert PROMPT not in logged(caplog)


@pytest.mark.parametrize(("api", "code", "stream"), pairwise(APIS, [301, 302, 303, 307, 308]), ids=str)
async def test_redirects_are_not_followed(stage: Scene, api: Api, stream: bool, code: int) -> None:
    """A provider that sends us elsewhere has failed: nobody goes there, and the client is not sent there."""
    async with Simulator("elsewhere") as elsewhere:
        stage.alpha.fault = stage.beta.fault = Redirect(elsewhere.url, code)

        answer = await stage.raw.ask(api, stream=stream)

        assert elsewhere.accepted == 0
        assert answer.status == 502
        assert answer.header("location") is None
        assert [len(provider.requests) for provider in (stage.alpha, stage.beta)] == [1, 1]


ELSEWHERE: Final = (
    "api_base",
    "api_key",
    "base_url",
    "custom_llm_provider",
    "extra_headers",
    "fallbacks",
    "proxy",
)


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_no_field_chooses_the_provider(stage: Scene, api: Api, name: str) -> None:
    """A field that would choose host, key or headers is refused, and nobody is asked."""
    async with Simulator("elsewhere") as elsewhere:
        answer = await stage.raw.post(api, {**api.asking(stream=False), name: elsewhere.url})

        assert answer.status == 400
        assert b"forbidden_field" in answer.body
        assert elsewhere.accepted == 0
        assert stage.alpha.requests == stage.beta.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "x-api-base",
        "x-base-url",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-litellm-api-base",
        "x-original-url",
        "x-rewrite-url",
        "x-portkey-custom-host",
        "x-standby-base-url",
        "x-standby-target",
        "forwarded",
        "openai-organization",
    ],
)
async def test_no_header_chooses_the_provider(stage: Scene, name: str) -> None:
    """A header that would choose host or path elsewhere chooses nothing here, and goes no further."""
    async with Simulator("elsewhere") as elsewhere:
        await stage.raw.ask(CHAT, headers={name: elsewhere.origin})

        (received,) = stage.alpha.requests
        assert received.path == CHAT.path
        assert received.header("host") == f"127.0.0.1:{stage.alpha.port}"
        assert received.header(name) is None
        assert elsewhere.accepted == 0


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "#", "?", "@127.0.0.1", "/../..", "\\..", "%2e%2e"])
async def test_no_model_chooses_the_provider(stage: Scene, suffix: str) -> None:
    """A model that is an address or a path is an unknown model."""
    async with Simulator("elsewhere") as elsewhere:
        for model in (elsewhere.origin + suffix, f"gpt{suffix}" if suffix else "GPT"):
            answer = await stage.raw.ask(CHAT, model=model)
            assert answer.status in {400, 404}
        assert elsewhere.accepted == 0
        assert stage.alpha.requests == []


async def test_the_environment_chooses_no_proxy(
    front: Front, monkeypatch: pytest.MonkeyPatch, stage: Scene
) -> None:
    """Proxies named by the environment are not used: they would see every key."""
    del stage
    async with Simulator("elsewhere") as elsewhere:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.origin)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with scene(front) as proxied:
            assert (await proxied.raw.ask(CHAT)).header("x-standby-target") == "alpha"
        assert elsewhere.accepted == 0


async def test_cookies_are_nobodys(stage: Scene) -> None:
    """A cookie that a provider sets reaches neither the client nor the provider's next request."""
    stage.alpha.fault = Headers(("set-cookie", "session=of-one-tenant; Domain=localhost"))

    answers = [await stage.raw.ask(CHAT) for _ in range(2)]

    assert [answer.header("set-cookie") for answer in answers] == [None, None]
    assert [received.header("cookie") for received in stage.alpha.requests] == [None, None]


async def test_refused_connections_tell_no_address(stage: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """When nobody can be reached, neither the client nor our log learns who could not be."""
    caplog.set_level(logging.DEBUG)
    ports = {str(provider.port) for provider in (stage.alpha, stage.beta)}
    for provider in (stage.alpha, stage.beta):
        await provider.down()

    answer = await stage.raw.ask(CHAT)

    assert answer.status == 503
    for text in (answer.whole.decode(), logged(caplog)):
        assert not any(port in text for port in ports)
        assert "secret-of-" not in text


def _nobody_knows_too_much(stage: Scene) -> None:
    """No provider was shown a credential but its own."""
    for provider, other in ((stage.alpha, "beta"), (stage.beta, "alpha")):
        for received in provider.requests:
            told = repr(received.headers)
            assert CLIENT not in told
            assert f"secret-of-{other}" not in told
            assert told.count(f"secret-of-{provider.name}") == 1
