"""The logs of `standby serve`: their level, their form, and whether each request has a line."""

from __future__ import annotations

import copy
from typing import Any, Literal, TypeAlias

from uvicorn.config import LOGGING_CONFIG

__all__ = ["LogFormat", "LogLevel", "log_config"]

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


def log_config(level: LogLevel = "info", form: LogFormat = "text", *, access: bool = True) -> dict[str, Any]:
    """Returns the configuration for `logging.config`: everything goes to stderr, next to uvicorn's lines.

    Without `access` only requests that failed or broke off have a line.
    """
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["formatters"]["default"]["fmt"] = "%(asctime)s %(levelprefix)s %(message)s"
    if form == "json":
        config["formatters"]["json"] = {"()": "standby.proxy.telemetry.log_format.JSONFormatter"}
        config["handlers"]["default"]["formatter"] = "json"
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
