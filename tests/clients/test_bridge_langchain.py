"""LangChain's chat models while another dialect answers. Skipped where they are not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest
from typing_extensions import override

from tests.clients.bridged_demo import BOTH, SAID
from tests.clients.bridging import Pair, same
from tests.clients.weather import City

__all__: list[str] = []

pytest_plugins = ("tests.clients.bridge_scenes",)

langchain_openai: Any = pytest.importorskip("langchain_openai", exc_type=ImportError)
langchain_anthropic: Any = pytest.importorskip("langchain_anthropic", exc_type=ImportError)
messages: Any = pytest.importorskip("langchain_core.messages", exc_type=ImportError)


class Api(NamedTuple):
    """A chat model of LangChain's, made for the address of a gateway."""

    name: str
    make: Callable[..., Any]

    @override
    def __str__(self) -> str:
        return self.name


def _chat(address: str, *, responses: bool = False) -> Any:
    return langchain_openai.ChatOpenAI(
        model="support",
        base_url=f"{address}/v1",
        api_key="unused",
        max_retries=0,
        use_responses_api=responses,
        stream_usage=True,
    )


def _responses(address: str) -> Any:
    return _chat(address, responses=True)


def _messages(address: str) -> Any:
    return langchain_anthropic.ChatAnthropic(
        model="drafting", base_url=address, api_key="unused", max_tokens=64, max_retries=0
    )


_APIS: Final = (Api("chat", _chat), Api("responses", _responses), Api("messages", _messages))


@pytest.fixture(params=_APIS, ids=str)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API."""
    found: Api = request.param
    return found


@pytest.fixture
def models(api: Api, bridge: Pair) -> tuple[Any, Any]:
    """The model at the native gateway, and at the one that translates."""
    return api.make(bridge.native), api.make(bridge.translated)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


def test_invoke(models: tuple[Any, Any], api: Api, bridge: Pair) -> None:
    """A whole answer is the same, and its model says who gave it."""
    named: list[str] = []

    def ask(model: Any) -> Any:
        answer = model.invoke([("system", "Be brief."), ("human", "hello")])
        named.append(answer.response_metadata["model_name"])
        return _told(answer)

    assert same(ask, models)["text"] == SAID
    assert named[1] == (bridge.drafting if api.name == "messages" else bridge.support)


def test_stream(models: tuple[Any, Any]) -> None:
    """The pieces of a stream are the same, and so is what they add up to."""

    def ask(model: Any) -> Any:
        pieces = list(model.stream("hello"))
        return [piece.text for piece in pieces if piece.text], _told(_sum(pieces))

    words, whole = same(ask, models)
    assert "".join(words) == whole["text"] == SAID


@pytest.mark.anyio
async def test_asynchronous_streams(bridge: Pair) -> None:
    """The asynchronous streams have the same pieces. One loop runs all, since models share connections."""
    pairs = [(api.make(bridge.native), api.make(bridge.translated)) for api in _APIS]
    try:
        for native, translated in pairs:
            expected = [piece.text async for piece in native.astream("hello") if piece.text]
            found = [piece.text async for piece in translated.astream("hello") if piece.text]
            assert found == expected
            assert "".join(found) == SAID
    finally:
        for model in (model for pair in pairs for model in pair):
            await (getattr(model, "root_async_client", None) or model._async_client).close()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("words", "cities"), [("hello", ["Paris"]), (BOTH, ["Paris", "Oslo"])])
def test_tools(models: tuple[Any, Any], words: str, cities: list[str], streamed: bool) -> None:
    """Calls of a bound tool are the same, one or two at once, and so is the answer to their messages."""

    def ask(model: Any) -> Any:
        bound = model.bind_tools([weather])
        turns: list[Any] = [messages.HumanMessage(words)]
        called = _sum(list(bound.stream(turns))) if streamed else bound.invoke(turns)
        results = [
            messages.ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
            for call in called.tool_calls
        ]
        return _told(called), _told(bound.invoke([*turns, called, *results]))

    called, answer = same(ask, models)
    assert [call["args"] for call in called["calls"]] == [{"city": city} for city in cities]
    assert answer["text"] == SAID


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output(models: tuple[Any, Any], method: str) -> None:
    """A type, asked for as a tool or as the format of the answer, comes as the same object."""

    def ask(model: Any) -> Any:
        return model.with_structured_output(City, method=method).invoke("hello")

    assert same(ask, models) == City(city="Paris" if method == "function_calling" else SAID)


def _sum(pieces: list[Any]) -> Any:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return whole


def _told(answer: Any) -> dict[str, Any]:
    """What an answer says, in LangChain's own terms for all APIs."""
    told = answer.response_metadata
    return {
        "text": answer.text,
        "calls": [{"name": call["name"], "args": call["args"]} for call in answer.tool_calls],
        "invalid": answer.invalid_tool_calls,
        "finish": told.get("finish_reason") or told.get("stop_reason") or told.get("status"),
        "output": answer.usage_metadata["output_tokens"],
    }
