"""`standby demo`: the gateway in front of three simulated providers, ready to be called and watched.

The providers are simulated, and say so in every answer; the gateway, its sockets and its decisions are real.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final, TextIO

import uvicorn

from ..config import Routes
from ..server import configuration
from ..stack import Gateway
from .simulator import Simulator

__all__ = ["ROUTES", "demo", "run"]

ROUTES: Final = """\
stack = ["failover"]

[providers.alpha]
dialect = "openai"
base_url = "{alpha}"
[providers.beta]
dialect = "openai"
base_url = "{beta}"
[providers.gamma]
dialect = "anthropic"
base_url = "{gamma}"

[targets.alpha-large]
provider = "alpha"
model = "large"
[targets.beta-large]
provider = "beta"
model = "large"
[targets.gamma-large]
provider = "gamma"
model = "large"

[pools.support]
serves = ["support"]
prefer = ["alpha-large"]
alternates = [{{ target = "beta-large", for = ["outage", "slow", "rate_limited"] }}]
timeouts = {{ connect = "1s", first_token = "2s", stall = "5s" }}

[pools.drafting]
serves = ["drafting"]
prefer = ["gamma-large"]
"""

_SCREEN: Final = """\
Standby listens on {url}
Three simulated providers: alpha and beta (OpenAI dialect), gamma (Anthropic dialect).
The pool "support" prefers alpha and may move to beta; "drafting" has gamma alone.

Ask, and see who answers (the words and the x-standby-* headers say it):

  curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "support", "messages": [{{"role": "user", "content": "hello"}}]}}'

  curl -iN {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "support", "stream": true, "messages": [{{"role": "user", "content": "hello"}}]}}'

Take alpha down, and ask again; the line after it brings alpha back:

  curl {alpha}/_simulator/fault -d '{{"fault": "outage"}}'
  curl {alpha}/_simulator/fault -d '{{"fault": "ok"}}'

Other faults: rate_limited, slow, stall, cut, empty, error_event, drip, html. Ctrl-C ends it all.
"""


def demo(host: str, port: int, out: TextIO = sys.stdout) -> int:
    """Run until interrupted. Returns the exit code."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("standby").setLevel(logging.INFO)
    asyncio.run(run(host, port, out))
    return 0


async def run(host: str, port: int, out: TextIO) -> None:
    """Start the providers and the gateway, say how to call them, and serve until the server is told to stop."""
    async with Simulator("alpha") as alpha, Simulator("beta") as beta, Simulator("gamma") as gamma:
        text = ROUTES.format(alpha=alpha.url, beta=beta.url, gamma=gamma.url)
        gateway = Gateway(Routes.parse(text, "the demo's routes.toml"))
        server = uvicorn.Server(configuration(gateway, host=host, port=port))
        screen = _SCREEN.format(url=f"http://{host}:{port}", alpha=alpha.origin)
        await _serve(server, screen, out)


async def _serve(server: uvicorn.Server, screen: str, out: TextIO) -> None:
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        print(screen, file=out, flush=True)
    await serving
