"""An upper bound of a request's input tokens, computed from its JSON document before the call. No I/O.

Budgets hold money for this number, so it must not be too small, whatever vocabulary a model has. A tokenizer
that works on bytes, or falls back to bytes for unknown text, makes at most one token per byte. So the number
of UTF-8 bytes of all text is the bound. Some tokenizers first normalise the text to NFC, which makes a few
characters longer; those characters are counted extra. For English, actual usage is about a quarter of the
bound; the settlement books the actual usage.

With a vocabulary (see `vocabularies`) the tokens of the text are counted exactly, up to `EXACT` characters.
For a model whose own is not public, ASCII text is bounded by `MARGIN` times the count of another vocabulary.

Content other than text is bounded by its kind: images by the highest token count of any vendor, audio by its
length, files by their pages. The size of content that a request only refers to (a file by its id, an earlier
turn that the provider keeps) is unknown; `UNSEEN` is assumed. Tokens that the provider's own tools add to the
input are unknown too, and are not included.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, TypeGuard, cast

import orjson

from ...config import Target
from .vocabularies import NONE, Count, Counting, Vocabularies

__all__ = ["EXACT", "MARGIN", "UNSEEN", "Prompt", "measure"]

EXACT: Final = 512 * 1024
"""The maximum number of characters of a request that are counted with a vocabulary, at about 10 ns each.
Further texts are bounded by their bytes, so that a large request does not block the event loop."""

MARGIN: Final = 2.0
"""How many times more tokens a model of an unpublished vocabulary may make of ASCII text than OpenAI's.
An assumption; of text without words it may be too small."""

UNSEEN: Final = 32_768
"""Tokens assumed for each item that a request refers to but does not contain."""

_PER_REQUEST: Final = 16
"""Tokens of overhead per request."""
_PER_PART: Final = 8
"""Tokens of overhead per message or part of a message. OpenAI's chat format uses 3 or 4."""
_PER_TOOLS: Final = 600
"""Tokens that a request with tools adds once. Anthropic documents up to 530."""
_PER_OWN_TOOL: Final = 1_000
"""Tokens per tool that is defined by the provider itself. Anthropic documents 245 to 735."""
_PER_IMAGE: Final = 10_000
"""Tokens per image. OpenAI counts at most 10,000 patches, Anthropic 4,784 tokens, Google far fewer."""
_PER_IMAGE_OF_MINI: Final = 2_833 + 8 * 5_667
"""Tokens per image for gpt-4o-mini: a base and up to eight tiles. An image costs the same as with gpt-4o, so
it counts as more of the cheaper tokens."""
_BYTES_PER_PAGE: Final = 16 * 1024
"""The assumed number of file bytes per page of a document."""
_PER_PAGE: Final = 5_000
"""Tokens per page. A page is read as text (Anthropic documents up to 3,000 tokens) and also as an image."""
_BYTES_PER_AUDIO_TOKEN: Final = 100
"""Bytes of audio per token. OpenAI counts ten tokens per second, and a second is at least a kilobyte."""

_NO_PROMPT: Final = frozenset(
    {
        *("cache_control", "encoding_format", "include", "logit_bias", "metadata", "modalities", "model"),
        *("prompt_cache_key", "reasoning", "reasoning_effort", "safety_identifier", "service_tier", "stop"),
        *("stop_sequences", "store", "stream", "stream_options", "thinking", "tool_choice", "truncation"),
        *("user", "verbosity"),
    }
)
"""Members of a request that are not part of the prompt. All other members may be."""
_SCHEMAS: Final = frozenset(
    {"functions", "output_config", "output_format", "response_format", "text", "tools"}
)
"""Members that become part of the prompt as a whole, in a form no longer than their JSON."""
_REFERENCES: Final = frozenset({"conversation", "previous_response_id", "prompt"})
"""Members that refer to content kept by the provider."""
_JSON_MEMBERS: Final = frozenset({"arguments", "input", "input_schema", "parameters", "schema"})
"""Members within a message whose value, if it is not a string, counts as JSON text: tool arguments and
schemas."""
_IMAGES: Final = frozenset(
    {"computer_screenshot", "image", "image_generation_call", "image_url", "input_image"}
)
_FILES: Final = frozenset({"document", "file", "input_file", "video", "video_url"})
_AUDIO: Final = frozenset({"audio", "audio_url", "input_audio"})
_DEEPER: Final = frozenset({dict, list, str})
_DATA: Final = ("data", "file_data", "url")


