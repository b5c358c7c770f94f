"""Gateways with guardrails and scripted providers."""

from __future__ import annotations

import json
from typing import Any, Final

from standby.proxy.exchange import Exchange

from tests.middlewares.scene import DONE, URL, Scene
from tests.proxy.harness import Caller, chunk

__all__ = [
    "AWAY",
    "JSON",
    "KEY",
    "MAIL",
    "STACK",
    "guarded",
    "regions",
    "results",
    "said",
    "sent",
    "spoken",
    "streamed",
]

STACK: Final = 'stack = ["guardrails", "budget", "route_select", "failover"]'
KEY: Final = "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6"
MAIL: Final = "ann@example.com"
JSON: Final = ((b"content-type", b"application/json"),)


def guarded(*rules: str, more: str = "", **settings: str) -> Scene:
    """A gateway with these rules, each the inside of a table."""
    listed = ",\n".join(f"{{ {rule} }}" for rule in rules)
    tables, top = settings.pop("tables", ""), settings.pop("top", STACK)
    return Scene(2, top=top, tables=f"[guardrails]\n{more}\nrules = [\n{listed}\n]\n{tables}", **settings)


def said(*messages: object) -> list[dict[str, object]]:
    """User turns with these contents."""
    return [{"role": "user", "content": content} for content in messages]


def sent(scene: Scene, name: str = "a") -> Any:
    """What the provider of this target was sent last."""
    return json.loads(scene[name].bodies[-1])


def spoken(caller: Caller) -> str:
    """The text of a streamed answer."""
    text = ""
    for line in caller.body.split(b"\n"):
        event: Any = json.loads(line[6:]) if line.startswith(b"data: {") and line.endswith(b"}") else {}
        for choice in event.get("choices", ()):
            content = choice["delta"].get("content")
            text += content if isinstance(content, str) else ""
    return text


def results(exchange: Exchange) -> list[tuple[str, str, str]]:
    """Rule, stage and outcome of everything that guardrails decided."""
    return [(result.rule, result.stage, result.outcome) for result in exchange.guardrails]


AWAY: Final = 'kind = "personal_data", when = { region = "!eu" }'


def regions(*rules: str, **settings: str) -> Scene:
    """A gateway whose target "a" is in the EU, and "b" is not."""
    others = [
        f'[providers.{region}]\ndialect = "openai"\nbase_url = "{URL}"\nregion = "{region}"'
        for region in ("eu", "us")
    ]
    scene = guarded(*rules, tables="\n".join(others), **settings)
    for name, target in scene.gateway.routes.targets.items():
        object.__setattr__(target.provider, "region", {"a": "eu", "b": "us"}[name])
    return scene


def streamed(scene: Scene, *pieces: str, name: str = "a") -> None:
    """Let a provider stream these pieces of text."""
    finish = chunk(delta={}, index=0, finish_reason="stop")
    scene[name].say(*[chunk(piece) for piece in pieces], finish, DONE)
