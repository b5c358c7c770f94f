"""Tests of reading the end of a JSON document whose beginning is missing."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.classify.answer import MAX_READ, Answer
from standby.proxy.classify.json_tail import json_tail
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        (b'.5]}],"model":"e","usage":{"prompt_tokens":3}}', {"model": "e", "usage": {"prompt_tokens": 3}}),
        (
            b'.5]}], "usage" : {"prompt_tokens": 3}, "model": "e"}',
            {"model": "e", "usage": {"prompt_tokens": 3}},
        ),
        (b'"usage":{"a":1},"usage":{"b":2}}', {"usage": {"b": 2}}),
        (b'"usage":null}', {}),
        (b'"usage":{"a":', {}),
        (rb'"text":"\"usage\":{\"a\":1}"}', {}),
        (b"\xff\xfe", {}),
        (b"", {}),
    ],
)
def test_what_the_end_says(tail: bytes, found: object) -> None:
    """The last complete usage and model are returned; text inside strings is ignored."""
    assert json_tail(tail) == found


@given(tail=st.binary() | st.text(st.sampled_from('"usage:{}[],\\model 1')).map(str.encode))
def test_any_end(tail: bytes) -> None:
    """No input raises an error."""
    assert json_tail(tail).keys() <= {"model", "usage"}


@pytest.mark.parametrize("length", [997, 65_536, 10**9])
def test_the_usage_of_a_long_answer(length: int) -> None:
    """The usage of an answer too long to be kept is read from its end, for any chunks."""
    data = [{"embedding": [0.25] * 1_536} for _ in range(200)]
    usage = {"prompt_tokens": 900, "total_tokens": 900}
    body = orjson.dumps({"object": "list", "data": data, "model": "e-1", "usage": usage})
    assert len(body) > MAX_READ
    answer = Answer(operation_named("embeddings"), streamed=False)
    answer.start(200, ((b"content-type", b"application/json"),))
    for at in range(0, len(body), length):
        answer.feed(body[at : at + length])
    answer.end()
    assert answer.complete
    assert answer.reader is not None
    assert (answer.reader.usage, answer.reader.model) == (Usage(900, 0), "e-1")
