"""Sends alerts to the webhooks of `[alerts]`, from one of the workers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, Self

import httpx2

from ..config import Secret
from ..ops.alert_book import Alert, AlertBook
from ..ops.conditions import Condition
from ..telemetry import names
from .reporting import EVERY, Reporting

__all__ = ["WAITS", "Alerting"]

WAITS: Final = (1.0, 5.0, 30.0)
"""Seconds before each further try of a message that was not taken."""
_TIMEOUT: Final = 5.0
"""Seconds for one try."""
_MOST: Final = 100
"""Messages that may wait. Further ones are dropped and counted."""

_log: Final = logging.getLogger("standby.alerts")


class Alerting:
    """Decides every second which alerts fire or are resolved, logs and sends them, while it is entered.

    The settings are those of the gateway's current configuration; without `[alerts]` it does nothing.
    """

    def __init__(self, reporting: Reporting, *, waits: tuple[float, ...] = WAITS) -> None:
        self._reporting = reporting
        self._waits = waits
        self._book: AlertBook | None = None
        self._late = False  # the gateway has run without `[alerts]`
        self._messages: asyncio.Queue[Alert] = asyncio.Queue(_MOST)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._deliver())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        failing = False
        while True:
            try:
                await self.review(time.time())
                failing = False
            except Exception:  # noqa: BLE001  the first in a row is logged; the next look may work
                if not failing:
                    _log.exception("alerts could not be reviewed")
                failing = True
            await asyncio.sleep(EVERY)

    async def review(self, now: float) -> None:
        """Look once at what is wrong, and queue what is to be told. `now` is in seconds since 1970."""
        board, settings = self._reporting.board, self._reporting.gateway.routes.alerts
        if settings is None:
            self._book, self._late = None, True
            return
        if not await asyncio.to_thread(board.is_leader):
            return
        conditions = await self._reporting.conditions()
        book = self._book
        if book is None:
            book = self._book = AlertBook(settings.after, settings.resolve_after)
            kept = await asyncio.to_thread(board.kept_alerts)
            if kept is not None:
                book.resume(map(Condition._make, kept["firing"]), kept["told"])
            elif self._late:  # what happened before somebody wanted to be told
                book.resume((), [each.key for each in conditions if not each.lasting])
        book.after, book.resolve_after = settings.after, settings.resolve_after
        alerts = book.update(conditions, now)
        for alert in alerts:
            self._announce(alert)
        if alerts:
            known = {"firing": [list(condition) for condition in book.firing], "told": book.told}
            await asyncio.to_thread(board.keep_alerts, known)

    def _announce(self, alert: Alert) -> None:
        """Log an alert, and queue it for the webhooks."""
        if alert.status == "resolved":
            _log.info("resolved: %s", alert.condition.text)
        elif alert.condition.lasting:  # an event was logged by the request that met it
            _log.warning("firing: %s", alert.condition.text)
        try:
            self._messages.put_nowait(alert)
        except asyncio.QueueFull:
            self._count(alert, "dropped")

    async def _deliver(self) -> None:
        """Send what is queued, to both webhooks at the same time: a dead one must not delay the other."""
        async with httpx2.AsyncClient() as client:
            while True:
                alert = await self._messages.get()
                try:
                    await self._send_to_all(client, alert)
                except Exception:  # noqa: BLE001  logged; the next alert must be sent
                    _log.exception("the alert %s could not be sent", alert.condition.key)

    async def _send_to_all(self, client: httpx2.AsyncClient, alert: Alert) -> None:
        settings = self._reporting.gateway.routes.alerts
        if settings is None:
            return
        webhooks = ((settings.webhook, alert.as_json()), (settings.slack, alert.as_slack()))
        sent = [self._send(client, url, alert, content) for url, content in webhooks if url is not None]
        await asyncio.gather(*sent)

    async def _send(
        self, client: httpx2.AsyncClient, url: Secret, alert: Alert, content: dict[str, Any]
    ) -> None:
        """Send a message, again after a while if it was not taken."""
        for wait in (*self._waits, None):
            if await _post(client, url, content):
                self._count(alert, "sent")
                return
            if wait is not None:
                await asyncio.sleep(wait)
        self._count(alert, "failed")
        # The URL is a secret: whoever has it can post.
        _log.error("the alert %s could not be sent to %s", alert.condition.key, url.source)

    def _count(self, alert: Alert, result: str) -> None:
        self._reporting.gateway.metrics.count(names.ALERTS, (alert.condition.alert, result))


async def _post(client: httpx2.AsyncClient, url: Secret, content: dict[str, Any]) -> bool:
    """Post a message. Returns whether it was taken; of the answer only the status is read."""
    try:
        async with (
            asyncio.timeout(_TIMEOUT),
            client.stream("POST", url.reveal(), json=content) as response,
        ):
            return response.is_success
    except Exception:  # noqa: BLE001  a wrong URL raises anything; whatever it is, it was not taken
        return False
