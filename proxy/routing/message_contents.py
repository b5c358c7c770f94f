"""Scans the messages of a request for text sizes, media, tool calls and signatures. No I/O.

Each part is visited once, and strings are not parsed. Parts of an unexpected shape or an unknown type count
as nothing and raise no error.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import orjson

from ..dialects.json_values import is_list, is_object, within
from ..dialects.signatures import REASONING, SIGNATURES
from ..dialects.state_key import content_key, id_key

__all__ = ["PER_MESSAGE", "MessageContents"]

PER_MESSAGE: Final = 4
"""Tokens around a message in OpenAI's chat format."""

_BYTES_PER_TOKEN: Final = 4  # English and code, with current tokenizers
_WIDE_BYTES_PER_TOKEN: Final = 3  # other languages, in UTF-8
_MOST_BYTES_PER_TOKEN: Final = 7  # upper bound, for prose and for indented code
_PER_IMAGE: Final = 1_000  # OpenAI counts 85 to 1,500 for one, Anthropic up to 1,600
_PER_FILE: Final = 2_000  # one page of it; the number of pages is unknown without opening it
_SAMPLE: Final = 4_096  # characters of a long text that are encoded to estimate its size in bytes


class MessageContents:
    """The findings so far.

    `wants` are names of `requirements.CAPABILITIES`. `signatures` are the keys of all that were seen, in
    order; `fixed` is whether anything but reasoning is signed or encrypted.
    """

    __slots__ = ("extra", "fixed", "narrow", "pieces", "signatures", "waiting", "wants", "wide")

    def __init__(self) -> None:
        self.wants: set[str] = set()
        self.signatures: list[str] = []
        self.fixed = False
        self.narrow = 0  # bytes of ASCII text
        self.wide = 0  # bytes of other text, in UTF-8
        self.extra = 0  # tokens of anything but text
        # A lower bound of tokens of the longest input, if each input counts separately.
        self.pieces: int | None = None
        self.waiting: list[list[Any]] = []  # nested lists of parts that are not scanned yet

    def tokens(self) -> tuple[int, int]:
        """Returns the probable number of tokens of all findings, and a lower bound."""
        probable = self.narrow // _BYTES_PER_TOKEN + self.wide // _WIDE_BYTES_PER_TOKEN + self.extra
        least = self.pieces
        return probable, (self.narrow + self.wide) // _MOST_BYTES_PER_TOKEN if least is None else least

    def text(self, value: Any) -> None:
        """Count `value` if it is a string. Ignore it otherwise."""
        if value.__class__ is str:
            if value.isascii():
                self.narrow += len(value)
            else:
                self.wide += _utf8_size(value)

    def content(self, value: Any) -> int:
        """Scan a string, a list of parts or a single part. Returns the number of tool calls."""
        if value.__class__ is list:
            return self.parts(value)
        if value.__class__ is dict:
            return self.parts([value])
        self.text(value)
        return 0

    def parts(self, parts: list[Any]) -> int:
        """Scan each part; nested parts are queued for `rest`. Returns the number of tool calls."""
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
        """Scan a part that is not plain text. Returns 1 if it is a tool call, else 0."""
        if (need := _MEDIA.get(kind)) is not None:
            self.wants.add(need)
            self._medium(need, part)
            return 0
        for name in SIGNATURES:
            if name in part and self.sign(part[name]) and kind not in REASONING:
                self.fixed = True
        if kind == "thinking":
            self.text(part.get("thinking"))
            return 0
        if kind == "redacted_thinking":
            self.sign(part.get("data"))
            return 0
        if kind == "reasoning" and not (part.get("encrypted_content") or part.get("content")):
            identifier = part.get("id")
            if isinstance(identifier, str):
                self.signatures.append(id_key(identifier))  # the provider has the rest
        called = kind.endswith(_CALLS)
        if called or kind.endswith(_RESULTS):
            self.wants.add("tools")
            self.text(part.get("arguments"))
            tool_input = part.get("input")
            self.narrow += _json_size(tool_input) if tool_input else 0
        for name in _NESTED:
            self._nest(part.get(name))
        return int(called)

    def rest(self) -> None:
        """Scan the queued nested parts. It is iterative, so deep nesting cannot exhaust the stack."""
        for nested in self.waiting:  # the list grows during the iteration
            self.parts(nested)
        self.waiting = []

    def sign(self, signature: Any) -> bool:
        """Store `signature` (a signature or encrypted reasoning) if it is a non-empty string. Returns whether
        it is."""
        if signature.__class__ is not str or not signature:
            return False
        self.signatures.append(content_key(signature))
        return True

    def tools(self, tools: Any) -> None:
        """Scan the tools on offer.

        A strict tool, whose arguments must match its schema, needs `json_schema`.
        """
        if not is_list(tools) or not tools:
            return
        self.wants.add("tools")
        self.narrow += _json_size(tools)
        for tool in tools:
            if within(tool, "strict") is True or within(within(tool, "function"), "strict") is True:
                self.wants.add("json_schema")
                return

    def batch(self, pieces: list[Any]) -> None:
        """Scan the inputs of an embeddings request: texts, lists of tokens, or one list of tokens.

        Each input is embedded separately, so the longest must fit the context. All of them are paid for.
        """
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
            if within(source, "type") in ("text", "content"):
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


def _utf8_size(text: str) -> int:
    """Returns the size of a text in UTF-8. For a long text, an estimate from evenly spaced characters."""
    if len(text) <= _SAMPLE:
        return len(text.encode("utf-8", "replace"))
    sample = text[:: len(text) // _SAMPLE + 1]
    return len(text) * len(sample.encode("utf-8", "replace")) // len(sample)


def _json_size(value: object) -> int:
    """Returns the size of `value` in bytes as JSON, or 0 if it cannot be encoded."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # cannot happen for values that were parsed from JSON
        return 0


_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_MEDIA: Final = MappingProxyType(
    {
        "image_url": "vision",
        "image": "vision",
        "input_image": "vision",
        "computer_screenshot": "vision",
        "video_url": "vision",  # vLLM
        "input_audio": "audio",
        "audio": "audio",
        "audio_url": "audio",  # vLLM
        "file": "documents",
        "input_file": "documents",
        "document": "documents",
    }
)
_CALLS: Final = ("_call", "tool_use")  # function_call, web_search_call; tool_use, server_tool_use
_RESULTS: Final = ("_call_output", "tool_result")
_NESTED: Final = ("content", "output", "summary")
