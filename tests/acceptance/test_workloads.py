"""Outages are rarely clean: each leaves part of a provider well, and only that part must be used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import openai
import orjson
import pytest
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests
from standby.proxy.rehearsal.simulator import Simulator, Slow, Status

from tests.acceptance.clients import CHAT, Raw, Recorded, Sdks, raw_client
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

TENANTS: Final = {"bank": "sk-standby-canary-bank", "shop": "sk-standby-canary-shop"}
TOOLS: Final = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CHEAP: Final = 'price = { input = "0.10", output = "0.10" }'
DEAR: Final = 'price = { input = "9.00", output = "9.00" }'


@asynccontextmanager
async def workload(
    front: Front,
    alpha: Simulator,
    beta: Simulator,
    pool: str,
    *,
    first: str = "",
    second: str = "",
    keys: str = "",
) -> AsyncGenerator[Raw]:
    """A gateway with RouteSelect, `alpha` in the EU and `beta` in the US. The rest is TOML of tables."""
    text = f"""
stack = ["auth", "budget", "route_select", "failover"]
[providers.alpha]
dialect = "openai"
base_url = "{alpha.url}"
region = "eu"
[providers.beta]
dialect = "openai"
base_url = "{beta.url}"
region = "us"
[targets.alpha]
provider = "alpha"
model = "m"
{first}
[targets.beta]
provider = "beta"
model = "m"
{second}
[pools.gpt]
{pool}
timeouts = {{ first_token = "20s" }}
[keys.bank]
hash = "{digests(TENANTS["bank"])[0]}"
pools = ["gpt"]
{keys}
[keys.shop]
hash = "{digests(TENANTS["shop"])[0]}"
pools = ["gpt"]
"""
    async with Gateway(parse_routes(text, environ={})) as gateway, raw_client(front.origin) as raw:
        front.app = gateway
        try:
            yield raw
        finally:
            front.app = None


async def ask(raw: Raw, tenant: str = "shop", **fields: Any) -> Recorded:
    """One request of a tenant."""
    return await raw.ask(CHAT, stream=False, headers={"x-api-key": TENANTS[tenant]}, **fields)


async def test_one_tenant_is_rate_limited(front: Front, alpha: Simulator, beta: Simulator) -> None:
    """It gets 429 with Retry-After, the others are served by the same target, and no target rests for it."""
    limits = "limits = { requests_per_minute = 1 }"
    async with workload(front, alpha, beta, 'prefer = ["alpha"]', keys=limits) as raw:
        assert (await ask(raw, "bank")).status == 200
        refused = await ask(raw, "bank")
        assert (refused.status, refused.header("x-standby-limit")) == (429, "key/bank requests_per_minute")
        assert int(refused.header("retry-after") or 0) > 0
        assert [(await ask(raw)).header("x-standby-target") for _ in range(5)] == ["alpha"] * 5
        assert beta.accepted == 0


async def test_chat_is_well_while_embeddings_fail(front: Front, alpha: Simulator, beta: Simulator) -> None:
    """Embeddings move to the alternate, and rest their operation alone: chat stays where it was."""
    pool = 'prefer = ["alpha"]\nalternates = [{ target = "beta", for = ["outage"] }]'
    alpha.fault = lambda request: Status(500) if request.path.endswith("/embeddings") else None
    async with workload(front, alpha, beta, pool), Sdks(front.origin, key=TENANTS["shop"]) as sdks:
        for _ in range(7):
            await sdks.openai.embeddings.create(model="gpt", input="Hello.")
            assert await sdks.say(CHAT, stream=True) == "alpha says: all is well."
        paths = [request.path for request in alpha.requests]
        assert paths.count("/v1/chat/completions") == 7
        assert paths.count("/v1/embeddings") == 5  # then its breaker is open
        assert len(beta.requests) == 7


async def test_a_region_at_capacity(front: Front, alpha: Simulator, beta: Simulator) -> None:
    """While every connection to a target is in use, the next request goes to the other region at once."""
    release = asyncio.Event()

    async def wait(seconds: float) -> None:
        await release.wait()

    alpha.fault, alpha.sleep = Slow(1, after=None), wait
    async with workload(front, alpha, beta, 'prefer = ["alpha", "beta"]', first="connections = 1") as raw:
        held = asyncio.create_task(ask(raw))
        await alpha.wait_for(lambda: len(alpha.requests) == 1)
        second = await ask(raw)
        release.set()
        assert (second.header("x-standby-target"), second.header("x-standby-degraded")) == (
            "beta",
            "limit.concurrency",
        )
        assert (await held).header("x-standby-target") == "alpha"


async def test_a_fallback_that_is_wrong_for_the_workload(
    front: Front, alpha: Simulator, beta: Simulator
) -> None:
    """It is reachable and cheap, but it has no tools: requests with tools never reach it, others do."""
    pool = 'prefer = ["alpha"]\nalternates = [{ target = "beta", for = ["outage"] }]'
    alpha.fault = Status(500)
    async with workload(front, alpha, beta, pool, second='can = ["chat", "stream"]') as raw:
        answer = await ask(raw, tools=TOOLS)
        assert answer.status == 502
        assert orjson.loads(answer.body)["error"]["attempts"] == [
            {"target": "alpha", "fault": "upstream_5xx"},
            {"target": "beta", "fault": "capability.tools"},
        ]
        assert beta.accepted == 0
        assert (await ask(raw)).header("x-standby-target") == "beta"


async def test_a_regulated_tenant_stays_in_its_region(
    front: Front, alpha: Simulator, beta: Simulator
) -> None:
    """Also when the other region is cheaper and well. With its own down: 503, the reasons, and not a byte."""
    pool = 'prefer = ["alpha", "beta"]\nbalance = "cheapest"'
    async with workload(front, alpha, beta, pool, first=DEAR, second=CHEAP, keys='regions = ["eu"]') as raw:
        assert (await ask(raw, "bank")).header("x-standby-target") == "alpha"
        assert beta.accepted == 0
        await alpha.down()
        assert [(await ask(raw, "bank")).status for _ in range(5)] == [503] * 5
        failed = await ask(raw, "bank")
        assert failed.status == 503
        alpha_s, beta_s = orjson.loads(failed.body)["error"]["attempts"]
        assert alpha_s in (  # while all rest, one request a second may try one of them
            {"target": "alpha", "fault": "health.breaker_open"},
            {"target": "alpha", "fault": "connect"},
        )
        assert beta_s == {"target": "beta", "fault": "policy.residency"}
        assert beta.accepted == 0
        assert (await ask(raw)).header("x-standby-target") == "beta"


async def test_quality_comes_before_the_order_of_the_file(
    front: Front, alpha: Simulator, beta: Simulator
) -> None:
    """With `degrade` a target below the pool's quality answers only when the alternate does not."""
    pool = """
prefer = ["alpha"]
alternates = [{ target = "beta", for = ["outage"] }]
min_quality = 20
when_exhausted = "degrade"
"""
    async with workload(front, alpha, beta, pool, first="quality = 10", second="quality = 50") as raw:
        answer = await ask(raw)
        assert (answer.header("x-standby-target"), answer.header("x-standby-degraded")) == (
            "beta",
            "policy.quality",
        )
        beta.fault = Status(500)
        assert (await ask(raw)).header("x-standby-target") == "alpha"


async def test_an_outage_of_every_region_is_said_once(
    front: Front, alpha: Simulator, beta: Simulator
) -> None:
    """The official SDK raises one error and does not ask again."""
    await alpha.down()
    await beta.down()
    async with (
        workload(front, alpha, beta, 'prefer = ["alpha", "beta"]'),
        Sdks(front.origin, key=TENANTS["shop"], retries=2) as sdks,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await sdks.say(CHAT, stream=True)
        assert (caught.value.status_code, len(sdks.answers)) == (503, 1)
