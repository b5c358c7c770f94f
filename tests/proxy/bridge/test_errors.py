"""Tests of a provider's error in the caller's format."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import anthropic
import httpx2
import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.bridge.errors import error_document
from standby.proxy.dialects import chat, messages, responses
from standby.proxy.dialects.base import Signal
from standby.proxy.dialects.json_values import is_list, is_object, within

from tests.acceptance.vendor_answers import Case, cases
from tests.proxy.bridge.conversations import json_values, texts

__all__: list[str] = []

Json: TypeAlias = dict[str, Any]

DIALECTS: Final = ("openai", "anthropic")
STATUSES: Final = (400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def well_formed(document: Json, dialect: str) -> str:
    """The message of an error, after its members were checked."""
    error = document["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    if dialect == "anthropic":
        assert document.keys() == {"type", "error", "request_id"}
        assert document["type"] == "error"
        assert document["request_id"] == "req_1"
        assert error.keys() == {"type", "message"}
        assert isinstance(error["type"], str)
    else:
        assert document.keys() == {"error"}
        assert error.keys() == {"message", "type", "param", "code"}
        assert isinstance(error["type"], str)
        assert error["param"] is None or isinstance(error["param"], str)
        assert error["code"] is None or isinstance(error["code"], str)
    return str(error["message"])


def said(body: object) -> str | None:
    """The message in a recorded body."""
    if is_list(body) and body:
        body = body[0]
    error = within(body, "error") or body
    message = within(error, "message") if is_object(error) else error
    return message if isinstance(message, str) and message else None


FAILED: Final = tuple(case for case in cases("faults") if case["status"] >= 400 and case.get("body"))


@each_dialect
@pytest.mark.parametrize("case", FAILED, ids=lambda case: str(case["name"]))
def test_recorded_errors(case: Case, dialect: str) -> None:
    """A vendor's error is in the caller's format, with the vendor's own message."""
    document = error_document(case["body"], case["status"], dialect, "req_1")

    message = well_formed(document, dialect)
    if (words := said(case["body"])) is not None:
        assert message == words[:2_000]
    readers = (
        (messages.MessagesReader,) if dialect == "anthropic" else (chat.ChatReader, responses.ResponsesReader)
    )
    for reader in readers:
        assert reader().document(document) is Signal.ERROR


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_types_of_anthropic(status: int, kind: str) -> None:
    """The status decides about Anthropic's type, since other vendors have other types."""
    document = error_document({"error": {"message": "no", "type": "x"}}, status, "anthropic", "req_1")

    assert document == {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_1"}


def test_the_members_of_openai() -> None:
    """OpenAI's error has the provider's own type, code and field."""
    error = {"message": "no", "type": "t", "code": "c", "param": "p", "more": 1}

    document = error_document({"error": error}, 400, "openai", "req_1")

    assert document == {"error": {"message": "no", "type": "t", "code": "c", "param": "p"}}


@each_dialect
@pytest.mark.parametrize("value", [None, [], {}, "", 5, {"error": {}}, {"error": {"message": 5}}, [[]], "x"])
def test_an_error_without_words(value: object, dialect: str) -> None:
    """An error without a message has one that names the status."""
    message = well_formed(error_document(value, 418, dialect, "req_1"), dialect)

    assert message == "x" if value == "x" else "418" in message


def test_a_long_message_is_cut() -> None:
    """Of a message at most 2,000 characters are passed on."""
    document = error_document({"error": {"message": "ü" * 9_000}}, 400, "openai", "req_1")

    assert document["error"]["message"] == "ü" * 2_000


NAMES: Final = ("error", "message", "type", "code", "param", "detail")
errors = st.recursive(
    json_values,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@each_dialect
@given(errors | texts, st.sampled_from(STATUSES))
@settings(max_examples=80, deadline=None)
def test_any_json_is_an_error(dialect: str, value: object, status: int) -> None:
    """Whatever JSON a provider sends with an error status, the caller gets an error of its own format."""
    document = error_document(value, status, dialect, "req_1")

    well_formed(document, dialect)
    assert orjson.loads(orjson.dumps(document)) == document


def test_the_sdks_read_the_messages() -> None:
    """The official SDKs show the provider's message and code."""
    body = {"error": {"message": "Too much.", "type": "t", "code": "context_length_exceeded"}}
    one = error_document(body, 400, "openai", "req_1")
    other = error_document(body, 400, "anthropic", "req_1")

    def answer(document: Json) -> httpx2.Client:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(400, json=document))
        return httpx2.Client(transport=transport)

    with (
        answer(one) as client,
        openai.OpenAI(api_key="k", http_client=client) as sdk,
        pytest.raises(openai.BadRequestError, match=r"Too much\.") as seen,
    ):
        sdk.models.list()
    with (
        answer(other) as client,
        anthropic.Anthropic(api_key="k", http_client=client) as also,
        pytest.raises(anthropic.BadRequestError, match=r"Too much\.") as shown,
    ):
        also.models.list()

    assert seen.value.code == "context_length_exceeded"
    assert shown.value.body == other
