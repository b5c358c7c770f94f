"""Finding what in a request names state that lives at one provider: files, containers, stores."""

from __future__ import annotations

from typing import Final

from .base import RequestDocument
from .json_values import is_list, is_object

__all__ = ["STATE_KEYS", "names_state"]

STATE_KEYS: Final = frozenset({"container_id", "file_id", "file_ids", "skill_id", "vector_store_ids"})
"""Members that name an object at a provider wherever they stand; some of
`request_fields.BINDING`, so that a parsed document says whether it has any."""

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
# What a caller or a model writes in its own words: a tool may well have an argument called "file_id".


def names_state(document: RequestDocument, *members: str, opaque: frozenset[str] = frozenset()) -> bool:
    """Whether any of the top-level `members` holds the name of an object at a provider, at any depth.

    Nothing below a key of `opaque` counts, nor below schemas, metadata and arguments of tools, nor does null.
    """
    if STATE_KEYS.isdisjoint(document.notable):
        return False
    skipped = _OPAQUE | opaque
    waiting: list[object] = [document.value.get(member) for member in members]
    while waiting:
        value = waiting.pop()
        if is_list(value):
            waiting += value
        elif is_object(value):
            if any(_is_name(value.get(key)) for key in STATE_KEYS):
                return True
            waiting += [inner for key, inner in value.items() if key not in skipped]
    return False


def _is_name(value: object) -> bool:
    # A name is a string or a list of strings; a schema's property of the same name is an object.
    return bool(value) and isinstance(value, (str, list))
