"""Tests of withholding a late error event, for callers of `Answer` that can react in another way."""

from __future__ import annotations

from typing import Final

import pytest
from standby.proxy.asgi import Headers
from standby.proxy.classify.answer import Answer, Verdict

from tests.proxy.streams import SPOKEN, Spoken

__all__: list[str] = []

SSE: Final[Headers] = ((b"content-type", b"text/event-stream"),)
JSON: Final[Headers] = ((b"content-type", b"application/json"),)


@pytest.fixture(params=[*SPOKEN.values()], ids=[*SPOKEN])
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Each of the streamed dialects."""
    spoken: Spoken = request.param
    return spoken


def committed(spoken: Spoken, *, withholds: bool) -> Answer:
    """An answer that has received its first content."""
    answer = Answer(spoken.operation, streamed=True)
    answer.withholds = withholds
    answer.start(200, SSE)
    answer.feed(b"".join(spoken.preamble) + spoken.content[0])
    assert answer.verdict is Verdict.COMMIT
    return answer


def test_nothing_of_it_is_ripe(spoken: Spoken) -> None:
    """The events before it in the chunk are relayed; the error event itself is in `withheld`."""
    for before in (b"", spoken.content[0], spoken.content[0] * 2):
        answer = committed(spoken, withholds=True)
        answer.feed(before + spoken.refused + spoken.content[0])
        assert (answer.cut, answer.ended) == (len(before), True)
        assert answer.withheld.strip() == spoken.refused.strip()
        assert answer.withheld.startswith(b"\n\n")
        assert answer.fault is not None


def test_in_two_pieces(spoken: Spoken) -> None:
    """The same for a chunk boundary at any place."""
    for cut in range(1, len(spoken.refused)):
        answer = committed(spoken, withholds=True)
        answer.feed(spoken.refused[:cut])
        assert answer.cut == 0
        answer.feed(spoken.refused[cut:])
        assert (answer.cut, answer.withheld.strip()) == (0, spoken.refused.strip())


def test_unless_it_is_asked_for(spoken: Spoken) -> None:
    """Without `withholds`, the error event is relayed unchanged."""
    answer = committed(spoken, withholds=False)
    answer.feed(spoken.refused)
    assert (answer.cut, answer.withheld) == (len(spoken.refused), b"")


def test_a_good_end_is_not_kept_back(spoken: Spoken) -> None:
    """An error event before commit is part of the fault, so nothing is withheld."""
    answer = committed(spoken, withholds=True)
    answer.feed(spoken.finish + spoken.done)
    assert (answer.cut, answer.complete, answer.withheld) == (len(spoken.finish + spoken.done), True, b"")


@pytest.mark.parametrize(
    ("headers", "fits"), [(SSE, True), (JSON, False), ((*SSE, (b"content-encoding", b"gzip")), False)]
)
def test_only_a_plain_stream(headers: Headers, fits: bool) -> None:
    """With `plain`, an answer to which no event can be added is a fault; error answers are read as usual."""
    answer = Answer(SPOKEN["chat"].operation, streamed=True, plain=True)
    assert (answer.start(200, headers) is Verdict.HOLD) is fits
    answer = Answer(SPOKEN["chat"].operation, streamed=True, plain=True)
    assert answer.start(429, JSON) is Verdict.HOLD
    answer.end()
    assert answer.fault is not None
    assert answer.fault.kind == "rate_limited"
