"""The server behind `standby serve`: uvicorn's settings, and the checks in front of its HTTP parsers."""

from __future__ import annotations

from .limits import ServerLimits
from .serve import serve
from .settings import Parser, ServerConfig, configuration

__all__ = ["Parser", "ServerConfig", "ServerLimits", "configuration", "serve"]
