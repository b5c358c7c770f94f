"""One JSON object for each line of the log, for machines that collect it."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from typing_extensions import override

__all__ = ["JSONFormatter"]


class JSONFormatter(logging.Formatter):
    """Formats a record as a JSON object: `time` (seconds since 1970), `level`, `logger`, `message`, and
    `exception` if there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()
