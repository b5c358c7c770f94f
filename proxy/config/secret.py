"""Secrets: `routes.toml` refers to an environment variable or a file, and the value is never displayed."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Self

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .values import Remark, Surroundings, objection

__all__ = ["Secret", "contents_of", "secret_of"]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # valid in a header without encoding
_LIMIT: Final = 64 * 1024  # bytes; no credential is larger, and a path may be an endless device
_FORMS: Final = 'write "env:NAME" or "file:path"'


class Secret:
    """A secret value. Only `reveal` returns it; any other representation shows its source instead."""

    __slots__ = ("_value", "source")

    source: str
    """`"env:NAME"` or `"file:path"`."""

    def __init__(self, source: str, value: str) -> None:
        self.source = source
        self._value = value

    @classmethod
    def find(cls, source: str, environ: Mapping[str, str] | None, folder: Path) -> Self:
        """Returns the secret of a source "env:NAME" or "file:path". A relative path is relative to `folder`.

        Without `environ` only the form of `source` is checked, and the secret is empty, which no real one is.

        Trailing line ends of the value are removed. Raises a `PydanticCustomError` with the name of the
        variable or file, but never the value.
        """
        kind, _, name = source.partition(":")
        if environ is None and kind in {"env", "file"}:
            return cls(source, "")
        if kind == "env" and environ is not None:
            if _VARIABLE.fullmatch(name) is None:
                raise objection(Remark("not the name of an environment variable", 'write "env:NAME"'))
            where, value = f"environment variable {name}", environ.get(name)
            if value is None:
                raise objection(Remark(f"{where} is not set"))
        elif kind == "file":
            where, value = f"file {name}", contents_of(folder, name, _LIMIT)
        else:
            raise objection(Remark("a secret is never a literal", _FORMS))
        value = value.rstrip("\r\n")
        if not value:
            raise objection(Remark(f"{where} is empty"))
        if _VALUE.fullmatch(value) is None:
            raise objection(Remark(f"{where} holds characters that no header can carry"))
        return cls(source, value)

    def reveal(self) -> str:
        """Returns the secret itself. Call this where the value is used, and do not store the result."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.source})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self.source == other.source and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self.source)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is never serialized")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _secret, serialization=core_schema.to_string_ser_schema()
        )


def _secret(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    around = info.context
    if not isinstance(value, str) or not isinstance(around, Surroundings):
        raise objection(Remark("a secret is never a literal", _FORMS))
    return secret_of(value, around)


def secret_of(value: str, around: Surroundings) -> Secret:
    """Returns the secret that `value` names; an empty one if it is not looked up, or missing and not needed.

    Raises a `PydanticCustomError` like `Secret.find`.
    """
    try:
        return Secret.find(value, around.environ, around.folder)
    except PydanticCustomError:
        if not around.lenient:
            raise
        return Secret.find(value, None, around.folder)  # raises if it is not even the form of one


def contents_of(folder: Path, name: str, limit: int) -> str:
    """Returns the text of a file that the configuration names, of at most `limit` bytes, each a character.

    Raises a `PydanticCustomError` with the name of the file.
    """
    if not name or "\0" in name:
        raise objection(Remark("not a path", 'write "file:path"'))
    try:
        with (folder / name).open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise objection(Remark(f"file {name} cannot be read: {error.strerror}")) from None
    if len(raw) > limit:
        raise objection(Remark(f"file {name} is too large"))
    return raw.decode("latin-1")  # decodes any byte; those who need ASCII check for it
