"""What a request leaves for the garbage collector: nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import chunk, virtual_time
from tests.proxy.telemetry.traced import Spans

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

TRACED = 'stack = ["trace", "route_select", "failover"]'


def _good(scene: Scene) -> None:
    scene["a"].say(chunk("good"), DONE)


def _fails(scene: Scene) -> None:
    scene["a"].say(b"{}", status=500, headers=())


def _stalls(scene: Scene) -> None:
    scene["a"].say(5.0, chunk("late"), DONE)


def _refuses(scene: Scene) -> None:
    for name in "ab":
        scene[name].say(b'{"error": {"message": "no"}}', status=400, headers=())


@pytest.mark.parametrize(
    ("script", "settings"),
    [
        (_good, {}),
        (_good, {"top": 'stack = ["failover"]'}),
        (_fails, {}),
        (_refuses, {}),
        (_stalls, {"pool": 'hedge = { after = "1s", share = 0.5 }'}),
        (_fails, {"pool": 'hedge = { after = "1s", share = 0.5 }'}),
        (_fails, {"tables": "[failover]\nretries = 1\nmax_attempts = 3"}),
        (_fails, {"top": TRACED, "tables": "[trace]\nsample = 1.0"}),
        (_good, {"top": TRACED, "tables": "[trace]\nsample = 0.0"}),
        (_fails, {"top": TRACED, "tables": "[trace]\nsample = 0.0", "target": "propagate = true"}),
    ],
    ids=[
        "answered",
        "without route_select",
        "failover",
        "refused",
        "hedged",
        "hedge in time",
        "retries",
        "traced",
        "not traced",
        "traced in the end",
    ],
)
async def test_a_request_is_freed_when_it_ends(
    script: Callable[[Scene], None], settings: dict[str, str]
) -> None:
    """No objects of a request refer to each other in a cycle, which would keep them until a collection."""
    scene = Scene(2, **settings)
    spans = Spans(scene.gateway) if "trace" in scene.gateway.routes.stack else None
    scene.on_loop_time()
    gc.disable()
    try:
        for _ in range(5):
            script(scene)
            await scene.ask()
        scene.exchanges.clear()
        gc.collect()
        for _ in range(5):
            script(scene)
            await scene.ask()
        scene.exchanges.clear()
        if spans is not None:
            spans.take()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [item for item in gc.garbage if type(item).__module__.startswith("standby.")]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
