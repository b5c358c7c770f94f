"""What the simulator refuses of its own accord, in the form of the vendor that was asked."""

from __future__ import annotations

from typing import Any, Final

import anthropic
import httpx2
import openai
import pytest
from standby.proxy.rehearsal.simulator import Simulator, Status

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

COUNT: Final = f"{MESSAGES}/count_tokens"
OPENAI_PATHS: Final = (CHAT, RESPONSES, "/v1/embeddings", "/v1/files", "/elsewhere")
ANTHROPIC_PATHS: Final = (MESSAGES, COUNT, f"{MESSAGES}/batches", f"{MESSAGES}/", f"{COUNT}/more")
HI: Final[list[Any]] = [{"role": "user", "content": "hi"}]


def is_openais(answer: httpx2.Response) -> bool:
    """Whether an error has OpenAI's form, and the header that goes with it."""
    return (
        set(answer.json()) == {"error"}
        and set(answer.json()["error"]) == {"message", "type", "param", "code"}
        and "x-request-id" in answer.headers
    )


def is_anthropics(answer: httpx2.Response) -> bool:
    """Whether an error has Anthropic's form, and the header that goes with it."""
    return (
        set(answer.json()) == {"type", "error", "request_id"}
        and answer.json()["type"] == "error"
        and set(answer.json()["error"]) == {"type", "message"}
        and answer.headers["request-id"].startswith(answer.json()["request_id"])
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
@pytest.mark.parametrize("path", [*OPENAI_PATHS, *ANTHROPIC_PATHS])
async def test_a_body_that_is_no_object_is_refused_in_the_dialect(
    alpha: Simulator, path: str, content: bytes
) -> None:
    """A malformed body, also on an unknown path, gets an error of the path's own vendor."""
    async with httpx2.AsyncClient(base_url=alpha.origin) as client:
        answer = await client.post(path, content=content)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert (is_openais(answer), is_anthropics(answer)) == (path in OPENAI_PATHS, path in ANTHROPIC_PATHS)


@pytest.mark.parametrize("path", [*OPENAI_PATHS, *ANTHROPIC_PATHS])
async def test_every_error_has_the_form_of_its_path(alpha: Simulator, path: str) -> None:
    """A fault's error status, on a good path or an unknown one, has the form of the path's own vendor."""
    alpha.fault = Status(500)
    async with httpx2.AsyncClient(base_url=alpha.origin) as client:
        answer = await client.post(path, json={"model": "m"})
    assert answer.status_code == 500
    assert (is_openais(answer), is_anthropics(answer)) == (path in OPENAI_PATHS, path in ANTHROPIC_PATHS)


async def test_an_unknown_path_is_no_missing_model(alpha: Simulator) -> None:
    """OpenAI's 404 for a path names the path, and does not have the code of a missing model."""
    below, outside = await ask(alpha, "/v1/files"), await ask(alpha, "/elsewhere")
    assert (below.status, outside.status) == (404, 404)
    assert (below.json["error"]["code"], outside.json["error"]["code"]) == (None, "unknown_url")
    assert "Invalid URL (POST /v1/files)" in below.json["error"]["message"]


async def test_an_unknown_path_is_told_by_the_version_header(
    alpha: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    """On a path that both vendors have, each one's SDK gets the error that it can read."""
    with pytest.raises(openai.NotFoundError) as from_openai:
        await gpt.models.list()
    with pytest.raises(anthropic.NotFoundError) as from_anthropic:
        await claude.models.list()

    assert from_openai.value.type == "invalid_request_error"
    assert from_anthropic.value.type == "not_found_error"


async def test_a_bad_key_is_refused(
    alpha: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    """A provider with keys serves those and refuses others, with the SDKs' own exceptions."""
    alpha.keys = {"other"}
    with pytest.raises(openai.AuthenticationError) as from_openai:
        await gpt.chat.completions.create(model="m", messages=HI)
    with pytest.raises(anthropic.AuthenticationError) as from_anthropic:
        await claude.messages.create(model="m", max_tokens=9, messages=HI)
    with pytest.raises(anthropic.AuthenticationError):
        await claude.messages.count_tokens(model="m", messages=HI)

    assert from_openai.value.code == "invalid_api_key"
    assert from_anthropic.value.type == "authentication_error"
    assert is_anthropics(from_anthropic.value.response)
    assert alpha.bill == []

    alpha.keys = {"key"}
    assert (await gpt.responses.create(model="m", input="hi")).status == "completed"
    assert (await claude.messages.create(model="m", max_tokens=9, messages=HI)).stop_reason == "end_turn"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(("value", "status"), [("Bearer key", 200), ("Bearer", 401), ("Basic key", 401)])
async def test_both_vendors_take_a_bearer(alpha: Simulator, path: str, value: str, status: int) -> None:
    """A key may also come as a bearer token. Without one, and with another scheme, there is no key."""
    alpha.keys = {"key"}
    async with httpx2.AsyncClient(base_url=alpha.origin) as client:
        answer = await client.post(path, json={"model": "m"}, headers={"authorization": value})
    assert answer.status_code == status
