"""What stands where keys are asked for: a provider in the EU before one in the US, a key for each rule."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests
from standby.proxy.rehearsal.simulator import Simulator

from tests.acceptance.clients import Raw, Sdks, raw_client
from tests.acceptance.scene import Forgetful
from tests.acceptance.serving import Front

__all__ = ["EUROPEAN", "FREE", "LOYAL", "NARROW", "AuthSetup", "auth_setup"]

FREE: Final = "sk-standby-canary-free"
EUROPEAN: Final = "sk-standby-canary-european"
LOYAL: Final = "sk-standby-canary-loyal"
NARROW: Final = "sk-standby-canary-narrow"

_PROVIDER: Final = """
[providers.{name}{suffix}]
dialect = "{dialect}"
base_url = "{url}"
region = "{region}"
[targets.{name}{suffix}]
provider = "{name}{suffix}"
model = "model-of-{name}"
"""
_REST: Final = f"""
[pools.gpt]
prefer = ["alpha"]
alternates = [{{ target = "beta", for = ["outage", "slow", "rate_limited", "context", "refused"] }}]
timeouts = {{ first_token = "LIMIT", stall = "5s" }}
[pools.claude]
prefer = ["alpha_claude", "beta_claude"]
timeouts = {{ first_token = "LIMIT", stall = "5s" }}
[pools.secret]
prefer = ["beta"]
[organisations.union]
regions = ["eu"]
[teams.paris]
organisation = "union"
[keys.free]
hash = "{digests(FREE)[0]}"
pools = ["*"]
[keys.european]
hash = "{digests(EUROPEAN)[0]}"
pools = ["gpt", "claude"]
team = "paris"
[keys.loyal]
hash = "{digests(LOYAL)[0]}"
pools = ["gpt", "claude"]
providers = ["alpha", "alpha_claude"]
[keys.narrow]
hash = "{digests(NARROW)[0]}"
pools = ["gpt", "claude"]
"""


@dataclass
class AuthSetup:
    """A gateway behind `front` that asks for keys, with `alpha` (EU) before `beta` (US)."""

    front: Front
    gateway: Gateway
    alpha: Simulator
    beta: Simulator
    raw: Raw

    def sdks(self, key: str) -> Sdks:
        """The official SDKs, with this key."""
        return Sdks(self.front.origin, key=key)

    def forgetful(self) -> None:
        """Try every target again and again, whatever it did."""
        self.gateway.health = Forgetful()


@asynccontextmanager
async def auth_setup(
    front: Front, *, store: str = "memory:", first_token: str = "500ms", alpha_url: str | None = None
) -> AsyncGenerator[AuthSetup]:
    """Two simulators and a gateway in front of them; all of it ends with the block."""
    async with Simulator("alpha") as alpha, Simulator("beta") as beta:
        text = f'stack = ["auth", "failover"]\nstore = "{store}"\n'
        for provider, url, region in ((alpha, alpha_url or alpha.url, "eu"), (beta, beta.url, "us")):
            for dialect, suffix in (("openai", ""), ("anthropic", "_claude")):
                text += _PROVIDER.format(
                    name=provider.name, suffix=suffix, dialect=dialect, url=url, region=region
                )
        known = parse_routes(text + _REST.replace("LIMIT", first_token), environ={})
        async with Gateway(known) as gateway, raw_client(front.origin) as raw:
            front.app = gateway
            try:
                yield AuthSetup(front, gateway, alpha, beta, raw)
            finally:
                front.app = None
