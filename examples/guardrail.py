"""Personal data that does not leave the EU: redacted on the way to other providers, restored in the answer.

The program needs nothing beside it. It runs a gateway in a Starlette application and two simulated
providers, one in the EU and one in the US, and asks the same question twice: first the provider in the EU
answers, then it is down. It prints what each provider saw and what the caller got.

    python examples/guardrail.py
"""

from __future__ import annotations

import asyncio
import logging

import httpx2
from openai import AsyncOpenAI
from standby.proxy import Gateway
from standby.proxy.config import parse_routes
from standby.proxy.rehearsal.simulator import Received, Simulator, Status
from starlette.applications import Starlette

ROUTES = """\
stack = ["guardrails", "route_select", "failover"]

[providers]
paris = {{ dialect = "openai", base_url = "{paris}", region = "eu" }}
boston = {{ dialect = "openai", base_url = "{boston}", region = "us" }}

[targets]
near = {{ provider = "paris", model = "large" }}
far = {{ provider = "boston", model = "large" }}

[pools.support]
prefer = ["near"]
alternates = [{{ target = "far", for = ["outage"] }}]

[guardrails]
rules = [
  {{ kind = "personal_data", action = "redact", restore = true, when = {{ region = "!eu" }} }},
]
"""


def question(request: Received) -> str:
    """Returns the text that a provider was sent."""
    return str(request.json["messages"][-1]["content"])


def words(request: Received) -> tuple[str, ...]:
    """Answer as a model would that has read the question: it repeats the address, in pieces."""
    address = question(request).split()[2]
    half = len(address) // 2
    return "I wrote to ", address[:half], address[half:], " just now."


async def ask(client: AsyncOpenAI) -> None:
    """Ask, and print the answer."""
    stream = await client.chat.completions.create(
        model="support",
        messages=[{"role": "user", "content": "Write to ann@example.com please"}],
        stream=True,
    )
    pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    print(f"  the caller got   {''.join(pieces)}")


async def main() -> None:
    """Ask the gateway while the provider in the EU is up, and again while it is down."""
    async with Simulator("paris", words=words) as paris, Simulator("boston", words=words) as boston:
        gateway = Gateway(parse_routes(ROUTES.format(paris=paris.url, boston=boston.url)))
        host = Starlette()
        host.mount("/llm", gateway)
        transport = httpx2.ASGITransport(host)
        async with gateway, httpx2.AsyncClient(transport=transport) as http:
            client = AsyncOpenAI(base_url="http://host/llm/v1", api_key="unused", http_client=http)
            print("The provider in the EU answers:")
            await ask(client)
            print(f"  paris saw        {question(paris.requests[-1])}")
            paris.fault = Status(503)
            print("The provider in the EU is down:")
            await ask(client)
            print(f"  boston saw       {question(boston.requests[-1])}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # what the gateway says of the provider that is down
    asyncio.run(main())
