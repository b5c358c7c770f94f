"""What stands in the messages of a request: how much text, which media, which calls of tools. No I/O.

Each part is looked at and not into, once. What is of an odd shape, or unknown, counts as nothing, and raises
nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import orjson

from ..dialects.json_values import is_list, is_object, within

__all__ = ["PER_MESSAGE", "MessageContents"]

PER_MESSAGE: Final = 4
"""Tokens around a message in OpenAI's chat format."""

_BYTES_PER_TOKEN: Final = 4  # English and code, with the vocabularies of today
_WIDE_BYTES_PER_TOKEN: Final = 3  # the rest of the world, in UTF-8
_MOST_BYTES_PER_TOKEN: Final = 7  # no prose is packed tighter, nor code with its indentation
_PER_IMAGE: Final = 1_000  # OpenAI counts 85 to 1,500 for one, Anthropic up to 1,600
_PER_FILE: Final = 2_000  # a page of it; how many there are nobody knows before it is opened
_SAMPLE: Final = 4_096  # characters of a long text that are encoded to see how many bytes it has


class MessageContents:
    """What was found so far. `wants` are names of `requirements.CAPABILITIES`, `signature` the last seen."""

    __slots__ = ("extra", "narrow", "pieces", "signature", "waiting", "wants", "wide")

    def __init__(self) -> None:
        self.wants: set[str] = set()
        self.signature: str | None = None
        self.narrow = 0  # bytes of ASCII text
        self.wide = 0  # bytes of other text in UTF-8
        self.extra = 0  # tokens besides
        self.pieces: int | None = None  # tokens of the longest piece at the least, where they do not add up
        self.waiting: list[list[Any]] = []  # parts within parts

    def tokens(self) -> tuple[int, int]:
        """Of all that was found: probably, and at the least."""
        probably = self.narrow // _BYTES_PER_TOKEN + self.wide // _WIDE_BYTES_PER_TOKEN + self.extra
        least = self.pieces
        return probably, (self.narrow + self.wide) // _MOST_BYTES_PER_TOKEN if least is None else least

    def text(self, value: Any) -> None:
        """Something that is text, or nothing."""
        if value.__class__ is str:
            if value.isascii():
                self.narrow += len(value)
            else:
                self.wide += _bytes(value)

    def content(self, value: Any) -> int:
        """Text, or a list of parts, or one part alone. Returns how many parts are calls of tools."""
        if value.__class__ is list:
            return self.parts(value)
        if value.__class__ is dict:
            return self.parts([value])
        self.text(value)
        return 0

    def parts(self, parts: list[Any]) -> int:
        """Look at each part; what is within them waits for `rest`. Returns how many are calls of tools."""
        calls = 0
        for part in parts:
            if part.__class__ is dict:
                self.text(part.get("text"))
                kind = part.get("type")
                if kind.__class__ is str and kind not in _TEXTS:
                    calls += self.part(kind, part)
            else:
                self.text(part)
        return calls

    def part(self, kind: str, part: dict[str, Any]) -> int:
        """Look at a part that is more than text; returns 1 for the call of a tool."""
        if (need := _MEDIA.get(kind)) is not None:
            self.wants.add(need)
            self._medium(need, part)
            return 0
        for name in _SIGNATURES:
            self.sign(part.get(name))
        if kind == "thinking":
            self.text(part.get("thinking"))
            return 0
        if kind == "redacted_thinking":
            self.sign(part.get("data"))
            return 0
        called = kind.endswith(_CALLS)
        if called or kind.endswith(_RESULTS):
            self.wants.add("tools")
            self.text(part.get("arguments"))
            given = part.get("input")
            self.narrow += _size(given) if given else 0
        for name in _NESTED:
            self._nest(part.get(name))
        return int(called)

    def rest(self) -> None:
        """Look at what is within parts, level by level: no depth of nesting is a depth of calls."""
        for nested in self.waiting:  # grows while it is read
            self.parts(nested)
        self.waiting = []

    def sign(self, signature: Any) -> None:
        """A signature, or encrypted reasoning, or nothing."""
        if signature.__class__ is str and signature:
            self.signature = signature

    def tools(self, tools: Any) -> None:
        """The tools that are offered. One whose arguments must follow its schema needs structured output."""
        if not is_list(tools) or not tools:
            return
        self.wants.add("tools")
        self.narrow += _size(tools)
        for tool in tools:
            if within(tool, "strict") is True or within(within(tool, "function"), "strict") is True:
                self.wants.add("json_schema")
                return

    def batch(self, pieces: list[Any]) -> None:
        """Texts, or lists of tokens, each embedded alone: the longest has to fit, all are paid for."""
        first = pieces[0].__class__ if pieces else None
        if first is int:  # one list of tokens
            self.extra += len(pieces)
            self.pieces = len(pieces)
        elif first is list:
            lengths = [len(piece) for piece in pieces if piece.__class__ is list]
            self.extra += sum(lengths)
            self.pieces = max(lengths)
        elif first is str:
            texts = [piece for piece in pieces if piece.__class__ is str]
            joined = "".join(texts)
            self.text(joined)
            share = max(map(len, texts)) / max(1, len(joined))
            self.pieces = int((self.narrow + self.wide) * share) // _MOST_BYTES_PER_TOKEN

    def _medium(self, need: str, part: dict[str, Any]) -> None:
        if need == "vision":
            self.extra += _PER_IMAGE
        elif need == "documents":
            source = part.get("source")
            if within(source, "type") in {"text", "content"}:
                self._nest(within(source, "data"))
                self._nest(within(source, "content"))
            else:
                self.extra += _PER_FILE

    def _nest(self, nested: object) -> None:
        if is_list(nested):
            self.waiting.append(nested)
        elif is_object(nested):
            self.waiting.append([nested])
        else:
            self.text(nested)


def _bytes(text: str) -> int:
    """Of a text in UTF-8, about: of a long one every so many characters are looked at."""
    if len(text) <= _SAMPLE:
        return len(text.encode("utf-8", "replace"))
    sample = text[:: len(text) // _SAMPLE + 1]
    return len(text) * len(sample.encode("utf-8", "replace")) // len(sample)


def _size(value: object) -> int:
    """How many bytes this is as JSON."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # nothing that came as JSON
        return 0


_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_MEDIA: Final = MappingProxyType(
    {
        "image_url": "vision",
        "image": "vision",
        "input_image": "vision",
        "computer_screenshot": "vision",
        "video_url": "vision",  # vLLM's
        "input_audio": "audio",
        "audio": "audio",
        "audio_url": "audio",  # vLLM's
        "file": "documents",
        "input_file": "documents",
        "document": "documents",
    }
)
_CALLS: Final = ("_call", "tool_use")  # function_call, web_search_call; tool_use, server_tool_use
_RESULTS: Final = ("_call_output", "tool_result")
_NESTED: Final = ("content", "output", "summary")
# Reasoning of Anthropic's and of the Responses API, what Anthropic's own tools found and ran, Gemini's.
_SIGNATURES: Final = ("signature", "encrypted_content", "encrypted_stdout", "thought_signature")
