"""Extracting the model and the usage from the end of a JSON document too large to keep. No I/O.

An answer of embeddings is often larger than what the gateway keeps of an answer. Its `model` and `usage`
members come after the vectors.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["json_tail"]

# Cannot match inside a string value: there, quotes are escaped, including the one at the end of the name.
_MEMBER: Final = re.compile(r'"(model|usage)"\s*+:\s*+(?=["{])')
_DECODER: Final = json.JSONDecoder()


def json_tail(tail: bytes) -> dict[str, Any]:
    """Returns the last `model` and the last `usage` member found in `tail`, the end of a JSON document.

    A member that is cut off or absent is left out.
    """
    text = tail.decode(errors="replace")
    members: dict[str, Any] = {}
    for match in _MEMBER.finditer(text):
        try:
            members[match[1]], _ = _DECODER.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
    return members
