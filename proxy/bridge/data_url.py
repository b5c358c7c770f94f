"""Reads and writes `data:` URLs, in which OpenAI's formats carry images and files."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Data", "data_of", "data_url"]

_SCHEME: Final = "data:"
_BASE64: Final = ";base64"


class Data(NamedTuple):
    """The contents of a `data:` URL: a media type, and base64."""

    media_type: str
    data: str


def data_of(url: str) -> Data | None:
    """Returns the contents of a `data:` URL in base64, or None for any other URL."""
    if url[: len(_SCHEME)].lower() != _SCHEME:
        return None
    head, comma, data = url[len(_SCHEME) :].partition(",")
    if not comma or not head.lower().endswith(_BASE64):
        return None
    media_type = head[: -len(_BASE64)].partition(";")[0].strip().lower()
    return Data(media_type, data) if media_type else None


def data_url(media_type: str, data: str) -> str:
    """Returns the `data:` URL of some base64."""
    return f"{_SCHEME}{media_type}{_BASE64},{data}"
