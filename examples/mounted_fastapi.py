"""The gateway inside a FastAPI application: both SDKs reach it under /llm, all other paths are the host's.

Run it in a folder with a `routes.toml`, and list the models:

    python examples/mounted_fastapi.py
    curl http://127.0.0.1:8000/llm/v1/models
"""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI
from standby.proxy import Gateway

gateway = Gateway("routes.toml")
app = FastAPI(lifespan=gateway.lifespan)  # closes the connections to providers when the host stops
app.mount("/llm", gateway)


@app.get("/")
async def home() -> dict[str, list[str]]:
    """Return the names that an application may send as `model`."""
    return {"models": [name for pool in gateway.routes.pools.values() for name in pool.serves]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
