"""Rules that somebody else decides: a webhook, or a function of the operator's."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import httpx2
import orjson

from ..config import imported
from ..dialects.json_values import is_list
from .rules import Rule, Stage

__all__ = ["Call", "External", "Undecided", "Verdict"]

_log: Final = logging.getLogger("standby.guardrails")

_FAILURES: Final = 5
"""Failures in a row after which a webhook is not asked for a while."""
_REST: Final = 10.0  # seconds; then one call tries again
_THREADS: Final = 8
_MOST_READ: Final = 8 * 1024 * 1024  # bytes of an answer; redacted texts may be as long as what was sent


class Undecided(Exception):
    """A rule gave no verdict: it could not be asked, or its answer is none."""


class _TooLong(Undecided):
    """The texts are longer than a webhook is sent."""


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


Verdict: TypeAlias = "bool | Sequence[str] | None"
"""True or None to allow, False to forbid, or the texts to go on with, as many as were given."""


@dataclass(eq=False)
class External:
    """Asks webhooks and functions. Raises Undecided if there is no verdict in time."""

    clock: Callable[[], float] = time.monotonic
    transport: httpx2.AsyncBaseTransport | None = None
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, "standby-guardrail"), init=False, repr=False
    )
    _client: httpx2.AsyncClient | None = field(default=None, init=False, repr=False)
    _failures: dict[str, int] = field(default_factory=dict[str, int], init=False, repr=False)
    _resting: dict[str, float] = field(default_factory=dict[str, float], init=False, repr=False)

    async def ask(self, rule: Rule, call: Call) -> Verdict:
        """Returns the verdict of `rule`, of kind `webhook` or `callable`."""
        if not call.texts:
            return True
        name = rule.name
        if (until := self._resting.get(name)) is not None:
            if self.clock() < until:
                raise Undecided
            self._resting[name] = self.clock() + _REST  # this call alone tries
        try:
            async with asyncio.timeout(rule.timeout):
                verdict = await (
                    self._post(rule, call) if rule.kind == "webhook" else _function(rule, call, self._threads)
                )
            checked = _checked(verdict, len(call.texts))
        except _TooLong:
            raise Undecided from None  # says nothing of the webhook
        except Exception as error:  # noqa: BLE001  whatever it is, there is no verdict
            self._failed(rule, error)
            raise Undecided from None
        self._failures.pop(name, None)
        self._resting.pop(name, None)
        return checked

    def inherit(self, before: External) -> None:
        """Take over which webhooks do not answer."""
        self._failures, self._resting = before._failures, before._resting

    async def aclose(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = ThreadPoolExecutor(_THREADS, "standby-guardrail")
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _failed(self, rule: Rule, error: Exception) -> None:
        # The text of an error may quote what was sent.
        _log.warning("guardrail %s could not decide: %s", rule.name, type(error).__name__)
        failures = self._failures[rule.name] = self._failures.get(rule.name, 0) + 1
        if rule.kind == "webhook" and failures >= _FAILURES:
            self._resting[rule.name] = self.clock() + _REST

    async def _post(self, rule: Rule, call: Call) -> object:
        if rule.url is None:
            raise Undecided
        body = orjson.dumps(call)
        if len(body) > rule.max_body:
            raise _TooLong
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


def _called(function: Callable[[Call], Any], call: Call) -> Any:
    try:
        return function(call)
    except (SystemExit, KeyboardInterrupt):  # would end the server
        raise Undecided from None


async def _function(rule: Rule, call: Call, threads: ThreadPoolExecutor) -> object:
    function: Callable[[Call], Any] = imported(rule.use or "")
    if inspect.iscoroutinefunction(function):
        return await function(call)
    # In a thread, since it may take long, and nobody else would be served meanwhile.
    # Threads of its own: functions that hang must not take those of others.
    verdict = await asyncio.get_running_loop().run_in_executor(threads, _called, function, call)
    return await verdict if inspect.isawaitable(verdict) else verdict


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


def _checked(verdict: object, texts: int) -> Verdict:
    """Returns `verdict` if it is one about so many texts. Raises Undecided."""
    if verdict is None or isinstance(verdict, bool):
        return verdict
    if not isinstance(verdict, list | tuple):
        raise Undecided
    given = cast("Sequence[object]", verdict)
    if len(given) != texts or not all(isinstance(each, str) for each in given):
        raise Undecided
    return cast("Sequence[str]", given)
