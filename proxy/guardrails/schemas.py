"""Checks of answers against a JSON Schema: the operator's, or the one that the request asks for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from ..dialects.json_values import is_object, within

__all__ = ["SchemaError", "is_valid", "read_schema", "requested_schema"]

_MOST_KEPT: Final = 256  # compiled schemas


class SchemaError(ValueError):
    """There is no such schema, or it is none."""


def requested_schema(value: dict[str, Any]) -> bytes | None:
    """Returns the schema that a request asks its answer to match, as JSON; None if it asks for none."""
    places = (
        within(within(value.get("response_format"), "json_schema"), "schema"),
        within(within(value.get("text"), "format"), "schema"),
        within(within(value.get("output_config"), "format"), "schema"),
        within(value.get("output_format"), "schema"),
    )
    schema = next((place for place in places if is_object(place)), None)
    return None if schema is None else orjson.dumps(schema)


def read_schema(path: str) -> bytes:
    """Returns the schema in a file. Raises SchemaError."""
    try:
        schema = Path(path).read_bytes()
        _validator(schema)
    except OSError as error:
        raise SchemaError(f"file {path}: {error.strerror}") from None
    return schema


def is_valid(text: str, schema: bytes) -> bool:
    """Whether `text` is JSON that matches `schema`. Raises SchemaError if that is no schema."""
    validator = _validator(schema)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return bool(validator.is_valid(value))


@lru_cache(_MOST_KEPT)
def _validator(schema: bytes) -> Any:
    import jsonschema_rs  # noqa: PLC0415  an optional dependency, which only this kind of rule needs

    try:
        # A schema may be a caller's: nothing that it refers to is fetched, and its patterns take linear time.
        return jsonschema_rs.validator_for(
            schema.decode(), retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"not a JSON Schema: {str(error).splitlines()[0]}") from None


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")
