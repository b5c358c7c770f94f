"""A probe whose caller hangs up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from standby.proxy.health.target_health import CLOSE_AFTER, TRIP

from .gateway import Served, routes, served
from .process import Settings
from .provider import Line, Provider
from .soak_request import Moment, SoakRequest
from .words import number_in

__all__: list[str] = []

pytestmark = pytest.mark.anyio

HASTE: Final = 100.0
"""A breaker's first rest, 5 s, is over in 50 ms."""
FAILURE: Final = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


async def _ask(gateway: Served, sent: SoakRequest) -> None:
    caller = await gateway.caller()
    await sent.run(caller)
    caller.hang_up()


async def test_a_probe_whose_caller_hangs_up_makes_room_for_the_next(tmp_path: Path) -> None:
    """After a breaker's rest the caller of the one probe may hang up at any moment: the next request is a
    probe again, and the breaker neither opens anew nor closes by it."""
    moments: tuple[Moment, ...] = ("waiting", "headers", "content")
    sent_requests = [SoakRequest(number) for number in range(TRIP)]
    sent_requests += [SoakRequest(TRIP + i, leaves=moment) for i, moment in enumerate(moments)]
    sent_requests += [SoakRequest(TRIP + len(moments) + i) for i in range(CLOSE_AFTER)]

    def answer(line: Line, body: bytes) -> None:
        if (number := number_in(body)) < TRIP:
            line.end(FAILURE)
        else:
            sent_requests[number].answer(line)

    async with (
        Provider(answer).serving() as provider,
        served(Settings(haste=HASTE), routes(provider.url), tmp_path) as gateway,
    ):
        for sent in sent_requests[:TRIP]:
            await _ask(gateway, sent)
        for sent in sent_requests[TRIP:]:
            await gateway.until(lambda now: now.idle and not now.resting and not now.probing)
            await _ask(gateway, sent)
            if sent.leaves is not None:
                assert (await gateway.until(lambda now: now.idle)).marked == 1
        assert [sent.outcome for sent in sent_requests[TRIP:]] == 3 * ["dropped"] + CLOSE_AFTER * ["whole"]
        after = await gateway.until(lambda now: now.idle)
        assert provider.asked == len(sent_requests)
        assert after.faults == {"upstream_5xx": TRIP}
        assert after.probing == 0
        assert after.marked == 0
