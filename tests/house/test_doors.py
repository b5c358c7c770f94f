"""The two doors: the names people import, and how they call what is behind them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from inspect import Parameter, signature

import pytest
from standby import middlewares, proxy
from standby.middlewares import Auth, Budget, Failover, Guardrails, RouteSelect, Trace
from standby.proxy import Gateway

__all__: list[str] = []


def arguments(make: Callable[..., object]) -> list[str]:
    """The arguments of a constructor; those that only go by keyword with a colon."""
    return [
        f"{name}:" if each.kind is Parameter.KEYWORD_ONLY else name
        for name, each in signature(make).parameters.items()
    ]


def test_the_doors_open_to_these_names() -> None:
    """All else may move again without a deprecation."""
    assert proxy.__all__ == ["Gateway"]
    assert middlewares.__all__ == ["Auth", "Budget", "Failover", "Guardrails", "RouteSelect", "Trace"]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Gateway, ["routes"]),
        (Auth, ["app", "pepper:", "on_store_error:", "principal:", "store:", "routes:", "clock:", "now:"]),
        (
            Budget,
            ["app", "mode:", "charge:", "assume_output:", "unheard:", "on_store_error:", "escrow:", "store:"],
        ),
        (Guardrails, ["app", "rules:", "hold:", "max_answer:", "external:"]),
        (RouteSelect, ["app"]),
        (Trace, ["app", "sample:", "keep:", "endpoint:", "metrics:", "service:", "provider:", "chance:"]),
        (Failover, ["app", "max_attempts:", "deadline:", "retries:", "first_token:", "targets:", "chance:"]),
    ],
)
def test_what_is_behind_them_is_called_so(make: Callable[..., object], names: list[str]) -> None:
    """Their arguments are kept."""
    assert arguments(make) == names


@pytest.mark.parametrize("door", ["proxy", "middlewares"])
def test_a_door_brings_nothing_that_is_not_asked_for(door: str) -> None:
    """Who imports one file of a package does not load the others; what is not there is not found."""
    code = f"""
import sys
import standby.{door}
print(sorted(name for name in sys.modules if name.startswith("standby.")))
try:
    standby.{door}.Nothing
except AttributeError as error:
    print(error)
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    missing = f"module 'standby.{door}' has no attribute 'Nothing'"
    assert printed.splitlines() == [f"['standby.{door}']", missing]
