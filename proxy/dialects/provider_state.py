"""Detecting references in a request to state at one provider: files, containers, vector stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .base import RequestDocument
from .json_values import is_list, is_object

__all__ = ["STATE_KEYS", "names_state", "stated_ids"]

STATE_KEYS: Final = frozenset({"container_id", "file_id", "file_ids", "skill_id", "vector_store_ids"})
"""Members that refer to an object at a provider, at any depth. A subset of `request_fields.BINDING`, so that
`Document.notable` shows whether a request has any."""

_OPAQUE: Final = frozenset(
    {
        "arguments",
        "attributes",
        "env",
        "headers",
        "input_examples",
        "input_schema",
        "metadata",
        "output_schema",
        "parameters",
        "schema",
    }
)
# Members whose contents are free-form data of a caller or a model: a tool may have an argument "file_id".


def names_state(document: RequestDocument, *members: str, opaque: frozenset[str] = frozenset()) -> bool:
    """Whether any of the top-level `members` contains a reference to an object at a provider, at any depth.

    Members in `opaque` are skipped, as are schemas, metadata and arguments of tools. Null is not a reference.
    """
    return next(_stated(document, members, opaque), None) is not None


def stated_ids(
    document: RequestDocument, *members: str, opaque: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """Returns the ids of those objects, each with the name of the member that holds it."""
    found: list[tuple[str, str]] = []
    for key, value in _stated(document, members, opaque):
        each: list[object] = value if is_list(value) else [value]
        found += [(text, key) for text in each if isinstance(text, str)]
    return found


def _stated(
    document: RequestDocument, members: Sequence[str], opaque: frozenset[str]
) -> Iterator[tuple[str, object]]:
    if STATE_KEYS.isdisjoint(document.notable):
        return
    skipped = _OPAQUE | opaque
    pending: list[object] = [document.value.get(member) for member in members]
    while pending:
        value = pending.pop()
        if is_list(value):
            pending += value
        elif is_object(value):
            yield from ((key, value[key]) for key in STATE_KEYS if _is_reference(value.get(key)))
            pending += [inner for key, inner in value.items() if key not in skipped]


def _is_reference(value: object) -> bool:
    # A reference is a string or a list of strings; a property of the same name in a schema is an object.
    return bool(value) and isinstance(value, (str, list))
