"""Policy follows the request: a target that the key may not use gets no byte, whatever the others do."""

from __future__ import annotations

import anthropic
import openai
import pytest
from standby.proxy.rehearsal.simulator import Status

from tests.acceptance.clients import APIS, CHAT, MESSAGES, Api
from tests.acceptance.faults import BEFORE_CONTENT, REFUSED, before_content
from tests.acceptance.identity import EUROPEAN, FREE, LOYAL, NARROW, auth_setup
from tests.acceptance.serving import Front, bound

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("name", "stream"), BEFORE_CONTENT)
@pytest.mark.parametrize(("api", "key"), [(CHAT, EUROPEAN), (MESSAGES, LOYAL)], ids=["region", "provider"])
async def test_no_fault_leads_where_the_key_may_not_go(
    front: Front, api: Api, name: str, stream: bool, key: str
) -> None:
    """However the allowed target fails, the other is passed over, and what is passed over is recorded."""
    with bound() as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/v1" if name == REFUSED else None
        # The limit may be short, as no answer here is good: who is too slow has failed like the rest.
        async with auth_setup(front, first_token="200ms", alpha_url=nobody) as stage:
            stage.alpha.fault = before_content(name)

            answer = await stage.raw.ask(api, stream=stream, headers={"x-api-key": key})

            assert stage.beta.accepted == 0
            assert answer.status >= 429
            assert b"policy." in answer.body
            exchange = stage.front.exchanges[-1]
            assert exchange.plan is not None
            tried, passed_over = exchange.plan
            assert [attempt.candidate for attempt in exchange.attempts] == [tried]
            assert tried.rejected is None
            assert (passed_over.rejected or "").startswith("policy.")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_free_key_goes_on(front: Front, api: Api, stream: bool) -> None:
    """The same outage, for a key without the rule: the official SDKs get the other's answer."""
    async with auth_setup(front, first_token="30s") as stage, stage.sdks(FREE) as sdks:
        assert await sdks.say(api, stream=stream) == "alpha says: all is well."
        stage.alpha.fault = Status(503)
        assert await sdks.say(api, stream=stream) == "beta says: all is well."


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 503, 529])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_resting_target_opens_no_way_out(front: Front, api: Api, status: int) -> None:
    """Also in later requests, when the allowed target rests and is not even asked."""
    async with auth_setup(front) as stage:
        stage.alpha.fault = Status(status)
        for _ in range(8):
            answer = await stage.raw.ask(api, headers={"authorization": f"Bearer {EUROPEAN}"})
            assert answer.status >= 400
        assert stage.beta.accepted == 0


async def test_nothing_that_policy_allows_is_told_as_such(front: Front) -> None:
    """A key for which no target ever can be used hears so at once; nobody is tried."""
    async with auth_setup(front) as stage:
        answer = await stage.raw.ask(CHAT, headers={"x-api-key": FREE}, model="secret")
        assert answer.status == 200
        asked = stage.beta.accepted
        for key, code in ((EUROPEAN, b"model_not_allowed"), (NARROW, b"model_not_allowed")):
            answer = await stage.raw.ask(CHAT, headers={"x-api-key": key}, model="secret")
            assert (answer.status, code in answer.body) == (403, True)
        assert stage.beta.accepted == asked


@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_sdks_raise_what_they_know(front: Front, api: Api) -> None:
    """A wrong key is an authentication error, a model that is not granted a matter of permission."""
    library = anthropic if api is MESSAGES else openai
    async with auth_setup(front) as stage:
        async with stage.sdks("sk-standby-of-nobody") as sdks:
            with pytest.raises(library.AuthenticationError):
                await sdks.say(api, stream=True)
        async with stage.sdks(NARROW) as sdks:
            with pytest.raises(library.PermissionDeniedError):
                await sdks.say(api, stream=True, model="secret")
            assert [answer.header("x-should-retry") for answer in sdks.answers] == ["false"]
        assert stage.alpha.accepted == stage.beta.accepted == 0


async def test_the_sdks_list_what_is_granted(front: Front) -> None:
    """Each has the models of its own API, from the same path."""
    async with auth_setup(front) as stage:
        async with stage.sdks(NARROW) as sdks:
            assert {model.id async for model in await sdks.openai.models.list()} == {"gpt"}
            assert {model.id async for model in await sdks.anthropic.models.list()} == {"claude"}
        async with stage.sdks(FREE) as sdks:
            assert len([model async for model in await sdks.openai.models.list()]) == 2


@pytest.mark.parametrize("key", [FREE, EUROPEAN])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_the_callers_key_reaches_nobody(front: Front, api: Api, key: str) -> None:
    """In no header of any request to a provider, on success and after a fault, and in no answer."""
    async with auth_setup(front) as stage:
        for fault in (None, Status(503)):
            stage.alpha.fault = fault
            for header in ("authorization", "x-api-key", "x-goog-api-key"):
                value = f"Bearer {key}" if header == "authorization" else key
                answer = await stage.raw.ask(api, headers={header: value})
                assert key.encode() not in answer.whole
        received = [*stage.alpha.requests, *stage.beta.requests]
        assert received
        for request in received:
            assert "canary" not in str(request)
