"""What one gateway reports of itself, alone or as one of several workers."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from typing import Any, Final, Self

from ..gateway import Gateway
from ..ops.conditions import Condition, conditions, of_event
from ..ops.gauges import gauges
from ..ops.status import merged_status, moment, status
from ..telemetry import names
from ..telemetry.exposition import merged
from ..telemetry.metrics import Sample, as_json, from_json
from ..telemetry.observer import log_pool_state
from .loop_lag import LoopLag
from .otel import OpenTelemetry
from .worker_board import WorkerBoard

__all__ = ["EVERY", "Reporting"]

_log: Final = logging.getLogger("standby.telemetry")

EVERY: Final = 1.0
"""Seconds between two reports to the other workers, and between two reviews of the pools' states."""


class Reporting:
    """Reports of `gateway`: metrics, status and conditions, while the context is entered.

    `board` has the reports of the other workers, None if there are none. `exports` are OpenTelemetry's,
    if there are any.
    """

    def __init__(
        self, gateway: Gateway, board: WorkerBoard | None = None, exports: OpenTelemetry | None = None
    ) -> None:
        self.gateway = gateway
        self.board = board or WorkerBoard(None)
        self.exports = exports
        self._lag = LoopLag()
        self._began = time.time()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._published: list[Sample] = []

    async def __aenter__(self) -> Self:
        await self._lag.__aenter__()
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._lag.__aexit__()
        await self._publish_once()
        self.board.close()

    # -- of this process --------------------------------------------------------------------

    def own_samples(self) -> list[Sample]:
        """Returns the metrics of this process."""
        gateway = self.gateway
        counted = [*gateway.metrics.samples(), *self._counted()]
        return [
            *counted,
            *gauges(gateway.routes, gateway.health, gateway.observer.pools),
            *gateway.observer.budgets.samples(time.time()),
            *self._in_progress(),
            Sample(names.EVENT_LOOP_LAG, (), self._lag.longest),
            Sample(names.RELOAD_FAILED, (), float(gateway.reload_failed is not None)),
        ]

    def own_conditions(self) -> list[Condition]:
        """Returns what is wrong in this process."""
        gateway, now = self.gateway, time.time()
        found = [*conditions(gateway.health, gateway.observer.pools, gateway.routes.pools, now)]
        return [*found, *map(of_event, gateway.observer.events.present(now))]

    def _counted(self) -> Iterator[Sample]:
        """Yields the counters that others keep."""
        decisions = self.gateway.observer.decisions
        yield Sample(names.DECISIONS_DROPPED, (), 0 if decisions is None else decisions.dropped)
        yield Sample(names.SPANS_DROPPED, (), 0 if self.exports is None else self.exports.spans_dropped)
        yield Sample(names.TRACES_NOT_KEPT, (), self.gateway.total("not_kept"))

    def _in_progress(self) -> Iterator[Sample]:
        gateway = self.gateway
        open_now = gateway.requests
        streams = sum(1 for each in open_now if each.streamed and each.responded and each.served)
        yield Sample(names.REQUESTS_OPEN, (), len(open_now))
        yield Sample(names.STREAMS_OPEN, (), streams)
        yield Sample(names.HOLDS, (), sum(1 for each in open_now if each.held))
        yield Sample(names.SETTLEMENTS_WAITING, (), gateway.total("settlements_waiting"))

    def _own_status(self) -> dict[str, Any]:
        gateway = self.gateway
        report = status(gateway.routes, gateway.health, gateway.observer.pools)
        failed = gateway.reload_failed
        report["config"] |= {
            "loaded": None if gateway.reloaded is None else moment(gateway.reloaded),
            "error": None if failed is None else str(failed),
        }
        return report

    def _report(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "began": self._began,
            "at": time.time(),
            "samples": as_json(self.own_samples()),
            "status": self._own_status(),
            "conditions": [list(condition) for condition in self.own_conditions()],
        }

    async def _publish(self) -> None:
        while True:
            await self._publish_once()
            await asyncio.sleep(EVERY)

    async def _publish_once(self) -> None:
        """Review the pools and leave a report. A failure is logged, the first in a row only."""
        gateway = self.gateway
        try:
            for state in gateway.observer.pools.review(gateway.routes.pools.values()):
                log_pool_state(state)
            report = self._report()
            await asyncio.to_thread(self.board.publish, report)
            self._published = from_json(report["samples"])
        except Exception as error:  # noqa: BLE001  the disk may be full; nothing of the gateway may stop for it
            if not self._failing:
                _log.warning("the report for the other workers cannot be written: %s", error)
            self._failing = True
        else:
            self._failing = False

    # -- of all workers ---------------------------------------------------------------------

    async def samples(self) -> list[Sample]:
        """Returns the metrics of all workers together. Of a worker that has ended, only what it counted.

        What is answered was published before: so no counter that another worker answers later is less.
        """
        await self._publish_once()
        reports = [self._published]
        for other in await asyncio.to_thread(self.board.others):
            samples = from_json(other["samples"])
            if not other["alive"]:
                samples = [sample for sample in samples if sample.metric.kind != "gauge"]
            reports.append(samples)
        return merged(reports)

    async def status(self) -> dict[str, Any]:
        """Returns the status of all workers together."""
        others = await asyncio.to_thread(self.board.others)
        alive = [other for other in others if other["alive"]]
        report = merged_status([self._own_status(), *(other["status"] for other in alive)])
        own = {"pid": os.getpid(), "began": moment(self._began)}
        workers = [own, *({"pid": other["pid"], "began": moment(other["began"])} for other in alive)]
        values: dict[str, float] = {}
        for sample in await self.samples():
            if not sample.labels and sample.metric.kind == "gauge":
                values[sample.metric.name] = sample.value
        return {**report, "workers": workers, "now": values}

    async def conditions(self) -> list[Condition]:
        """Returns what is wrong in any of the workers, the same condition once."""
        found = {condition.key: condition for condition in reversed(self.own_conditions())}
        for other in await asyncio.to_thread(self.board.others):
            if other["alive"]:
                for condition in map(Condition._make, other["conditions"]):
                    known = found.setdefault(condition.key, condition)
                    if condition.since < known.since:
                        found[condition.key] = condition
        return list(found.values())