def _growing() -> str:
    """Returns the characters whose UTF-8 form gets longer under NFC.

    The set is complete for later Unicode versions too, because Unicode guarantees that normalised text stays
    normalised.
    """
    ranges = ((0x340, 0x1100), (0x2ADC, 0x2ADD), (0xF900, 0xFB50), (0x1D15E, 0x1D1C1))
    characters = (chr(code) for start, end in ranges for code in range(start, end))
    return "".join(
        char for char in characters if len(unicodedata.normalize("NFC", char).encode()) > len(char.encode())
    )


_GROWING: Final = re.compile(f"[{_growing()}]")
_GROWTH: Final = 8
"""The maximum number of bytes by which such a character grows."""
_GROWTH_BY_LEAD: Final = MappingProxyType({0xCD: 2, 0xE0: 3, 0xE2: 3, 0xEF: 1, 0xF0: _GROWTH})
"""The maximum growth in bytes by the first UTF-8 byte of such a character. Many other characters start with
the same bytes."""
_NO_LEAD: Final = bytes(byte for byte in range(256) if byte not in _GROWTH_BY_LEAD)
"""All other bytes."""


class Prompt:
    """The measured content of a request.

    `texts` are all its texts. `extra` is the number of tokens for overhead and for content other than text
    and images. `images` is the number of images.
    """

    __slots__ = ("_counts", "_size", "extra", "images", "texts")

    def __init__(self, texts: list[str], extra: int, images: int) -> None:
        self.texts = texts
        self.extra = extra
        self.images = images
        self._size: int | None = None
        self._counts: dict[Counting, int] = {}

    @property
    def size(self) -> int:
        """The maximum length of the texts in bytes after NFC."""
        if self._size is None:
            self._size = _sizes(self.texts)
        return self._size

    def input(self, target: Target, vocabularies: Vocabularies = NONE) -> int:
        """Returns the maximum number of input tokens for `target`."""
        total = self.extra
        if self.images:
            mini = target.model.rpartition("/")[2].startswith("gpt-4o-mini")
            total += self.images * (_PER_IMAGE_OF_MINI if mini else _PER_IMAGE)
        counting = vocabularies.counting(target.model)
        if counting is None:
            return total + self.size
        if counting not in self._counts:
            self._counts[counting] = self._count(counting.function, is_own=counting.is_own)
        return total + self._counts[counting]

    def _count(self, count: Count, *, is_own: bool) -> int:
        """Returns the maximum number of tokens of the texts. `is_own` is whether `count` is the model's."""
        texts = self.texts
        if is_own and sum(map(len, texts)) <= EXACT:
            return sum(map(count, texts))
        total, remaining = 0, EXACT
        for text in texts:
            if len(text) > remaining or not (is_own or text.isascii()):
                total += _sizes((text,))
                continue
            remaining -= len(text)
            counted = count(text)
            total += counted if is_own else min(len(text), math.ceil(MARGIN * counted))
        return total


def measure(value: dict[str, Any], operation: str) -> Prompt:
    """Measures the JSON document of a request. `operation` is the name of its operation."""
    meter = _PromptMeter()
    if operation == "embeddings":
        meter.walk([value.get("input"), value.get("messages")])
    else:
        for name, member in value.items():
            if member is None or name in _NO_PROMPT:
                continue
            if name in _REFERENCES:
                meter.extra += UNSEEN
            if name in _SCHEMAS:
                meter.schema(name, member)
            elif name == "messages" and _is_list(member):
                meter.messages(member)
            elif _is_number(member):
                meter.extra += 1
            else:
                meter.walk(member)
    return Prompt(meter.texts, meter.extra, meter.images)


def _sizes(texts: Sequence[str]) -> int:
    """Returns the maximum number of UTF-8 bytes of these texts after NFC.

    Characters that may grow are searched exactly in the first EXACT characters, and estimated after that.
    """
    if all(map(str.isascii, texts)):
        return sum(map(len, texts))
    total, remaining = 0, EXACT
    for text in texts:
        if text.isascii():
            total += len(text)
            continue
        data = text.encode()
        total += len(data)
        # Few texts have these characters. Checking the lead bytes takes a fifth of the time of a search.
        if leads := data.translate(None, _NO_LEAD):
            if len(text) <= remaining:
                remaining -= len(text)
                total += _GROWTH * len(_GROWING.findall(text))
            else:
                total += sum(leads.count(lead) * growth for lead, growth in _GROWTH_BY_LEAD.items())
    return total


