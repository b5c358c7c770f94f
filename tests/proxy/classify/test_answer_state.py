"""Tests of the table of an answer's states."""

from __future__ import annotations

import re
from itertools import product

import pytest
from standby.proxy.classify import answer_state
from standby.proxy.classify.answer_state import (
    COMPLETE_STATES,
    TRANSITIONS,
    VERDICTS,
    AnswerState,
    Cue,
    Verdict,
)

__all__: list[str] = []


def test_the_table_that_people_read() -> None:
    """The table in the docstring is the one that holds."""
    written: dict[tuple[AnswerState, Cue], AnswerState] = {}
    for line in (answer_state.__doc__ or "").splitlines():
        words = re.findall(r"\b[A-Z]{4,}\b", line)
        if line.startswith("    ") and words and words[0] in AnswerState.__members__:
            pairs = zip(Cue, words[1:], strict=False)
            written |= {(AnswerState[words[0]], cue): AnswerState[word] for cue, word in pairs}
    stays = {pair: after for pair, after in written.items() if pair[0] is after}
    assert stays == {(AnswerState.GOOD, Cue.PROOF): AnswerState.GOOD}
    assert {pair: after for pair, after in written.items() if pair not in stays} == TRANSITIONS


@pytest.mark.parametrize(("state", "cue"), list(product(AnswerState, Cue)))
def test_what_was_sent_stays_sent(state: AnswerState, cue: Cue) -> None:
    """A committed answer stays committed, and one that has ended stays as it is."""
    after = TRANSITIONS.get((state, cue), state)
    if VERDICTS[state] is not Verdict.HOLD:
        assert VERDICTS[after] is VERDICTS[state]
    if state not in {AnswerState.UNDECIDED, AnswerState.GOOD}:
        assert after is state
    assert state not in COMPLETE_STATES or after in COMPLETE_STATES
