"""Tokens are booked whether or not anybody tells them, and callers see what they asked for (case 12)."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import orjson
import pytest
from standby.proxy.rehearsal.simulator import Content, Reports, Simulator, Stall

from tests.acceptance.money import CARDS, shop
from tests.acceptance.serving import Front
from tests.chaos.caller import PATHS, CallResult, Path

__all__: list[str] = []

pytestmark = pytest.mark.anyio


def events(result: CallResult) -> list[dict[str, Any]]:
    """The documents of a stream."""
    lines = [
        line for line in result.body.split(b"\n") if line.startswith(b"data: ") and b"[DONE]" not in line
    ]
    return [orjson.loads(line[6:]) for line in lines]


async def direct_answer(provider: Simulator, result: CallResult) -> bytes:
    """What the provider itself says to the same request, to whoever asks it directly."""
    document = {**result.asked.document, "model": f"model-of-{provider.name}"}
    body = orjson.dumps(document)
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    head = f"POST {result.asked.path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    raw = await reader.read()
    writer.close()
    _, _, chunked = raw.partition(b"\r\n\r\n")
    return b"".join(chunked.split(b"\r\n")[1::2])


@pytest.mark.parametrize("include_usage", [None, False, True])
async def test_the_caller_sees_the_usage_it_asked_for(front: Front, include_usage: bool | None) -> None:
    """A chat that did not ask sees no usage; one that did sees it; both are booked."""
    async with shop(front) as counted:
        result = await counted.ask(streamed=True, include_usage=include_usage)
        assert result.whole
        usages = [each for each in events(result) if each.get("usage")]
        assert len(usages) == (1 if include_usage else 0)
        assert all("choices" in each and (each["choices"] or include_usage) for each in events(result))
        assert result.body.endswith(b"data: [DONE]\n\n")
        [entry] = await counted.settled()
        [(_, line)] = counted.billed()
        assert (entry.source, entry.input, entry.output) == ("provider", line.input, line.output)
        assert entry.cost == counted.due()


async def test_a_stream_is_as_if_nobody_had_asked(front: Front) -> None:
    """The provider's stream reaches the caller with as many events as it would without a gateway."""
    async with shop(front) as counted:
        result = await counted.ask(streamed=True)
        direct = await direct_answer(counted.alpha, result)
        assert [each["choices"] for each in events(result)] == [
            orjson.loads(line[6:])["choices"]
            for line in direct.split(b"\n")
            if line.startswith(b"data: ") and b"[DONE]" not in line
        ]
        assert not any(each.get("usage") for each in events(result))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reports", get_args(Reports))
async def test_however_a_provider_tells_it_is_booked(
    front: Front, reports: Reports, path: Path, streamed: bool
) -> None:
    """Told usage is booked to the token; untold usage is estimated, marked so, and never too low."""
    async with shop(front) as counted:
        counted.alpha.reports = reports
        result = await counted.ask(path, streamed=streamed)
        assert (result.status, result.whole) == (200, True)
        [entry] = await counted.settled()
        [(_, line)] = counted.billed()
        if line.reported:
            assert (entry.source, entry.input, entry.output) == ("provider", line.input, line.output)
            assert entry.cost == counted.due()
        else:
            assert entry.source == "estimated"
            assert entry.input >= line.input
            assert entry.output >= line.output
            assert (entry.cost or 0) >= counted.due()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reports", get_args(Reports))
async def test_a_hang_up_books_what_was_seen(front: Front, path: Path, reports: Reports) -> None:
    """A caller who leaves in the middle pays for the input and for what had been generated, at the least."""
    async with shop(front, timeouts='{ first_token = "20s", stall = "20s" }') as counted:
        counted.alpha.reports = reports
        counted.alpha.fault = Stall(after=Content(3))
        call = asyncio.create_task(counted.ask(path, streamed=True))
        await counted.alpha.wait_for(lambda: bool(counted.alpha.bill) and counted.alpha.bill[-1].output == 3)
        await asyncio.sleep(0.02)  # on its way through the gateway
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await counted.alpha.wait_for(lambda: counted.alpha.bill[-1].aborted)
        [entry] = await counted.settled()
        [(_, line)] = counted.billed()
        assert line.output == 3
        assert entry.outcome == "client_gone"
        assert (entry.cost or 0) >= CARDS["alpha"].cost(line.input, line.output)
