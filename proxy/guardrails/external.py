"""Rules that somebody else decides: a webhook, or a function of the operator's."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import httpx2
import orjson

from ..config import imported
from ..dialects.json_values import is_list
from ..exchange import Exchange
from .rules import Rule, Stage

__all__ = ["Call", "External", "Undecided", "Verdict"]

_log: Final = logging.getLogger("standby.guardrails")

_FAILURES: Final = 5
"""Failures in a row after which a webhook is not asked for a while."""
_PAUSE: Final = 10.0  # seconds; then one call tries again
_THREAD: Final = "standby-guardrail"
_MOST_THREADS: Final = 64
"""Threads in which functions run at once. Those of functions that hang are never free again."""
_MOST_READ: Final = 8 * 1024 * 1024  # bytes of an answer; redacted texts may be as long as what was sent


class Undecided(Exception):
    """A rule gave no verdict: it could not be asked, or its answer is none."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a rule is asked. `target` is the name of the target that the texts go to, or None for any."""

    rule: str
    stage: Stage
    texts: tuple[str, ...]
    request_id: str
    pool: str | None
    key: str | None
    target: str | None

    @classmethod
    def of(
        cls, rule: Rule, stage: Stage, texts: Sequence[str], exchange: Exchange, target: str | None
    ) -> Call:
        """What `rule` is asked about these texts of a request, or of its answer."""
        pool, principal = exchange.pool, exchange.principal
        return cls(
            rule.name,
            stage,
            tuple(texts),
            exchange.id,
            None if pool is None else pool.name,
            None if principal is None else principal.name("key"),
            target,
        )


Verdict: TypeAlias = "bool | Sequence[str] | None"
"""True or None to allow, False to forbid, or the texts to go on with, as many as were given."""


@dataclass(eq=False)
class External:
    """Asks webhooks and functions. Raises Undecided if there is no verdict in time."""

    clock: Callable[[], float] = time.monotonic
    transport: httpx2.AsyncBaseTransport | None = None
    _client: httpx2.AsyncClient | None = field(default=None, init=False, repr=False)
    _failures: dict[str, int] = field(default_factory=dict[str, int], init=False, repr=False)
    _paused_until: dict[str, float] = field(default_factory=dict[str, float], init=False, repr=False)

    async def ask(self, rule: Rule, call: Call) -> bool | list[str]:
        """Returns the verdict of `rule`, of kind `webhook` or `callable`: True to allow, False to forbid, or
        the texts to go on with."""
        if not call.texts:
            return True
        name, body = rule.name, b""
        if rule.kind == "webhook":
            body = orjson.dumps(call)
            if len(body) > rule.max_body:  # says nothing of the webhook
                _log.warning("guardrail %s could not decide: the texts are longer than max_body", name)
                raise Undecided
        if (until := self._paused_until.get(name)) is not None:
            if self.clock() < until:
                raise Undecided
            self._paused_until[name] = self.clock() + _PAUSE  # this call alone tries
        try:
            async with asyncio.timeout(rule.timeout):
                verdict = await (self._post(rule, body) if rule.kind == "webhook" else _function(rule, call))
            checked = _checked(verdict, len(call.texts))
        except Exception as error:  # noqa: BLE001  whatever it is, there is no verdict
            self._failed(rule, error)
            raise Undecided from None
        self._failures.pop(name, None)
        self._paused_until.pop(name, None)
        return checked

    def inherit(self, before: External) -> None:
        """Take over which webhooks do not answer."""
        self._failures, self._paused_until = before._failures, before._paused_until

    async def aclose(self) -> None:
        """Close the connections. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _failed(self, rule: Rule, error: Exception) -> None:
        # The text of an error may quote what was sent.
        _log.warning("guardrail %s could not decide: %s", rule.name, type(error).__name__)
        failures = self._failures[rule.name] = self._failures.get(rule.name, 0) + 1
        if rule.kind == "webhook" and failures >= _FAILURES:
            self._paused_until[rule.name] = self.clock() + _PAUSE

    async def _post(self, rule: Rule, body: bytes) -> object:
        if rule.url is None:
            raise Undecided
        if self._client is None:
            self._client = httpx2.AsyncClient(transport=self.transport, follow_redirects=False)
        headers = {"content-type": "application/json"}
        parts: list[bytes] = []
        size = 0
        async with self._client.stream("POST", rule.url.reveal(), content=body, headers=headers) as response:
            if response.status_code != 200:
                raise Undecided
            async for part in response.aiter_bytes():
                size += len(part)
                if size > _MOST_READ:
                    raise Undecided
                parts.append(part)
        return _read(orjson.loads(b"".join(parts)))


async def _function(rule: Rule, call: Call) -> object:
    function: Callable[[Call], Any] = imported(rule.use or "")
    try:
        verdict = (
            function(call) if inspect.iscoroutinefunction(function) else await _in_thread(function, call)
        )
        return await verdict if inspect.isawaitable(verdict) else verdict
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Undecided from None  # the function's own


async def _in_thread(function: Callable[[Call], Any], call: Call) -> Any:
    """Call a function in a thread of its own, since it may take long. One that hangs does not keep the
    process from ending. Raises Undecided if too many are running."""
    if sum(thread.name == _THREAD for thread in threading.enumerate()) >= _MOST_THREADS:
        raise Undecided
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: bool) -> None:
        if not done.done():
            done.set_exception(Undecided()) if error else done.set_result(result)

    def run() -> None:
        try:
            result, error = function(call), False
        except BaseException as raised:  # noqa: BLE001  also what would end a thread or the process
            _log.debug("a guardrail's function raised %s", type(raised).__name__)
            result, error = None, True
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=_THREAD, daemon=True).start()
    return await done


def _read(answer: object) -> object:
    """Returns the verdict in a webhook's answer: {"action": "allow" | "block" | "redact", "texts": [...]}."""
    if not isinstance(answer, dict):
        raise Undecided
    fields = cast("dict[str, Any]", answer)
    action = fields.get("action")
    if action == "redact":
        texts = fields.get("texts")
        if not is_list(texts):
            raise Undecided
        return texts
    if action not in {"allow", "block"}:
        raise Undecided
    return action == "allow"


def _checked(verdict: object, texts: int) -> bool | list[str]:
    """Returns `verdict` if it is one about so many texts. Raises Undecided."""
    if verdict is None or isinstance(verdict, bool):
        return verdict is not False
    if not isinstance(verdict, list | tuple):
        raise Undecided
    given = cast("Sequence[object]", verdict)
    if len(given) != texts or not all(isinstance(each, str) for each in given):
        raise Undecided
    return list(cast("Sequence[str]", given))
