"""What the end of a JSON document says, when the rest of it is too long to be read. No I/O.

An answer of embeddings is often larger than what is kept of an answer; the model that served and the usage
come after the vectors.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["json_tail"]

# Within a string its quotes would be escaped, the one at the end of a name too.
_MEMBER: Final = re.compile(r'"(model|usage)"\s*+:\s*+(?=["{])')
_DECODER: Final = json.JSONDecoder()


def json_tail(tail: bytes) -> dict[str, Any]:
    """The last `model` and the last `usage` that stand in the end of a document, as far as they are whole."""
    text = tail.decode(errors="replace")
    members: dict[str, Any] = {}
    for match in _MEMBER.finditer(text):
        try:
            members[match[1]], _ = _DECODER.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
    return members
