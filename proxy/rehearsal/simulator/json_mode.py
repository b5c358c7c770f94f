"""Answers in JSON: the format that a request demands of its answer's text, and the words in that format."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final, cast

import orjson

from .answer import Api, Document
from .schema_example import SchemaExample

__all__ = ["json_words"]


_ANY_OBJECT: Final = MappingProxyType({"type": "object", "properties": {"answer": {"type": "string"}}})
"""The schema of an answer whose request only demands JSON."""

_PIECE: Final = 4
"""Characters per delta of a JSON text, about those of a token."""


def json_words(api: Api, request: Document, words: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the words as a JSON text of the format that the request demands, one delta each.

    They stay as they are if it demands none, and if they are a JSON object or array already: then a test
    says exactly what is answered, and it may also be what the schema forbids.
    """
    schema = _demanded(api, request)
    said = "".join(words)
    if schema is None or _is_document(said):
        return words
    text = orjson.dumps(SchemaExample(schema, said.strip()).value()).decode()
    return tuple(text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _demanded(api: Api, request: Document) -> object:
    """Returns the JSON Schema of the answer's text, None if the text is free."""
    if api == "chat":
        wanted = _member(request, "response_format")
        schema = _member(wanted, "json_schema", "schema")
    elif api == "responses":
        wanted = _member(request, "text", "format")
        schema = _member(wanted, "schema")
    elif api == "messages":  # `output_format` is the name from before `output_config`, still accepted
        wanted = _member(request, "output_config", "format") or _member(request, "output_format")
        schema = _member(wanted, "schema")
    else:
        return None
    kind = _member(wanted, "type")
    if kind == "json_schema" and schema is not None:
        return schema
    # Anthropic has no JSON mode without a schema.
    return dict(_ANY_OBJECT) if kind in ("json_object", "json_schema") and api != "messages" else None


def _member(document: object, *names: str) -> Any:
    """Returns a nested member, None if there is none."""
    for name in names:
        document = cast("Document", document).get(name) if isinstance(document, dict) else None
    return document


def _is_document(text: str) -> bool:
    """Whether a text is a JSON object or array. A number or the like may be a word by chance."""
    try:
        return isinstance(orjson.loads(text), (dict, list))
    except orjson.JSONDecodeError:
        return False
