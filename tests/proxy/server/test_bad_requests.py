"""The matrix of bad input, byte for byte over a socket, under both parsers."""

from __future__ import annotations

import pytest

from tests.proxy.server.rows import ROWS
from tests.proxy.server.wire import Served

__all__: list[str] = []


@pytest.mark.parametrize(("sent", "status", "code"), ROWS)
def test_a_bad_request_gets_its_status_and_code(served: Served, sent: bytes, status: int, code: str) -> None:
    """Each bad request gets its documented answer, the same with both parsers, and never reaches the app."""
    answer = served.ask(sent)

    assert (answer.status, answer.code) == (status, code)
    assert served.recorder.arrived == []
    [request_id] = answer.header("x-standby-request-id")
    assert answer.header("x-request-id") + answer.header("request-id") == [request_id]
    assert answer.json.get("request_id", answer.json["error"].get("request_id")) == request_id
    assert answer.header("x-should-retry") == ["false"]
    assert answer.header("connection") == ["close"]
