"""Validation of the origins of web pages that may call the gateway."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from .values import Remark, objection

__all__ = ["Origin"]

_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def _origin(value: str) -> str:
    if _ORIGIN.fullmatch(value) is None:
        raise objection(
            Remark("not an origin", 'write "https://app.example.com" in lower case, without a path, or "*"')
        )
    return value


Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
"""The scheme, host and port of a web page as browsers send them, or `"*"` for all."""
