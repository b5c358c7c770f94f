"""Types of single values in `routes.toml`: durations, sizes, points in time, names, import strings.

Each type is an annotated one that converts a value: a duration is the text `"8s"` in the file and the float
8.0 in the program. The validation context (`Surroundings`) marks values from a file. Code that builds the
same objects has no context and passes numbers of seconds or bytes.
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
"""The path of a value in a TOML document: keys, and positions in arrays."""


class Remark(NamedTuple):
    """One problem with a value. `at` is the path from the validated value to its invalid part."""

    message: str
    hint: str | None = None
    at: KeyPath = ()


def objection(*remarks: Remark) -> PydanticCustomError:
    """Returns the error that a validator raises.

    An error without remarks is not reported: it results from another table that is invalid and reported
    itself.
    """
    message = "; ".join(remark.message for remark in remarks) or "depends on a table that is wrong"
    return PydanticCustomError("standby", "{message}", {"message": message, "remarks": remarks})


def quoted(text: str) -> str:
    """Returns `text` in double quotes, with control characters escaped."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The validation context: what a value in the file may refer to."""

    environ: Mapping[str, str] | None = field(repr=False)
    """The environment variables. None: secrets are not looked up at all."""
    folder: Path
    tables: Mapping[str, Mapping[str, object | None]] = field(
        default_factory=dict[str, Mapping[str, object | None]]
    )
    """Tables by section, then by name. None stands for a table that is invalid."""
    lenient: bool = False
    """Whether a secret that is not there is empty instead of an error, for commands that do not need it."""


_MILLISECONDS: Final = MappingProxyType({"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000})
_BYTES: Final = MappingProxyType({"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30})
_LONGEST: Final = 365 * 24 * 3600.0  # seconds in a year; a longer duration is probably a typing error
_LARGEST: Final = 2**40  # bytes

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_SIZE: Final = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")


def seconds(value: object, info: ValidationInfo) -> float:
    """Validates a duration and returns seconds. In a file it is text with a unit; code passes seconds."""
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
    """Returns seconds in the notation of the file: 0.25 -> "250ms", 120.0 -> "2m", 90.0 -> "90s"."""
    for unit in ("h", "m", "s"):
        amount = seconds * 1000 / _MILLISECONDS[unit]
        if amount >= 1 and amount.is_integer():
            return f"{int(amount)}{unit}"
    return f"{seconds * 1000:.12g}ms"


def _moment(value: object) -> datetime:
    if isinstance(value, dict):  # a TOML date; `settings.as_json` has the reason for this form
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
    """Imports the object of an import string. Raises ValueError, ImportError or AttributeError."""
    if _IMPORT.fullmatch(text) is None:
        raise ValueError("not an import string")
    module, _, attribute = text.partition(":")
    return getattr(import_module(module), attribute)


Duration: TypeAlias = Annotated[float, BeforeValidator(seconds)]
"""Seconds, more than zero and at most a year; in the file `"250ms"`, `"8s"`, `"2m"` or `"1h"`."""

Size: TypeAlias = Annotated[int, BeforeValidator(_bytes)]
"""Bytes, more than zero and at most a tebibyte; in the file `"512B"`, `"64KiB"`, `"4MiB"` or `"1GiB"`."""

Moment: TypeAlias = Annotated[datetime, BeforeValidator(_moment)]
"""A point in time with its offset from UTC; in the file a TOML date-time such as `2030-01-31T12:00:00Z`."""

Name: TypeAlias = Annotated[str, AfterValidator(_name)]
"""The name of a provider, target, pool, region, middleware, organisation, team, user or key."""

ModelName: TypeAlias = Annotated[str, AfterValidator(_model)]
"""The name of a model at applications or providers. It may contain `/` and `:`."""

ImportString: TypeAlias = Annotated[str, AfterValidator(_import)]
"""`"package.module:attribute"`. It is imported where it is used, never while the file is loaded."""
