"""Everything wrong with one file, gathered while it is read and told at once, in file order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, cast, get_args

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError, Problem
from .locate import LineNumbers
from .values import KeyPath, Remark, quoted

__all__ = ["Report", "dotted", "keys_of", "nearest", "suggestion"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ALIKE: Final = 0.7  # of 1; difflib's own 0.6 takes "alerts" for "targets"
_CHOICE: Final = re.compile(r"'([^']*)'")

_MESSAGES: Final = MappingProxyType(
    {
        "bool_type": "must be true or false",
        "dict_type": "must be a table",
        "float_type": "must be a number",
        "frozen_set_type": "must be a list",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "int_from_float": "must be a whole number",
        "int_type": "must be a whole number",
        "json_invalid": "nested too deeply",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "list_type": "must be a list",
        "mapping_type": "must be a table",
        "model_type": "must be a table",
        "string_type": "must be text",
        "too_short": "must not be empty",
        "tuple_type": "must be a list",
    }
)
"""What the library's error types are called here; its own words speak of Python."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like `word`, whatever their case, or None if none is alike."""
    by_folded = {choice.casefold(): choice for choice in choices}
    alike = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[alike[0]] if alike else None


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """A hint for an unknown name: the nearest one, else all there are."""
    choices = list(choices)
    alike = nearest(word, choices)
    if alike is not None:
        return f"did you mean {quoted(alike)}?"
    return f"known: {', '.join(choices)}" if choices else None


def dotted(path: KeyPath) -> str:
    """A path as TOML spells it, with positions of arrays in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if _BARE.fullmatch(part) else quoted(part))
    return text


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys a table of this kind takes. `name` is none: it is the table's own name."""
    names = ((name, field.validation_alias) for name, field in model.model_fields.items())
    return [alias if isinstance(alias, str) else name for name, alias in names if name != "name"]


class Report:
    """The problems found so far in one file."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self._source = source
        self.problems: list[Problem] = []

    @cached_property
    def _lines(self) -> LineNumbers:
        return LineNumbers(self._source)

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        """Note a problem with the value at `path`."""
        self.problems.append(Problem(self.file, self._lines.of(path), dotted(path), message, hint))

    def take(self, error: ValidationError, annotation: object, path: KeyPath, raw: object) -> None:
        """Note everything a validation found wrong with `raw`, the value at `path`, as `annotation`."""
        seen: set[KeyPath] = set()
        for detail in error.errors(include_url=False, include_input=False):
            kind, loc, context = detail["type"], detail["loc"], detail.get("ctx", {})
            inside, value = _inside(raw, loc)
            where = path + inside
            if kind == "standby":
                for remark in cast("tuple[Remark, ...]", context["remarks"]):
                    self.add(where + remark.at, remark.message, remark.hint)
            elif kind == "extra_forbidden":
                model = _model_at(annotation, loc[:-1])
                self.add(where, "unknown key", suggestion(str(loc[-1]), keys_of(model) if model else ()))
            elif kind == "missing":
                self.add((*where, loc[-1]), "required, but not given")
            elif kind == "literal_error":
                choices = _CHOICE.findall(str(context["expected"]))
                message = f"must be one of {', '.join(map(quoted, choices))}"
                alike = nearest(value, choices) if isinstance(value, str) else None
                self.add(where, message, alike and f"did you mean {quoted(alike)}?")
            elif kind == "too_short" and value:
                pass  # only because what is in it is wrong
            elif kind != "default_factory_not_called" and where not in seen:
                template = _MESSAGES.get(kind)
                self.add(where, template.format(**context) if template else detail["msg"])
            seen.add(where)

    def finish(self) -> None:
        """Raise a `ConfigError` with all that was noted, if anything was."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda problem: problem.line or 0))


def _inside(raw: object, loc: KeyPath) -> tuple[KeyPath, object]:
    """The part of `loc` that is in the file (a validator adds names of its own), and the value there."""
    inside: KeyPath = ()
    for part in loc:
        try:
            raw = cast("Any", raw)[part]
        except (LookupError, TypeError):
            break
        inside = (*inside, part)
    return inside, raw


def _model_at(annotation: object, loc: KeyPath) -> type[BaseModel] | None:
    """The kind of table that `loc` leads to."""
    model = _model_in(annotation)
    for part in loc:
        if isinstance(part, int):
            continue
        if model is None:
            return None
        fields = model.model_fields.items()
        field = next((field for name, field in fields if part in (name, field.validation_alias)), None)
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
