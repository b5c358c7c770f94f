"""What stands in an acceptance test: a gateway with two providers, and whoever speaks to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from standby.proxy.config import Routes, parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import Health
from standby.proxy.rehearsal.simulator import Fault, Simulator, Stall
from typing_extensions import override

from tests.acceptance.clients import Api, Raw, Recorded, Sdks, raw_client
from tests.acceptance.serving import Front

__all__ = ["FIRST_TOKEN", "Forgetful", "Scene", "patience", "routes", "said_by", "scene"]

FIRST_TOKEN: Final = 0.5
"""Seconds until the first content, in a pool that says nothing else."""


def patience(fault: Fault) -> str:
    """The limit for the first token where every provider has this fault: short where nothing comes from any.

    Nobody's answer is awaited then, so that no machine is too slow for it.
    """
    return "100ms" if isinstance(fault, Stall) else f"{FIRST_TOKEN}s"


_PROVIDER: Final = """
[providers.{provider}]
dialect = "{dialect}"
base_url = "{url}"
key = "env:{provider}"
headers = {{ x-told-by-operator = "{provider}" }}

[targets.{target}]
provider = "{provider}"
model = "model-of-{target}"
connections = {connections}
"""
_POOL: Final = """
[pools.{model}]
prefer = {targets}
timeouts = {timeouts}
{pool}
"""


def routes(*urls: str, connections: int = 100, pool: str = "", **timeouts: str) -> Routes:
    """Two pools over the same providers in the same order: "gpt" speaks OpenAI, "claude" Anthropic.

    The first provider is alpha, or alpha_claude for Anthropic, with a target of the same name and a secret.
    `pool` is TOML, for both.
    """
    limits = {"first_token": "500ms", "stall": "5s", **timeouts}
    table = "{ " + ", ".join(f'{name} = "{limit}"' for name, limit in limits.items()) + " }"
    text = 'stack = ["failover"]\n'
    environ: dict[str, str] = {}
    for model, dialect, suffix in (("gpt", "openai", ""), ("claude", "anthropic", "_claude")):
        names = [name + suffix for name, _ in zip(("alpha", "beta", "gamma"), urls, strict=False)]
        for name, url in zip(names, urls, strict=True):
            environ[name] = f"secret-of-{name}"
            text += _PROVIDER.format(
                provider=name, target=name, dialect=dialect, url=url, connections=connections
            )
        text += _POOL.format(model=model, targets=str(names).replace("'", '"'), timeouts=table, pool=pool)
    return parse_routes(text, environ=environ)


class Forgetful(Health):
    """The health of targets that are always tried, so that every request meets the fault."""

    @override
    def rejection(self, target: str, credential: str, operation: str) -> None:
        return None


@dataclass
class Scene:
    """A gateway behind `front`, with `alpha` before `beta`."""

    front: Front
    gateway: Gateway
    alpha: Simulator
    beta: Simulator
    sdks: Sdks
    raw: Raw

    def forget(self) -> None:
        """Forget what is known of the targets' health."""
        self.gateway.health = Health()

    def forgetful(self) -> None:
        """Try every target again and again, whatever it did."""
        self.gateway.health = Forgetful()


async def said_by(provider: Simulator, api: Api, *, stream: bool) -> Recorded:
    """What a provider itself says to the request that the gateway would send it."""
    suffix = "_claude" if api.name == "messages" else ""
    async with raw_client(provider.origin) as direct:
        return await direct.ask(api, stream=stream, model=f"model-of-{provider.name}{suffix}")


@asynccontextmanager
async def scene(
    front: Front,
    *,
    urls: Sequence[str] | None = None,
    connections: int = 100,
    retries: int = 0,
    pool: str = "",
    **timeouts: str,
) -> AsyncGenerator[Scene]:
    """Two simulators and a gateway in front of them, or of `urls`; all of it ends with the block."""
    async with Simulator("alpha") as alpha, Simulator("beta") as beta:
        known = routes(*(urls or (alpha.url, beta.url)), connections=connections, pool=pool, **timeouts)
        async with (
            Gateway(known) as gateway,
            Sdks(front.origin, retries=retries) as sdks,
            raw_client(front.origin) as raw,
        ):
            front.app = gateway
            front.exchanges.clear()
            try:
                yield Scene(front, gateway, alpha, beta, sdks, raw)
            finally:
                front.app = None
