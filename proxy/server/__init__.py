"""What `standby serve` runs: uvicorn's settings, and the entrance that stands before its parsers."""

from __future__ import annotations

from .limits import ServerLimits
from .serve import serve
from .settings import Parser, ServerConfig, configuration

__all__ = ["Parser", "ServerConfig", "ServerLimits", "configuration", "serve"]
