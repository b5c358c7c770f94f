"""What `standby serve` logs: the level, the form, and a line for each request or not."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
from standby.proxy.errors import Interrupted
from standby.proxy.server.logs import log_config

__all__: list[str] = []


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put back what a test configures."""
    kept = {name: (log.level, log.handlers[:], log.propagate) for name, log in _loggers()}
    yield
    for name, log in _loggers():
        log.level, log.handlers, log.propagate = kept.get(name, (logging.NOTSET, [], True))


def _loggers() -> list[tuple[str, logging.Logger]]:
    names = ("standby", "standby.access", "opentelemetry", "uvicorn", "uvicorn.error", "uvicorn.access")
    return [(name, logging.getLogger(name)) for name in names]


def test_text_has_a_time(capfd: pytest.CaptureFixture[str]) -> None:
    """A line for people begins with its time and level."""
    logging.config.dictConfig(log_config())
    logging.getLogger("standby.pools").warning("pool %s is degraded", "support")
    assert "WARNING:" in capfd.readouterr().err.partition(" pool support is degraded")[0]


def test_json_is_one_object_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a message holds, and with its exception."""
    logging.config.dictConfig(log_config(form="json"))
    try:
        int("of\nmany\nlines")
    except ValueError:
        logging.getLogger("standby.reload").exception("first\nsecond \x1b[2J")
    [line] = capfd.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["message"]) == (
        "error",
        "standby.reload",
        "first\nsecond \x1b[2J",
    )
    assert "many" in record["exception"]


def test_a_break_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """An answer that broke off is a fault of its provider: other exceptions of the app are still shown."""
    logging.config.dictConfig(log_config())
    for error in (Interrupted("cut"), ValueError("a defect")):
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    shown = capfd.readouterr().err
    assert (shown.count("ASGI application"), "a defect" in shown, "cut" in shown) == (1, True, False)


def test_without_the_access_log_only_failures_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    """Requests that succeed have no line; other loggers are as before."""
    logging.config.dictConfig(log_config(access=False))
    access = logging.getLogger("standby.access")
    access.info("served")
    access.warning("failed")
    logging.getLogger("standby.pools").info("pool")
    told = capfd.readouterr().err
    assert ("served" in told, "failed" in told, "pool" in told) == (False, True, True)


def test_the_level_holds_for_all(capfd: pytest.CaptureFixture[str]) -> None:
    """With `error` no warning is logged; the SDK of OpenTelemetry is silent in any case."""
    logging.config.dictConfig(log_config("error"))
    logging.getLogger("standby.alerts").warning("quiet")
    logging.getLogger("opentelemetry.sdk").error("quiet")
    logging.getLogger("uvicorn.error").warning("quiet")
    assert capfd.readouterr().err == ""
