"""Turns of LangChain's chat models, in each API that they speak. Skipped where they are not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest
from typing_extensions import override

from tests.clients.weather import City

__all__: list[str] = []

langchain_openai: Any = pytest.importorskip("langchain_openai", exc_type=ImportError)
langchain_anthropic: Any = pytest.importorskip("langchain_anthropic", exc_type=ImportError)
messages: Any = pytest.importorskip("langchain_core.messages", exc_type=ImportError)


class Api(NamedTuple):
    """A chat model of LangChain's, made for the address of a gateway, and what is said to it there."""

    name: str
    said: str
    make: Callable[..., Any]

    @override
    def __str__(self) -> str:
        return self.name


def _openai(address: str, *, model: str = "support", responses: bool = False) -> Any:
    return langchain_openai.ChatOpenAI(
        model=model,
        base_url=f"{address}/v1",
        api_key="unused",
        max_retries=0,
        use_responses_api=responses,
        stream_usage=True,
    )


def _responses(address: str, *, model: str = "support") -> Any:
    return _openai(address, model=model, responses=True)


def _anthropic(address: str, *, model: str = "drafting") -> Any:
    return langchain_anthropic.ChatAnthropic(
        model=model, base_url=address, api_key="unused", max_tokens=64, max_retries=0
    )


_APIS: Final = (
    Api("chat", "alpha says: all is well.", _openai),
    Api("responses", "alpha says: all is well.", _responses),
    Api("messages", "gamma says: all is well.", _anthropic),
)


@pytest.fixture(params=_APIS, ids=str)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API."""
    found: Api = request.param
    return found


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


def test_invoke(demo: str, api: Api) -> None:
    """A whole answer has the words and the usage."""
    answer = api.make(demo).invoke([("system", "Be brief."), ("human", "hello")])

    assert answer.text == api.said
    assert answer.usage_metadata["output_tokens"] == 5


def test_stream(demo: str, api: Api) -> None:
    """A stream comes in pieces that add up to the words and the usage."""
    pieces = list(api.make(demo).stream("hello"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece

    assert [piece.text for piece in pieces if piece.text] == [
        f"{word} " for word in api.said.split()[:-1]
    ] + ["well."]
    assert whole.text == api.said
    assert whole.usage_metadata["output_tokens"] == 5


@pytest.mark.anyio
async def test_asynchronous_streams(demo: str) -> None:
    """The asynchronous streams have the same words. One loop runs all, since models share connections."""
    models = [api.make(demo) for api in _APIS]
    try:
        for api, model in zip(_APIS, models, strict=True):
            assert "".join([piece.text async for piece in model.astream("hello")]) == api.said
    finally:
        for model in models:
            await (getattr(model, "root_async_client", None) or model._async_client).close()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_message_sent_back(able: str, api: Api, streamed: bool) -> None:
    """A bound tool is called, its message is sent back after the call, and the answer is in words."""
    model = api.make(able).bind_tools([weather])
    turns: list[Any] = [messages.HumanMessage("hello")]
    if streamed:
        pieces = list(model.stream(turns))
        called = pieces[0]
        for piece in pieces[1:]:
            called += piece
    else:
        called = model.invoke(turns)
    [call] = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})

    turns += [called, messages.ToolMessage(weather(**call["args"]), tool_call_id=call["id"])]
    assert model.invoke(turns).text == api.said


def test_structured_output_by_a_tool(able: str, api: Api) -> None:
    """A type is asked for as a tool, and comes as an object."""
    model = api.make(able).with_structured_output(City, method="function_calling")

    assert model.invoke("hello") == City(city="Paris")


def test_structured_output_by_a_schema(demo: str, api: Api) -> None:
    """A type is asked for as the format of the answer, and comes as an object."""
    model = api.make(demo).with_structured_output(City, method="json_schema")

    assert model.invoke("hello") == City(city=api.said)


def test_an_unknown_model_is_not_found(demo: str, api: Api) -> None:
    """A name that no pool serves raises the SDK's NotFoundError, which says so."""
    with pytest.raises(Exception, match=r"There is no model of this name: nope\.") as raised:
        api.make(demo, model="nope").invoke("hello")

    assert "NotFoundError" in [kind.__name__ for kind in type(raised.value).__mro__]


def test_embeddings(demo: str) -> None:
    """Texts have vectors, the same one for the same text."""
    model = langchain_openai.OpenAIEmbeddings(
        model="support",
        base_url=f"{demo}/v1",
        api_key="unused",
        check_embedding_ctx_length=False,  # it would count tokens by a table that it downloads
    )

    first, second = model.embed_documents(["a", "b"])
    assert model.embed_query("a") == first != second
