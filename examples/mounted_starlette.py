"""The gateway inside a Starlette application that has its own lifespan.

Run it in a folder with a `routes.toml`, and list the models:

    python examples/mounted_starlette.py
    curl http://127.0.0.1:8000/llm/v1/models
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from standby.proxy import Gateway
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

gateway = Gateway("routes.toml")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Start and stop the host's own resources, and close the gateway at the end."""
    app.state.greeting = "The gateway is at /llm/v1"
    async with gateway:  # a mounted app gets no lifespan events; this closes its connections
        yield


async def home(request: Request) -> PlainTextResponse:
    """Answer a path of the host."""
    return PlainTextResponse(request.app.state.greeting)


app = Starlette(routes=[Route("/", home), Mount("/llm", gateway)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
