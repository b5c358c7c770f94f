"""Agents of pydantic-ai while another dialect answers. Skipped where it is not installed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Any, Final, NamedTuple

import pytest
from typing_extensions import override

from tests.clients.bridged_demo import BOTH, SAID
from tests.clients.bridging import Pair
from tests.clients.weather import City

__all__: list[str] = []

pytest_plugins = ("tests.clients.bridge_scenes",)

pytestmark = pytest.mark.anyio

pydantic_ai: Any = pytest.importorskip("pydantic_ai", exc_type=ImportError)
openai_models: Any = pytest.importorskip("pydantic_ai.models.openai", exc_type=ImportError)
openai_providers: Any = pytest.importorskip("pydantic_ai.providers.openai", exc_type=ImportError)
anthropic_models: Any = pytest.importorskip("pydantic_ai.models.anthropic", exc_type=ImportError)
anthropic_providers: Any = pytest.importorskip("pydantic_ai.providers.anthropic", exc_type=ImportError)
profiles: Any = pytest.importorskip("pydantic_ai.profiles", exc_type=ImportError)
openai: Any = pytest.importorskip("openai", exc_type=ImportError)
anthropic: Any = pytest.importorskip("anthropic", exc_type=ImportError)


class Api(NamedTuple):
    """A model of pydantic-ai's, made for a client of the vendor's SDK, and how that is made."""

    name: str
    client: Callable[[str], Any]
    model: Callable[[Any], Any]

    @override
    def __str__(self) -> str:
        return self.name


def _openai(address: str) -> Any:
    return openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0)


def _anthropic(address: str) -> Any:
    return anthropic.AsyncAnthropic(base_url=address, api_key="unused", max_retries=0)


def _chat(client: Any) -> Any:
    provider = openai_providers.OpenAIProvider(openai_client=client)
    return openai_models.OpenAIChatModel("support", provider=provider)


def _responses(client: Any) -> Any:
    provider = openai_providers.OpenAIProvider(openai_client=client)
    return openai_models.OpenAIResponsesModel("support", provider=provider)


def _messages(client: Any) -> Any:
    provider = anthropic_providers.AnthropicProvider(anthropic_client=client)
    # What the model of an unknown name is able to do.
    profile = profiles.ModelProfile(supports_json_schema_output=True)
    return anthropic_models.AnthropicModel("drafting", provider=provider, profile=profile)


_APIS: Final = (
    Api("chat", _openai, _chat),
    Api("responses", _openai, _responses),
    Api("messages", _anthropic, _messages),
)


@pytest.fixture(params=_APIS, ids=str)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API."""
    found: Api = request.param
    return found


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run(bridge: Pair, api: Api, streamed: bool) -> None:
    """A run has the same words, parts and end, and its model says who answered."""
    native = await _run(api, bridge.native, "hello", streamed=streamed)
    found = await _run(api, bridge.translated, "hello", streamed=streamed)

    assert found["parts"] == native["parts"] == [[("text", SAID)]]
    assert found["output"] == native["output"] == SAID
    assert (found["finish"], found["tokens"]) == (native["finish"], native["tokens"])
    assert found["models"] == [bridge.drafting if api.name == "messages" else bridge.support]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("words", "calls"), [("hello", 1), (BOTH, 2)])
async def test_tools(bridge: Pair, api: Api, words: str, calls: int, streamed: bool) -> None:
    """Tools are called with the same arguments, one or two at once, and the run ends in the same words."""
    options = {"tools": [weather]}
    native = await _run(api, bridge.native, words, streamed=streamed, **options)
    found = await _run(api, bridge.translated, words, streamed=streamed, **options)

    assert {**found, "models": None} == {**native, "models": None}
    cities = ["Paris", "Oslo"][:calls]
    assert [part for part in found["parts"][0] if part[0] == "tool-call"] == [
        ("tool-call", "weather", {"city": city}) for city in cities
    ]
    assert found["output"] == SAID


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("by", ["ToolOutput", "NativeOutput"])
async def test_structured_output(bridge: Pair, api: Api, by: str, streamed: bool) -> None:
    """A type, asked for as a tool or as the format of the answer, comes as the same object."""
    wanted = getattr(pydantic_ai, by)(City)
    native = await _run(api, bridge.native, "hello", streamed=streamed, output_type=wanted)
    found = await _run(api, bridge.translated, "hello", streamed=streamed, output_type=wanted)

    assert {**found, "models": None} == {**native, "models": None}
    assert found["output"] == City(city="Paris" if by == "ToolOutput" else SAID)


async def _run(api: Api, address: str, words: str, *, streamed: bool, **options: Any) -> dict[str, Any]:
    """What a run comes to: the output, and all answers of the model."""
    deltas: list[str] = []

    async def hear(_: object, events: AsyncIterable[Any]) -> None:
        deltas.extend([event.event_kind async for event in events])

    async with api.client(address) as client:
        agent = pydantic_ai.Agent(api.model(client), instructions="Be brief.", **options)
        run = await agent.run(words, event_stream_handler=hear if streamed else None)
    assert ("part_delta" in deltas) == streamed
    output, turns = run.output, run.all_messages()
    answers = [turn for turn in turns if turn.kind == "response"]
    return {
        "output": output,
        "parts": [[_part(part) for part in answer.parts] for answer in answers],
        "finish": [answer.finish_reason for answer in answers],
        "tokens": [answer.usage.output_tokens for answer in answers],
        "models": [answer.model_name for answer in answers],
    }


def _part(part: Any) -> tuple[Any, ...]:
    if part.part_kind == "tool-call":
        return part.part_kind, part.tool_name, part.args_as_dict()
    return part.part_kind, part.content
