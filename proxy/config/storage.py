"""The address of the store: validation of `store = "..."`, and its form for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from .report import Report
from .secret import Secret
from .values import Remark, Surroundings, objection

__all__ = ["MEMORY", "read_store", "shown"]

MEMORY: Final = "memory:"

_SCHEMES: Final = frozenset({"memory", "sqlite", "redis", "rediss", "unix"})
_HINT: Final = 'write "memory:", "sqlite:///standby.db", "redis://localhost:6379/0", or "env:NAME"'


def read_store(report: Report, document: Mapping[str, Any], around: Surroundings) -> str:
    """Returns the URL of the store, checked without opening it. Adds problems to `report`."""
    written = document.get("store", MEMORY)
    try:
        return _address(written, around)
    except PydanticCustomError as error:
        for remark in cast("tuple[Remark, ...]", (error.context or {})["remarks"]):
            report.add(("store",), remark.message, remark.hint)
    return MEMORY


def shown(store: str) -> str:
    """Returns the store's address without credentials and query, for display."""
    head, slashes, rest = store.partition("://")
    place, _, _ = rest.partition("?")
    return f"{head}{slashes}{place.rpartition('@')[2]}"


def _address(written: object, around: Surroundings) -> str:
    if not isinstance(written, str):
        raise objection(Remark("must be text", _HINT))
    url = written
    if written.startswith(("env:", "file:")):
        if around.environ is None:
            return MEMORY  # not looked up, so that nothing can be opened by mistake
        url = Secret.find(written, around.environ, around.folder).reveal()
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        raise objection(Remark("not the address of a store", _HINT)) from None
    if parts.scheme not in _SCHEMES:
        raise objection(Remark("there is no store of this kind", _HINT))
    if password and url is written:
        raise objection(Remark("a password is never a literal", 'write "env:NAME" for the whole address'))
    return url
