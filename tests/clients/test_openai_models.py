"""Models, embeddings and errors, by the openai SDK."""

from __future__ import annotations

import openai
import pytest

__all__: list[str] = []


def test_the_models_are_the_pools(gpt: openai.OpenAI) -> None:
    """The list of models has the names that pools serve, and each can be asked for."""
    names = [model.id for model in gpt.models.list()]

    assert names == ["support"]
    assert [gpt.models.retrieve(name).id for name in names] == names


def test_embeddings(gpt: openai.OpenAI) -> None:
    """Each text has a vector, the same one as base64, which the SDK asks for by itself, and as numbers."""
    packed = gpt.embeddings.create(model="support", input=["a", "b"])
    plain = gpt.embeddings.create(model="support", input="a", encoding_format="float")

    assert [each.index for each in packed.data] == [0, 1]
    assert packed.data[0].embedding == plain.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unknown_model_is_not_found(gpt: openai.OpenAI, streamed: bool) -> None:
    """A name that no pool serves raises NotFoundError, which says so, in every API."""
    with pytest.raises(openai.NotFoundError) as chat:
        gpt.chat.completions.create(
            model="nope", messages=[{"role": "user", "content": "x"}], stream=streamed
        )
    with pytest.raises(openai.NotFoundError) as responses:
        gpt.responses.create(model="nope", input="x", stream=streamed)
    with pytest.raises(openai.NotFoundError) as embeddings:
        gpt.embeddings.create(model="nope", input="x")
    with pytest.raises(openai.NotFoundError) as models:
        gpt.models.retrieve("nope")

    for raised in (chat, responses, embeddings, models):
        assert "There is no model of this name: nope." in str(raised.value)
        assert (raised.value.code, raised.value.type) == ("unknown_model", "invalid_request_error")
        assert raised.value.request_id
    assert chat.value.param == "model"


def test_a_model_of_another_dialect_is_a_bad_request(gpt: openai.OpenAI) -> None:
    """A pool of the Anthropic dialect alone raises BadRequestError, which names the field."""
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.chat.completions.create(model="drafting", messages=[{"role": "user", "content": "x"}])

    assert "This model is not served at this path: drafting (call /v1/messages)." in str(raised.value)
    assert (raised.value.code, raised.value.param) == ("operation_not_supported", "model")


def test_a_body_of_the_wrong_shape_is_a_bad_request(gpt: openai.OpenAI) -> None:
    """A body that the path does not take raises BadRequestError, which names the field."""
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.chat.completions.create(model="support", messages=[], extra_body={"messages": "hello"})

    assert "A field has the wrong type or is out of range: messages must be a list." in str(raised.value)
    assert (raised.value.code, raised.value.param) == ("invalid_value", "messages")


def test_a_path_that_is_not_served_is_not_found(gpt: openai.OpenAI) -> None:
    """A method of the SDK that the gateway has no path for raises NotFoundError, which says so."""
    with pytest.raises(openai.NotFoundError) as raised:
        gpt.files.list()

    assert "There is no such path." in str(raised.value)
    assert raised.value.code == "unknown_route"
