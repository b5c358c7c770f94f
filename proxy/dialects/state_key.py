"""The keys by which the issuer of provider state is remembered: hashes of ids and of signed content."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["content_key", "id_key", "is_id"]

_FINGERPRINT: Final = 15  # bytes: enough that no two ids of a million callers collide
_ID: Final = "id_"
_CONTENT: Final = "sig_"


def id_key(text: str) -> str:
    """Returns the key of an id: of a response, an item, a container or a file."""
    return _ID + _hash(text)


def content_key(text: str) -> str:
    """Returns the key of a signature or of encrypted reasoning."""
    return _CONTENT + _hash(text)


def is_id(key: str) -> bool:
    """Whether a key is that of an id, which is of use to whoever knows it."""
    return key.startswith(_ID)


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=_FINGERPRINT).hexdigest()
