"""Templates of stream events that differ only in their text. No I/O.

Nearly every event of a stream equals the previous one byte for byte, except for a short text. So one parsed
event serves as a template: if the next event differs only in the text, and that text is the inside of a JSON
string that needs no decoding, it has the same meaning and need not be parsed.
"""

from __future__ import annotations

import re
from typing import Final, Self

__all__ = ["SimilarEvents"]

# Printable ASCII that JSON does not escape.
_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
# OpenAI's padding, which hides the sizes of the texts from eavesdroppers, and its sequence numbers.
_PADDING: Final = re.compile(rb'"obfuscation" ?: ?"([^"\\]*)"')
_NUMBER: Final = re.compile(rb'"sequence_number" ?: ?([0-9]+)(?=[,}])')
_COUNTED: Final = b'"sequence_number"'
_LONGEST_NUMBER: Final = 15  # digits; such a number is exact in a double


class SimilarEvents:
    """A template made from the bytes of one event, with gaps where a similar event may differ.

    `number` is the sequence number of the last event that matched, as digits; empty if there is none.
    """

    __slots__ = ("_foot", "_head", "_number_at", "_parts", "_special", "_text_at", "number")

    def __init__(self, piece: bytes, gaps: list[tuple[int, int]], text: int, number: int | None) -> None:
        parts: list[tuple[bytes, int, bytes]] = []
        begin = 0
        for at, end in gaps:
            parts.append((piece[begin:at], at - begin, piece[end : end + 1]))
            begin = end
        self._parts = tuple(parts)
        self._head = parts[0][0]
        self._foot = piece[begin:]
        fixed = b"".join([part for part, _, _ in parts]) + self._foot
        self._special = fixed.translate(None, _PLAIN)
        self._text_at = text
        self._number_at = number
        self.number = b""

    @classmethod
    def of(cls, piece: bytes, member: bytes, text: object, number: int | None = None) -> Self | None:
        """Returns a template for events like `piece`: one event, whose only member `member` has the value
        `text`.

        `number` is the event's sequence number, or None if it has none. Returns None if the places of the
        text and the number in `piece` are ambiguous, or the text needs decoding.
        """
        name = b'"%b"' % member
        if b"\\" in piece or not isinstance(text, str) or piece.count(name) != 1:
            return None
        encoded = text.encode()
        at = piece.find(b'"', piece.find(name) + len(name)) + 1
        if not encoded or piece[at : at + len(encoded) + 1] != encoded + b'"':
            return None
        gaps = {"text": (at, at + len(encoded))}
        for kind, shape in (("padding", _PADDING), ("number", _NUMBER)):
            if len(shape.findall(piece)) == 1 and (match := shape.search(piece)) is not None:
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
        """Whether `piece` begins with the bytes before the template's first gap."""
        return piece.startswith(self._head)

    def text_size(self, piece: bytes) -> int:
        """Returns the bytes of the text in `piece` if it matches the template, else 0. Sets `number`."""
        at = 0
        values: tuple[bytes, ...] = ()
        for fixed, length, stop in self._parts:
            if piece[at : at + length] != fixed:
                return 0
            at += length
            end = piece.find(stop, at)
            if end < 0:
                return 0
            values += (piece[at:end],)
            at = end
        if piece[at:] != self._foot:
            return 0
        # The fixed parts have the same special bytes in every event.
        if piece.translate(None, _PLAIN) != self._special and not _are_texts(values):
            return 0
        if (place := self._number_at) is not None:
            number = values[place]
            if (
                not number.isdigit()
                or len(number) > _LONGEST_NUMBER
                or (number[0] == 0x30 and number != b"0")
            ):
                return 0
            self.number = number
        return len(values[self._text_at])


def _are_texts(values: tuple[bytes, ...]) -> bool:
    """Whether each value is UTF-8 without characters that JSON escapes."""
    if min(b"".join(values).translate(None, _PLAIN), default=0x7F) < 0x7F:
        return False
    try:
        for value in values:
            value.decode()
    except UnicodeDecodeError:
        return False
    return True
