"""Validates the table of a middleware and returns it as keyword arguments of its constructor.

A middleware is a dataclass whose fields are its TOML keys. The type of a field determines how its value is
parsed: `wait: Duration = 8.0` accepts `wait = "250ms"`. A nested table is a subclass of `Table`.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import os
from collections.abc import Callable, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from .report import Report, suggestion
from .values import KeyPath, Surroundings

__all__ = ["SettingsError", "as_json", "settings"]


class SettingsError(ValueError):
    """What a middleware finds wrong with its own settings. `path` leads from its table to the value."""

    def __init__(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


def as_json(value: object) -> str:
    """Returns a TOML value as JSON, because strict validation of JSON suits TOML.

    It accepts lists for tuples, but not the text "1" for a number. TOML dates become tables with the key
    "date", since as text they would be accepted for text fields.
    """
    return json.dumps(value, default=lambda date: {"date": str(date)})


def settings(
    cls: Callable[..., Any],
    table: Mapping[str, object],
    *,
    file: str,
    source: str,
    name: str,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    tables: Mapping[str, Mapping[str, object | None]] | None = None,
) -> dict[str, Any]:
    """Validate `table`, the table `name` in the text `source`, for the middleware `cls`.

    Returns the given values by key, without defaults. Fields named `app`, private fields, and fields with
    `init=False` or `metadata={"toml": False}` are not keys; `use`, which names the middleware, is ignored.
    For a callable that is not a dataclass, or whose annotations cannot be resolved, only the names of its
    keywords are checked. `tables` are those of the file that values may name. Raises `ConfigError`.
    """
    report = Report(file, source)
    around = Surroundings(environ, Path(file).parent if folder is None else folder, tables or {})
    table = {key: value for key, value in table.items() if key != "use"}
    types, required, open_ended = _fields(cls) or _keywords(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        kind = types.get(key, Any if open_ended else None)
        if kind is None:
            report.add((name, key), "unknown key", suggestion(key, types))
        elif kind is Any:
            values[key] = copy.deepcopy(value)
        else:
            try:
                values[key] = TypeAdapter[Any](kind).validate_json(
                    as_json(value), strict=True, context=around, by_alias=True, by_name=False
                )
            except PydanticSchemaGenerationError:
                report.add((name, key), "cannot be set from a file")
            except ValidationError as error:
                report.take(error, kind, (name, key), value)
    for key in required:
        if key not in table:
            report.add((name, key), "required, but not given")
    report.finish()
    return values


def _fields(cls: Callable[..., Any]) -> tuple[dict[str, Any], list[str], bool] | None:
    """Returns a dataclass's keys with their types, the required keys, and whether others are allowed (False).

    Returns None if `cls` is not a dataclass or its annotations cannot be resolved.
    """
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return None
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError:
        return None
    keys = [
        field
        for field in dataclasses.fields(cls)
        if field.init and field.name != "app" and field.name[0] != "_" and field.metadata.get("toml", True)
    ]
    required = [
        field.name
        for field in keys
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return {field.name: hints[field.name] for field in keys}, required, False


def _keywords(cls: Callable[..., Any]) -> tuple[dict[str, Any], list[str], bool]:
    """Returns the same for any other callable. Its first parameter is the app; values are not validated."""
    try:
        _, *parameters = inspect.signature(cls).parameters.values()
    except ValueError:  # implemented in C, or without parameters: calling it will show errors
        return {}, [], True
    named = [p for p in parameters if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    required = [p.name for p in named if p.default is Parameter.empty]
    open_ended = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    return dict.fromkeys((p.name for p in named), Any), required, open_ended