class _PromptMeter:
    """Collects the texts, images and extra tokens of one document."""

    __slots__ = ("extra", "images", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.extra = _PER_REQUEST
        self.images = 0

    def schema(self, name: str, member: object) -> None:
        """Adds a member that becomes part of the prompt as a whole, such as `tools`."""
        self._add_json(member)
        if name in {"functions", "tools"} and _is_list(member) and member:
            self.extra += _PER_TOOLS
            kinds = [tool.get("type") for tool in member if _is_object(tool)]
            own = sum(kind not in (None, "custom", "function") for kind in kinds)
            self.extra += _PER_PART * len(member) + _PER_OWN_TOOL * own

    def messages(self, messages: list[Any]) -> None:
        """Adds messages: the plain ones, of a role and a text, in one step each."""
        texts = self.texts
        others: list[object] = []
        for message in messages:
            if message.__class__ is dict and len(message) == 2 and "role" in message and "content" in message:
                role, content = message["role"], message["content"]
                if role.__class__ is str and content.__class__ is str:
                    texts += (role, content)
                    continue
            others += (message,)
        self.extra += _PER_PART * (1 + len(messages) - len(others))
        for message in others:
            self.walk(message)

    def walk(self, member: object) -> None:
        """Adds messages or other content. A number counts as one token. Uses a stack instead of recursion."""
        stack = [member]
        texts = self.texts
        while stack:
            value = stack.pop()
            kind = value.__class__
            if kind is str:
                texts.append(cast("str", value))
            elif kind is dict:
                self.extra += _PER_PART
                self._part(cast("dict[str, Any]", value), stack)
            elif kind is list:
                items = cast("list[object]", value)
                if _DEEPER.isdisjoint(map(type, items)):
                    self.extra += len(items)
                else:
                    self.extra += _PER_PART
                    stack += items
            elif value is not None:
                self.extra += 1

    def _part(self, part: dict[str, Any], stack: list[object]) -> None:
        """Adds a JSON object. Members that remain to be measured are put on the stack."""
        kind = part.get("type")
        if kind.__class__ is not str or "role" in part:
            kind = ""  # an object with a role is a message, never an image or file, whatever its type says
        if kind in _IMAGES:
            self.images += 1
            return
        if kind in _AUDIO or kind in _FILES:
            inner = part.get(kind, part.get("source", part))
            if kind == "document" and _is_object(inner) and inner.get("type") in ("content", "text"):
                stack += [inner.get("data"), inner.get("content")]
                stack += [part.get("context"), part.get("title")]
            elif kind in _AUDIO:
                self._audio(inner)
            else:
                self._file(inner)
            return
        for name, value in part.items():
            if name in _JSON_MEMBERS and not isinstance(value, str):
                self._add_json(value)
            elif name != "cache_control":
                stack.append(value)

    def _file(self, file: object) -> None:
        size = _data_size(file)
        self.extra += UNSEEN if size is None else _PER_PAGE * (1 + size // _BYTES_PER_PAGE)

    def _audio(self, audio: object) -> None:
        size = _data_size(audio)
        self.extra += UNSEEN if size is None else 1 + size // _BYTES_PER_AUDIO_TOKEN

    def _add_json(self, value: object) -> None:
        """Adds the JSON text of a value, unless it is null."""
        if value is not None:
            self.texts.append(orjson.dumps(value).decode())


def _data_size(value: object) -> int | None:
    """Returns the approximate size in bytes of inline base64 data, with or without a `data:` prefix.

    Returns None if the content is not inline, but given by a URL or an id.
    """
    for text in (value, *(value.get(name) for name in _DATA)) if _is_object(value) else (value,):
        if isinstance(text, str) and not text.startswith(("http:", "https:", "gs:", "s3:")):
            return len(text) * 3 // 4
    return None


def _is_number(value: object) -> bool:
    return value.__class__ is float or value.__class__ is int


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
