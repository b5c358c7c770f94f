"""How single values are written in `routes.toml`: durations, sizes, secrets, names, import strings.

Each type is an annotated one: in the file a duration is the text `"8s"`, in the program it is the float 8.0.
Text that came from a file is told apart by the validation context (`Surroundings`); code that builds the same
objects without one passes plain numbers of seconds or bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

__all__ = [
    "Duration",
    "ImportString",
    "KeyPath",
    "ModelName",
    "Moment",
    "Name",
    "Remark",
    "Size",
    "Surroundings",
    "imported",
    "objection",
    "quoted",
    "seconds",
    "spelled",
]

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a TOML document: keys, and positions in arrays."""


class Remark(NamedTuple):
    """One thing wrong with a value; `at` leads from the value judged to the part that is wrong."""

    message: str
    hint: str | None = None
    at: KeyPath = ()


def objection(*remarks: Remark) -> PydanticCustomError:
    """The error a validator raises. Without remarks it stops silently: another table is to blame."""
    message = "; ".join(remark.message for remark in remarks) or "depends on a table that is wrong"
    return PydanticCustomError("standby", "{message}", {"message": message, "remarks": remarks})


def quoted(text: str) -> str:
    """`text` in double quotes, with control characters escaped."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value in the file may refer to. `None` stands for a name whose own table is wrong."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    tables: Mapping[str, Mapping[str, object | None]] = field(
        default_factory=dict[str, Mapping[str, object | None]]
    )
    """By section, then by name."""


_MILLISECONDS: Final = MappingProxyType({"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000})
_BYTES: Final = MappingProxyType({"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30})
_LONGEST: Final = 365 * 24 * 3600.0  # a year: beyond it, a typing error is likelier than an intention
_LARGEST: Final = 2**40

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_SIZE: Final = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")


def seconds(value: object, info: ValidationInfo) -> float:
    """Seconds from the text of a duration; code that passes none of a file's passes seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if info.context is not None:
            raise objection(Remark("a duration is text with a unit", f'did you mean "{value}s"?'))
        if not (math.isfinite(value) and value > 0):
            raise objection(Remark("a duration must be more than zero"))
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise objection(Remark("not a duration", 'write "250ms", "8s", "2m" or "1h"'))
    amount = float(match[1]) * _MILLISECONDS[match[2]] / 1000
    if amount <= 0:
        raise objection(Remark("a duration must be more than zero"))
    if amount > _LONGEST:
        raise objection(Remark("a duration must not be longer than a year"))
    return amount


def _bytes(value: object, info: ValidationInfo) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if info.context is not None:
            raise objection(Remark("a size is text with a unit", 'write "512B", "64KiB", "4MiB" or "1GiB"'))
        if not (isinstance(value, int) and value > 0):
            raise objection(Remark("a size must be a whole number of bytes, more than zero"))
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise objection(Remark("not a size", 'write "512B", "64KiB", "4MiB" or "1GiB"'))
    size = int(match[1]) * _BYTES[match[2]]
    if not 0 < size <= _LARGEST:
        raise objection(Remark("a size must be more than zero and at most a tebibyte"))
    return size


def spelled(seconds: float) -> str:
    """A number of seconds as the file would spell it: 0.25 -> "250ms", 120.0 -> "2m", 90.0 -> "90s"."""
    for unit in ("h", "m", "s"):
        amount = seconds * 1000 / _MILLISECONDS[unit]
        if amount >= 1 and amount.is_integer():
            return f"{int(amount)}{unit}"
    return f"{seconds * 1000:.12g}ms"


def _moment(value: object) -> datetime:
    if isinstance(value, dict):  # how a date of TOML arrives, so that it passes for text nowhere else
        value = cast("dict[str, object]", value).get("date")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise objection(Remark("not a point in time", "write 2030-01-31T12:00:00Z"))
    if value.utcoffset() is None:
        raise objection(Remark("a point in time needs its offset", f"did you mean {value.isoformat()}Z?"))
    return value


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL: Final = re.compile(r"[\x21-\x7e]{1,256}")
_IDENTIFIER: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_IMPORT: Final = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*:{_IDENTIFIER}")


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise objection(Remark("a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit"))
    return value


def _model(value: str) -> str:
    if _MODEL.fullmatch(value) is None:
        raise objection(Remark("a model name is 1 to 256 printable ASCII characters without spaces"))
    return value


def _import(value: str) -> str:
    if _IMPORT.fullmatch(value) is None:
        raise objection(Remark("not an import string", 'write "package.module:attribute"'))
    return value


def imported(text: str) -> Any:
    """What an import string names. Raises ValueError, ImportError or AttributeError."""
    if _IMPORT.fullmatch(text) is None:
        raise ValueError("not an import string")
    module, _, attribute = text.partition(":")
    return getattr(import_module(module), attribute)


Duration: TypeAlias = Annotated[float, BeforeValidator(seconds)]
"""Seconds, more than zero and at most a year; in the file `"250ms"`, `"8s"`, `"2m"` or `"1h"`."""

Size: TypeAlias = Annotated[int, BeforeValidator(_bytes)]
"""Bytes, more than zero and at most a tebibyte; in the file `"512B"`, `"64KiB"`, `"4MiB"` or `"1GiB"`."""

Moment: TypeAlias = Annotated[datetime, BeforeValidator(_moment)]
"""A point in time with its offset from UTC; in the file a TOML date-time, as `2030-01-31T12:00:00Z`."""

Name: TypeAlias = Annotated[str, AfterValidator(_name)]
"""The name of a provider, target, pool, region, middleware, organisation, team, user or key."""

ModelName: TypeAlias = Annotated[str, AfterValidator(_model)]
"""The name of a model, as applications or providers spell it; may hold `/` and `:`."""

ImportString: TypeAlias = Annotated[str, AfterValidator(_import)]
"""`"package.module:attribute"`; imported where it is used, never while the file is read."""
