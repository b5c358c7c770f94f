"""The states of an answer while it arrives, and the table of their transitions. No I/O.

    state       on PROOF  on END    on DECLINE  on FAULT
    ---------   --------  --------  ----------  ---------
    UNDECIDED   GOOD      COMPLETE  DECLINED    FAILED      nothing is sent yet
    GOOD        GOOD      COMPLETE  COMPLETE    TRUNCATED   it is sent as it arrives
    COMPLETE                                                all of it has arrived
    DECLINED                                                all of it has arrived: the model refuses to answer
    FAILED                                                  nothing of it was sent
    TRUNCATED                                               it broke after a part of it was sent

In the last four nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["COMPLETE_STATES", "TRANSITIONS", "VERDICTS", "AnswerState", "Cue", "Verdict"]


class Verdict(Enum):
    """What to do with an attempt's answer: keep it buffered, send it on, or discard it as failed."""

    HOLD = "hold"
    COMMIT = "commit"
    FAULT = "fault"


class AnswerState(StrEnum):
    """The state of an answer; see the table above."""

    UNDECIDED = "undecided"
    GOOD = "good"
    COMPLETE = "complete"
    DECLINED = "declined"
    FAILED = "failed"
    TRUNCATED = "truncated"


class Cue(StrEnum):
    """What moves an answer to another state.

    PROOF: content, a tool call, a finish reason, or more than is held. END: the terminal marker, or the end
    of a body. DECLINE: the end of an answer without content whose finish reason is a refusal. FAULT: an
    error, a break, a timeout, or what is no answer.
    """

    PROOF = "proof"
    END = "end"
    DECLINE = "decline"
    FAULT = "fault"


TRANSITIONS: Final[Mapping[tuple[AnswerState, Cue], AnswerState]] = MappingProxyType(
    {
        (AnswerState.UNDECIDED, Cue.PROOF): AnswerState.GOOD,
        (AnswerState.UNDECIDED, Cue.END): AnswerState.COMPLETE,
        (AnswerState.UNDECIDED, Cue.DECLINE): AnswerState.DECLINED,
        (AnswerState.UNDECIDED, Cue.FAULT): AnswerState.FAILED,
        (AnswerState.GOOD, Cue.END): AnswerState.COMPLETE,
        (AnswerState.GOOD, Cue.DECLINE): AnswerState.COMPLETE,
        (AnswerState.GOOD, Cue.FAULT): AnswerState.TRUNCATED,
    }
)
"""The next state; a pair that is not here changes nothing."""

VERDICTS: Final[Mapping[AnswerState, Verdict]] = MappingProxyType(
    {
        AnswerState.UNDECIDED: Verdict.HOLD,
        AnswerState.GOOD: Verdict.COMMIT,
        AnswerState.COMPLETE: Verdict.COMMIT,
        AnswerState.DECLINED: Verdict.FAULT,
        AnswerState.FAILED: Verdict.FAULT,
        AnswerState.TRUNCATED: Verdict.COMMIT,
    }
)
"""The verdict in each state."""

COMPLETE_STATES: Final = frozenset({AnswerState.COMPLETE, AnswerState.DECLINED})
"""The states in which all of the answer has arrived."""
