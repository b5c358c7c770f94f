"""Collects all problems of one file while it is loaded, and raises them as one error in file order."""

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
_ALIKE: Final = 0.7  # similarity ratio; difflib's default of 0.6 matches "alerts" with "targets"
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
"""Messages by pydantic's error type, since pydantic's own messages use Python's terms."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Returns the choice most similar to `word`, ignoring case, or None if none is similar."""
    by_folded = {choice.casefold(): choice for choice in choices}
    alike = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[alike[0]] if alike else None


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """Returns a hint for an unknown name: the most similar choice, else all choices; None without choices."""
    choices = list(choices)
    alike = nearest(word, choices)
    if alike is not None:
        return f"did you mean {quoted(alike)}?"
    return f"known: {', '.join(choices)}" if choices else None


def dotted(path: KeyPath) -> str:
    """Returns a path in TOML's dotted notation, with array positions in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if _BARE.fullmatch(part) else quoted(part))
    return text


def keys_of(model: type[BaseModel]) -> list[str]:
    """Returns the TOML keys of a table of this kind. Excludes `name`, which comes from the table's header."""
    names = ((name, field.validation_alias) for name, field in model.model_fields.items())
    return [alias if isinstance(alias, str) else name for name, alias in names if name != "name"]


class Report:
    """The problems found so far in one file. `source` is its text, for line numbers."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self._source = source
        self.problems: list[Problem] = []

    @cached_property
    def _lines(self) -> LineNumbers:
        return LineNumbers(self._source)

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        """Add a problem with the value at `path`."""
        self.problems.append(Problem(self.file, self._lines.of(path), dotted(path), message, hint))

    def take(self, error: ValidationError, annotation: object, path: KeyPath, raw: object) -> None:
        """Add the problems in `error`, from validating `raw`, the value at `path`, as `annotation`."""
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
                pass  # a consequence of invalid items, which have their own errors
            elif kind != "default_factory_not_called" and where not in seen:
                template = _MESSAGES.get(kind)
                is_list = kind in _LISTS and isinstance(value, str)
                hint = f"write {where[-1]} = [{quoted(str(value))}]" if is_list else None
                self.add(where, template.format(**context) if template else detail["msg"], hint)
            seen.add(where)

    def finish(self) -> None:
        """Raise a `ConfigError` with all problems, sorted by line, if there are any."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda problem: problem.line or 0))


_LISTS: Final = frozenset({"frozen_set_type", "list_type", "set_type", "tuple_type"})


def _inside(raw: object, loc: KeyPath) -> tuple[KeyPath, object]:
    """Returns the part of `loc` that exists in the file (validators add their own names), and its value."""
    inside: KeyPath = ()
    for part in loc:
        try:
            raw = cast("Any", raw)[part]
        except (LookupError, TypeError):
            break
        inside = (*inside, part)
    return inside, raw


def _model_at(annotation: object, loc: KeyPath) -> type[BaseModel] | None:
    """Returns the model of the table at `loc` inside `annotation`, or None."""
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
    """Returns the first model in a type annotation, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
