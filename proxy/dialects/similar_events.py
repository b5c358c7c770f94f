"""Events that differ from one another by a text alone. No I/O.

Nearly every event of a stream is the one before it, byte for byte, but for a few letters of text. Once one
was read, only these letters of the next have to be looked at: as long as they are the inside of a JSON string
that needs no decoding, the event means the same, whatever that is.
"""

from __future__ import annotations

import re
from typing import Final, Self

__all__ = ["SimilarEvents"]

_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
# What OpenAI pads its events with, so that their sizes do not tell the words; and how it counts them.
_PADDING: Final = re.compile(rb'"obfuscation" ?: ?"([^"\\]*)"')
_NUMBER: Final = re.compile(rb'"sequence_number" ?: ?([0-9]+)(?=[,}])')
_COUNTED: Final = b'"sequence_number"'
_LONGEST_NUMBER: Final = 15  # digits; exact in every reader


class SimilarEvents:
    """The bytes of one event, as one piece of a stream, with gaps where others may differ.

    `number` is the sequence number of the event that was last found to be alike, or empty.
    """

    __slots__ = ("_foot", "_head", "_number_at", "_parts", "_text_at", "number")

    def __init__(self, piece: bytes, gaps: list[tuple[int, int]], text: int, number: int | None) -> None:
        parts: list[tuple[bytes, int, bytes]] = []
        begin = 0
        for at, end in gaps:
            parts.append((piece[begin:at], at - begin, piece[end : end + 1]))
            begin = end
        self._parts = tuple(parts)
        self._head = parts[0][0]
        self._foot = piece[begin:]
        self._text_at = text
        self._number_at = number
        self.number = b""

    @classmethod
    def of(cls, piece: bytes, member: bytes, text: object, number: int | None = None) -> Self | None:
        """What is like `piece`: one event, whose only `member` of that name says `text`.

        `number` is the event's sequence number, if it has one that others may differ in. None where it cannot
        be told for certain from the bytes where these stand.
        """
        name = b'"%b"' % member
        if b"\\" in piece or not isinstance(text, str) or piece.count(name) != 1:
            return None
        text_size = text.encode()
        at = piece.find(b'"', piece.find(name) + len(name)) + 1
        if not text_size or piece[at : at + len(text_size) + 1] != text_size + b'"':
            return None
        gaps = {"text": (at, at + len(text_size))}
        for kind, shape in (("padding", _PADDING), ("number", _NUMBER)):
            found = shape.findall(piece)
            if len(found) == 1 and (match := shape.search(piece)) is not None:
                gaps[kind] = match.span(1)
        if number is None:
            gaps.pop("number", None)
        elif piece.count(_COUNTED) != 1 or "number" not in gaps:
            return None
        places = sorted(gaps.values())
        return cls(
            piece,
            places,
            places.index(gaps["text"]),
            places.index(gaps["number"]) if number is not None else None,
        )

    def begins(self, piece: bytes) -> bool:
        """Whether `piece` begins like it."""
        return piece.startswith(self._head)

    def text_size(self, piece: bytes) -> int:
        """Bytes of the text that `piece` says, if it is like the one that was read; else 0."""
        at = 0
        found: list[bytes] = []
        for fixed, length, stop in self._parts:
            if not piece.startswith(fixed, at):
                return 0
            at += length
            end = piece.find(stop, at)
            if end < 0:
                return 0
            found.append(piece[at:end])
            at = end
        if piece[at:] != self._foot or (
            (strange := b"".join(found).translate(None, _PLAIN)) and not _is_text(found, strange)
        ):
            return 0
        if (place := self._number_at) is not None:
            number = found[place]
            if (
                not number.isdigit()
                or len(number) > _LONGEST_NUMBER
                or (number[0] == 0x30 and number != b"0")
            ):
                return 0
            self.number = number
        return len(found[self._text_at])


def _is_text(found: list[bytes], strange: bytes) -> bool:
    """Whether each is UTF-8 with nothing that JSON escapes; `strange` is all that is not plain in them."""
    if min(strange) < 0x7F:
        return False
    try:
        for each in found:
            each.decode()
    except UnicodeDecodeError:
        return False
    return True
