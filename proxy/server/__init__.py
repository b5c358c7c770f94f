"""What `standby serve` runs: uvicorn's settings, and the entrance that stands before its parsers."""

from __future__ import annotations

from .limits import Limits
from .serve import serve
from .settings import Parser, ServerConfig, configuration

__all__ = ["Limits", "Parser", "ServerConfig", "configuration", "serve"]
