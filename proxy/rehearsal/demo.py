"""The command `standby demo`: runs the gateway in front of three simulated providers.

Every answer of the providers contains their name. The gateway, its sockets and its decisions are real.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import Final, TextIO

import uvicorn

from ..config import parse_routes
from ..gateway import Gateway
from ..health.target_health import TRIP
from ..server import configuration
from .simulator import CUES, Simulator

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
alternates = [
  {{ target = "beta-large", for = ["outage", "slow", "rate_limited"] }},
  {{ target = "gamma-large", for = ["outage", "slow", "rate_limited"] }},
]
timeouts = {{ connect = "1s", first_token = "2s", stall = "2s" }}

[pools.drafting]
serves = ["drafting"]
prefer = ["gamma-large"]
timeouts = {{ connect = "1s", first_token = "2s", stall = "2s" }}
"""

_SCREEN: Final = """\
Standby listens on {url}
Three simulated providers: alpha and beta (OpenAI dialect), gamma (Anthropic dialect).
The pool "support" prefers alpha and may move to beta, then to gamma, for which requests are translated.
"drafting" has gamma alone.

Ask, whole and streamed. The words and the x-standby-* headers say who answers:

  curl -iw '\\n' {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "support", "messages": [{{"role": "user", "content": "hello"}}]}}'

  curl -iN {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "support", "stream": true, "messages": [{{"role": "user", "content": "hello"}}]}}'

Take alpha down, and ask again; the second line brings it back:

  curl {alpha}/_simulator/fault -d '{{"fault": "outage"}}'
  curl {alpha}/_simulator/fault -d '{{"fault": "ok"}}'

The same for beta: {beta}/_simulator/fault

Other faults: {faults}.
A provider that fails {trip} times in a row, or asks for a pause, rests for some seconds even after "ok".
Ctrl-C ends it all.
"""

_PACE: Final = 0.1
"""Seconds between the events of a stream, slow enough to watch them arrive."""


_GRACE: Final = 5
"""Seconds that answers in progress get after Ctrl-C. The pools' timeouts end each of them sooner."""


def demo(host: str, port: int, out: TextIO = sys.stdout) -> int:
    """Run until interrupted. Port 0 picks a free one. Returns the exit code, 1 if it cannot listen."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("standby").setLevel(logging.INFO)
    try:
        listener = socket.create_server((host, port), family=_family(host))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # the rest repeats the address
        print(f"cannot listen on {host}:{port}: {reason}", file=sys.stderr)
        return 1
    with listener:
        asyncio.run(run(listener, out))
    return 0


async def run(listener: socket.socket, out: TextIO) -> None:
    """Start the providers and the gateway, print how to call them, and serve until stopped."""
    async with (
        Simulator("alpha", pace=_PACE) as alpha,
        Simulator("beta", pace=_PACE) as beta,
        Simulator("gamma", pace=_PACE) as gamma,
    ):
        text = ROUTES.format(alpha=alpha.url, beta=beta.url, gamma=gamma.url)
        gateway = Gateway(parse_routes(text, "the demo's routes.toml"))
        # Requests before the server runs wait in the listener's queue.
        print(_screen(listener, alpha, beta), file=out, flush=True)
        config = configuration(gateway, graceful_seconds=_GRACE, log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listener])


def _screen(listener: socket.socket, alpha: Simulator, beta: Simulator) -> str:
    host, port = listener.getsockname()[:2]
    return _SCREEN.format(
        url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        alpha=alpha.origin,
        beta=beta.origin,
        faults=", ".join(cue for cue in CUES if cue not in {"ok", "outage"}),
        trip=TRIP,
    )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
