"""Whether an object in a JSON text names the same key twice, which parsers read differently. No I/O."""

from __future__ import annotations

import json

__all__ = ["has_duplicates"]


class _Twice(Exception):
    """A key stands twice."""


def has_duplicates(raw: bytes) -> bool:
    """Whether a key stands twice in an object, or the text cannot be read. It is slow: for texts that are
    suspect."""
    try:
        json.loads(raw, object_pairs_hook=_checked)
    except _Twice:
        return True
    except (ValueError, RecursionError):
        return True
    return False


def _checked(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found
