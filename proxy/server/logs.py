"""The logs of `standby serve`: their level, their form, and whether each request has a line."""

from __future__ import annotations

import copy
import logging
from typing import Any, Literal, TypeAlias

from typing_extensions import override
from uvicorn.config import LOGGING_CONFIG

from ..errors import Interrupted

__all__ = ["LogFormat", "LogLevel", "WithoutBreaks", "log_config"]

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class WithoutBreaks(logging.Filter):
    """Drops uvicorn's traceback of an answer that broke off: the access log has a line for it."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], Interrupted))


def log_config(level: LogLevel = "info", form: LogFormat = "text", *, access: bool = True) -> dict[str, Any]:
    """Returns the configuration for `logging.config`: everything goes to stderr, next to uvicorn's lines.

    Without `access` only requests that failed or broke off have a line.
    """
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["formatters"]["default"]["fmt"] = "%(asctime)s %(levelprefix)s %(message)s"
    if form == "json":
        config["formatters"]["json"] = {"()": "standby.proxy.telemetry.log_format.JSONFormatter"}
        config["handlers"]["default"]["formatter"] = "json"
    config["filters"] = {"breaks": {"()": WithoutBreaks}}
    config["handlers"]["default"]["filters"] = ["breaks"]
    upper = level.upper()
    for logger in config["loggers"].values():
        if "level" in logger:
            logger["level"] = upper
    config["loggers"]["standby"] = {"handlers": ["default"], "level": upper, "propagate": False}
    # The SDK complains of each export that fails, and of what callers send; `standby.telemetry` says it once.
    config["loggers"]["opentelemetry"] = {"level": "CRITICAL"}
    if not access:
        config["loggers"]["standby.access"] = {"level": "WARNING"}
    return config
