"""What each provider is asked: once, from the original request, with its own credentials."""

from __future__ import annotations

from typing import Any, Final

import anthropic
import openai
import pytest
from standby.proxy.rehearsal.simulator import (
    Cut,
    ErrorEvent,
    Fault,
    Gzip,
    Headers,
    Html,
    Just,
    Redirect,
    Slow,
    Stall,
    Status,
    stale_keep_alive,
)

from tests.acceptance.clients import APIS, CHAT, MESSAGES, RESPONSES, Api
from tests.acceptance.pairs import pairwise
from tests.acceptance.scene import Scene, patience, said_by, scene
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

ODD: Final[tuple[tuple[Api, dict[str, Any]], ...]] = (
    (
        CHAT,
        {
            "messages": [
                {"role": "system", "content": "Sei kurz. 短く。 🙂"},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": 'tab\t, quote ", slash \\, line\nfeed \u2028'}],
                },
            ],
            "temperature": 0.30000000000000004,
            "seed": 9007199254740993,
            "stop": ["\r\n\r\n", "data: [DONE]"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "a_field_of_tomorrow": {"deep": [None, True, -1, 1.5, "ü"]},
        },
    ),
    (
        RESPONSES,
        {
            "input": [{"role": "user", "content": "短く 🙂"}],
            "metadata": {"k": "v"},
            "a_field_of_tomorrow": [{}],
        },
    ),
    (
        MESSAGES,
        {
            "system": [{"type": "text", "text": "短く 🙂", "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "\u0000 \u001f"}]}],
            "a_field_of_tomorrow": {"z": 1, "a": 2},
        },
    ),
)
SAYS: Final = {
    "accept": "text/event-stream",
    "accept-encoding": "br",
    "anthropic-beta": "tomorrow-1",
    "anthropic-version": "2023-06-01",
    "cookie": "session=of-the-caller",
    "forwarded": "for=10.0.0.1",
    "openai-organization": "org-of-the-caller",
    "openai-project": "project-of-the-caller",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "user-agent": "an-application/1.0",
    "x-forwarded-for": "10.0.0.1",
    "x-of-the-caller": "1",
    "x-standby-target": "gamma",
    "x-stainless-retry-count": "2",
}
KEY: Final = {"chat": "authorization", "responses": "authorization", "messages": "x-api-key"}


def credential(api: Api, name: str) -> tuple[str, str]:
    """The header and value that show the secret of a provider to it."""
    if api is MESSAGES:
        return "x-api-key", f"secret-of-{name}_claude"
    return "authorization", f"Bearer secret-of-{name}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("api", "fields"), ODD, ids=["chat", "responses", "messages"])
async def test_each_attempt_starts_from_the_original(
    stage: Scene, api: Api, fields: dict[str, Any], stream: bool
) -> None:
    """Each provider gets the client's document, unknown fields and all, but for its own model's name."""
    stage.alpha.fault = Status(503) & Headers(("set-cookie", "session=alpha"), ("x-alpha", "1"))
    asked = api.asking(stream=stream, **fields)

    await stage.raw.ask(api, stream=stream, headers=SAYS, **fields)

    suffix = "_claude" if api is MESSAGES else ""
    for provider in (stage.alpha, stage.beta):
        (received,) = provider.requests
        assert received.json == {**asked, "model": f"model-of-{provider.name}{suffix}"}
        assert list(received.json) == list(asked)


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_each_provider_gets_its_own_credentials(stage: Scene, api: Api) -> None:
    """A provider sees its own secret and what its operator adds, and nobody else's."""
    stage.alpha.fault = Status(503) & Headers(("set-cookie", "session=alpha"), ("x-alpha", "1"))

    for _ in range(2):
        await stage.raw.ask(api, headers=SAYS)

    suffix = "_claude" if api is MESSAGES else ""
    for provider, other in ((stage.alpha, "beta"), (stage.beta, "alpha")):
        for received in provider.requests:
            name, value = credential(api, provider.name)
            assert received.header(name) == value
            assert received.header("x-told-by-operator") == f"{provider.name}{suffix}"
            sent_headers = b"\n".join(b": ".join(pair) for pair in received.headers)
            assert f"secret-of-{other}".encode() not in sent_headers
            assert b"session=" not in sent_headers


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_little_of_the_caller_reaches_a_provider(stage: Scene, api: Api) -> None:
    """Only headers that shape the answer go on: no credential, address, cookie or trace of the caller."""
    await stage.raw.ask(api, headers={**SAYS, KEY[api.name]: "Bearer key" if api is not MESSAGES else "key"})

    (received,) = stage.alpha.requests
    sent_headers = {name.decode().lower() for name, _ in received.headers}
    own = {"accept-encoding", "content-length", "content-type", "host", "x-told-by-operator", KEY[api.name]}
    forwarded = {"accept", "user-agent"}
    forwarded |= {"anthropic-beta", "anthropic-version"} if api is MESSAGES else set()
    assert own <= sent_headers <= own | forwarded
    assert received.header("accept-encoding") == "identity"
    assert received.header("host") == f"127.0.0.1:{stage.alpha.port}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_stale_connection(stage: Scene, api: Api, stream: bool) -> None:
    """A kept connection that the provider drops unanswered is replaced, and the client notices nothing."""
    stage.alpha.fault = stale_keep_alive
    for _ in range(2):
        answer = await stage.raw.ask(api, stream=stream)
        assert answer.header("x-standby-attempts") == "1"
        assert answer.header("x-standby-degraded") is None

    first, dropped, again = stage.alpha.requests
    assert (first.connection == dropped.connection, dropped.reused, again.reused) == (True, True, False)
    assert dropped.body == again.body
    assert stage.beta.requests == []


async def test_a_stale_connection_is_replaced_once(stage: Scene) -> None:
    """Where the fresh connection is dropped as well, the next provider is asked."""
    await stage.raw.ask(CHAT)
    stage.alpha.fault = Cut(reset=False)

    answer = await stage.raw.ask(CHAT)

    assert len(stage.alpha.requests) == 3
    assert answer.header("x-standby-target") == "beta"


@pytest.mark.parametrize("fault", [Cut(0), Status(500), Just(), Stall()], ids=str)
async def test_only_silence_is_taken_for_stale(stage: Scene, fault: Fault) -> None:
    """On a kept connection, too, an answer that began, or that never came, is not asked for again."""
    await stage.raw.ask(CHAT)
    stage.alpha.fault = fault

    answer = await stage.raw.ask(CHAT)

    assert len(stage.alpha.requests) == 2
    assert answer.header("x-standby-target") == "beta"


CALLERS: Final = (
    Status(400),
    Status(400, error_code="content_filter", message="The request was filtered."),
    Status(400, error_code="context_length_exceeded"),
    Status(404, body=b'{"error": {"type": "invalid_request_error", "code": "file_not_found"}}'),
    Status(405),
    Status(413),
    Status(418, body=b"short and stout"),
    Status(422),
    Status(400, body=b"\xff\xfe no JSON"),
    Status(400, body=b""),
    Status(422) & Gzip(),
)
"""Refusals that are the caller's to see."""


@pytest.mark.parametrize(("api", "fault", "stream"), pairwise(APIS, CALLERS), ids=str)
async def test_a_fault_of_the_caller_is_told_as_it_is(
    stage: Scene, api: Api, fault: Fault, stream: bool
) -> None:
    """A 4xx that is the caller's fault arrives with its own status and bytes; one provider is asked, once."""
    stage.alpha.fault = fault
    expected = await said_by(stage.alpha, api, stream=stream)
    stage.alpha.requests.clear()

    answer = await stage.raw.ask(api, stream=stream)

    assert (answer.status, answer.body) == (expected.status, expected.body)
    for name in ("content-type", "content-encoding", "content-length"):
        assert answer.header(name) == expected.header(name)
    assert len(stage.alpha.requests) == 1
    assert stage.beta.requests == []


@pytest.mark.parametrize("fault", CALLERS[:3], ids=str)
async def test_a_fault_of_the_caller_rests_nobody(stage: Scene, fault: Fault) -> None:
    """However many requests a provider refuses for the callers' sake, it is the first to be asked again."""
    stage.alpha.next(fault, times=12)
    for _ in range(12):
        await stage.raw.ask(CHAT)

    assert (await stage.raw.ask(CHAT)).header("x-standby-target") == "alpha"
    assert stage.beta.requests == []


@pytest.mark.parametrize("code", [401, 402, 403])
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=str)
async def test_our_own_credential_is_not_the_callers_fault(stage: Scene, api: Api, code: int) -> None:
    """A provider that refuses the gateway's credential is passed over, and its 4xx is never the client's."""
    stage.alpha.fault = stage.beta.fault = Status(code)

    answer = await stage.raw.ask(api)

    assert answer.status in {502, 503}
    assert len(stage.beta.requests) == 1
    assert stage.alpha.canary.encode() not in answer.whole


@pytest.mark.parametrize(
    "fault",
    [Status(429, retry_after=1), Status(500), Status(529), Stall(), Html(), ErrorEvent(), Redirect()],
    ids=str,
)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_an_sdk_that_retries_does_not_multiply(front: Front, api: Api, fault: Fault) -> None:
    """When all targets fail, an SDK with its usual two retries makes one request: it is told not to retry."""
    async with scene(front, retries=2, first_token=patience(fault)) as stage:
        stage.alpha.fault = stage.beta.fault = fault

        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await stage.sdks.say(api, stream=True)

        assert [len(provider.requests) for provider in (stage.alpha, stage.beta)] == [1, 1]
        assert stage.sdks.answers[0].header("x-should-retry") == "false"


@pytest.mark.parametrize(
    ("api", "fields"),
    [
        (RESPONSES, {"previous_response_id": "resp_1"}),
        (RESPONSES, {"conversation": "conv_1"}),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        ),
        (MESSAGES, {"container": "container_1"}),
    ],
    ids=str,
)
async def test_state_stays_where_it_lives(stage: Scene, api: Api, fields: dict[str, Any]) -> None:
    """A request that depends on what one provider keeps is never taken to another."""
    stage.alpha.fault = Status(503)

    answer = await stage.raw.ask(api, **fields)

    assert answer.status in {503, 529}
    assert stage.beta.requests == []
    assert b"state.bound" in answer.body


async def test_who_answered_is_asked_again(stage: Scene) -> None:
    """A request that continues an answer goes to the provider that gave it, though it is not the first."""
    stage.alpha.next(Status(503))
    begun = await stage.sdks.openai.responses.create(model="gpt", input="Begin.")

    again = await stage.sdks.openai.responses.create(
        model="gpt", input="Go on.", previous_response_id=begun.id
    )

    assert again.output_text == "beta says: all is well."
    assert len(stage.alpha.requests) == 1


async def test_who_answered_is_asked_again_though_slow_to_end(stage: Scene) -> None:
    """It counts that an answer was complete, not how long its connection stayed open after."""
    stage.alpha.next(Status(503))
    stage.beta.next(Slow(1.0, after=1000))
    async with await stage.sdks.openai.responses.create(model="gpt", input="Begin.", stream=True) as events:
        *_, last = [event async for event in events]
    assert last.type == "response.completed"

    again = await stage.sdks.openai.responses.create(
        model="gpt", input="Go on.", previous_response_id=last.response.id
    )

    assert again.output_text == "beta says: all is well."
