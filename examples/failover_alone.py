"""Failover alone, around an application that uses nothing else of Standby.

The application is a proxy of its own. It forwards a request to one region, which Failover chooses, and
streams the answer back. If a region refuses, fails or takes too long, the next one is tried, and the caller
sees nothing of the failure. To run it with two simulated regions:

    python -m standby.proxy.rehearsal.simulator --name paris --port 9001
    python -m standby.proxy.rehearsal.simulator --name dublin --port 9002
    python examples/failover_alone.py
    curl http://127.0.0.1:8000/v1/embeddings -d '{"model": "any", "input": "hello"}'
"""

from __future__ import annotations

import os

import httpx2
import uvicorn
from standby.middlewares import Failover
from standby.proxy.exchange import Attempt
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

REGIONS = {
    "paris": os.environ.get("PARIS_URL", "http://127.0.0.1:9001"),
    "dublin": os.environ.get("DUBLIN_URL", "http://127.0.0.1:9002"),
}
client = httpx2.AsyncClient(timeout=None)  # Failover has the timeouts


async def forward(request: Request) -> StreamingResponse:
    """Send the request to the region of this attempt."""
    attempt = Attempt.of(request.scope)
    region = attempt.candidate.name if attempt else "paris"
    url = REGIONS[region] + request.url.path
    answer = await client.send(client.build_request("POST", url, content=await request.body()), stream=True)
    return StreamingResponse(
        answer.aiter_bytes(),
        answer.status_code,
        {"content-type": answer.headers["content-type"], "x-region": region},
        background=BackgroundTask(answer.aclose),
    )


app = Failover(
    Starlette(routes=[Route("/v1/{path:path}", forward, methods=["POST"])]),
    targets=tuple(REGIONS),
    first_token=float(os.environ.get("PATIENCE", "15")),  # seconds
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
