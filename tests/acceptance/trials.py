"""One trial: a hundred requests while the first provider has one fault, and what must be true of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from standby.proxy.rehearsal.simulator import Simulator

from tests.acceptance.batch import Batch, send_batch
from tests.acceptance.clients import CHAT, Api
from tests.acceptance.faults import REFUSED, LlmockFault, before_content, first_token_limit
from tests.acceptance.llmock_process import Llmock
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front, bound

__all__ = ["Trial", "against_llmock", "between_simulators", "simulator_before_llmock"]


class Trial:
    """A batch of requests for `api` through the SDK, and what it was sent."""

    def __init__(self, api: Api, *, stream: bool, good: str, mark: str, bad: str) -> None:
        self.api = api
        self.stream = stream
        self.good = good  # what the second provider says
        self.mark = mark  # in every answer of the second provider
        self.bad = bad  # in everything that the first provider says
        self.batch = Batch()

    async def run(self, set_up: Scene) -> None:
        """Send the batch."""
        self.batch = await send_batch(
            lambda prompt: set_up.sdks.say(self.api, stream=self.stream, prompt=prompt)
        )
        self.wire = set_up.sdks.answers

    def check(self, size: int = 100) -> None:
        """Everybody got the second provider's answer and no byte of the first's."""
        assert self.batch.answers == {self.good: size}, self.batch.answers
        assert len(self.wire) == size, len(self.wire)
        assert [answer.status for answer in self.wire] == [200] * size
        assert all(self.mark.encode() in answer.body for answer in self.wire)
        assert not any(self.bad.encode() in answer.whole for answer in self.wire)


@asynccontextmanager
async def against_llmock(
    front: Front,
    mocks: tuple[Llmock, ...],
    fault: LlmockFault | None,
    *,
    stream: bool,
    first_token: str | None = None,
) -> AsyncGenerator[tuple[Trial, Scene]]:
    """One llmock before the other; `fault` None means that nobody listens where the first should be."""
    first, second = mocks
    second.behave()
    if fault is not None:
        behaviour = dict(fault.behaviour)
        first.behave({**behaviour, "message": first.mark} if behaviour["type"] == "fail" else behaviour)
    trial = Trial(CHAT, stream=stream, good=second.words, mark=second.mark, bad=first.mark)
    limit = first_token_limit(fault.name if fault is not None else REFUSED)
    with bound() as held:
        url = first.url if fault is not None else f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        async with scene(front, urls=(url, second.url), first_token=first_token or limit) as set_up:
            yield trial, set_up


@asynccontextmanager
async def simulator_before_llmock(
    front: Front, mocks: tuple[Llmock, ...], name: str, *, stream: bool, first_token: str | None = None
) -> AsyncGenerator[tuple[Trial, Scene]]:
    """A simulator before llmock, for what llmock cannot be told."""
    second = mocks[1]
    second.behave()
    async with Simulator("alpha") as alpha:
        alpha.fault = before_content(name)
        trial = Trial(CHAT, stream=stream, good=second.words, mark=second.mark, bad=alpha.canary)
        async with scene(
            front, urls=(alpha.url, second.url), first_token=first_token or first_token_limit(name)
        ) as set_up:
            yield trial, set_up


@asynccontextmanager
async def between_simulators(
    front: Front, api: Api, name: str, *, stream: bool, first_token: str | None = None
) -> AsyncGenerator[tuple[Trial, Scene]]:
    """A simulator before a simulator."""
    async with scene(front, first_token=first_token or first_token_limit(name)) as set_up:
        if name == REFUSED:
            await set_up.alpha.down()
        set_up.alpha.fault = before_content(name)
        good = "beta says: all is well."
        yield Trial(api, stream=stream, good=good, mark=set_up.beta.canary, bad=set_up.alpha.canary), set_up
