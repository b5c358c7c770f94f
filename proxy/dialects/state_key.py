"""The keys by which the issuer of provider state is remembered: ids, and hashes of signed reasoning."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["is_id", "state_key"]

_FINGERPRINT: Final = 12  # bytes
_SIGNATURE: Final = "sig_"
_REASONING_ID: Final = "rs_"
_LONGEST_ID: Final = 256  # characters


def state_key(text: str) -> str:
    """Returns the key of a signature, of encrypted reasoning, or of the id of a stored reasoning item.

    An id is its own key. Everything else is hashed, so that no reasoning is kept.
    """
    if text.startswith(_REASONING_ID) and len(text) <= _LONGEST_ID:
        return text
    return _SIGNATURE + blake2b(text.encode("utf-8", "replace"), digest_size=_FINGERPRINT).hexdigest()


def is_id(key: str) -> bool:
    """Whether a key is an id, which is of use to whoever knows it, and not the hash of a content."""
    return not key.startswith(_SIGNATURE)
