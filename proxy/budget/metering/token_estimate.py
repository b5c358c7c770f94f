"""How many tokens a request may take, told before the call from its document. No I/O.

Money is held at this figure, so it must not be too small, whatever vocabulary a model has. A tokenizer that
works on bytes makes at most one token of each, and one that falls back to bytes for what it does not know
does the same: so the bytes of all text are the bound. Some normalise their text first (NFC), which makes a
few characters longer; these are counted. Real usage is about a quarter of it for English, and settles it.

With a vocabulary (see `vocabularies`) the text is counted instead, up to `EXACT`.

What is no text is bounded by what it is: images by the dearest that vendors make of one, audio by its
length, files by their pages. It cannot be known what a request only refers to (a file by its id, an earlier
turn that the provider keeps) and what tools of the provider bring in; for the former `UNSEEN` is assumed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeGuard, cast

import orjson

from ...config import Target
from .vocabularies import NONE, Vocabularies

__all__ = ["EXACT", "UNSEEN", "Prompt", "measure"]

EXACT: Final = 128 * 1024
"""Characters of a request that are counted with a vocabulary, which takes some 10 ns each. The texts beyond
are bounded by their bytes, so that no request holds up the others."""

UNSEEN: Final = 32_768
"""Tokens assumed for each thing that a request refers to and does not hold."""

_PER_REQUEST: Final = 16
_PER_PART: Final = 8
"""Tokens around a message or a part of one; OpenAI's chat format takes 3 or 4."""
_PER_TOOLS: Final = 600
"""Tokens that offering tools adds: Anthropic names up to 530."""
_PER_OWN_TOOL: Final = 1_000
"""Tokens of a tool that the provider describes itself: Anthropic names 245 to 735."""
_PER_IMAGE: Final = 10_000
"""OpenAI counts at most 10,000 patches of an image, Anthropic 4,784 tokens, Google far fewer."""
_PER_IMAGE_OF_MINI: Final = 2_833 + 8 * 5_667
"""gpt-4o-mini costs what gpt-4o costs for the same image by counting more of its cheaper tokens: a base and
up to eight tiles."""
_BYTES_PER_PAGE: Final = 16 * 1024
_PER_PAGE: Final = 5_000
"""A page of a document is read as text (up to 3,000 tokens by Anthropic's word) and as an image."""
_BYTES_PER_SOUND: Final = 100
"""Bytes of audio for one token: OpenAI makes ten of a second, which is no less than a kilobyte."""

_NO_PROMPT: Final = frozenset(
    {
        *("cache_control", "encoding_format", "include", "logit_bias", "metadata", "modalities", "model"),
        *("prompt_cache_key", "reasoning", "reasoning_effort", "safety_identifier", "service_tier", "stop"),
        *("stop_sequences", "store", "stream", "stream_options", "thinking", "tool_choice", "truncation"),
        *("user", "verbosity"),
    }
)
"""Members of a request that no model reads. Others may be prompts."""
_SCHEMAS: Final = frozenset(
    {"functions", "output_config", "output_format", "response_format", "text", "tools"}
)
"""Members that are written into the prompt as a whole, in some form no longer than their JSON."""
_REFERENCES: Final = frozenset({"conversation", "previous_response_id", "prompt"})
_WRITTEN: Final = frozenset({"arguments", "input", "input_schema", "parameters", "schema"})
"""Members within a message that hold an object in the words of a tool or a model."""
_IMAGES: Final = frozenset(
    {"computer_screenshot", "image", "image_generation_call", "image_url", "input_image"}
)
_FILES: Final = frozenset({"document", "file", "input_file", "video", "video_url"})
_SOUNDS: Final = frozenset({"audio", "audio_url", "input_audio"})
_DEEPER: Final = frozenset({dict, list, str})
_DATA: Final = ("data", "file_data", "url")


def _growing() -> str:
    """The characters that NFC makes longer: no others ever, since text once normalised must stay so."""
    ranges = ((0x340, 0x1100), (0x2ADC, 0x2ADD), (0xF900, 0xFB50), (0x1D15E, 0x1D1C1))
    each = (chr(code) for first, beyond in ranges for code in range(first, beyond))
    return "".join(one for one in each if len(unicodedata.normalize("NFC", one).encode()) > len(one.encode()))


_GROWING: Final = re.compile(f"[{_growing()}]")
_GROWTH: Final = 8
"""Bytes that one of them may grow by."""
_GROWTH_BY_LEAD: Final = MappingProxyType({0xCD: 2, 0xE0: 3, 0xE2: 3, 0xEF: 1, 0xF0: _GROWTH})
"""The same by the first byte, in UTF-8, of such a character and of many others."""
_NO_LEAD: Final = bytes(byte for byte in range(256) if byte not in _GROWTH_BY_LEAD)


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What a request brings: its texts, and their `size` in bytes as a tokenizer may see them.

    `extra` are tokens of what is no text and of what stands around it, but for images.
    """

    texts: tuple[str, ...]
    size: int
    extra: int
    images: int

    def input(self, target: Target, vocabularies: Vocabularies = NONE) -> int:
        """The most tokens of input that this can be for `target`."""
        mini = target.model.rpartition("/")[2].startswith("gpt-4o-mini")
        rest = self.extra + self.images * (_PER_IMAGE_OF_MINI if mini else _PER_IMAGE)
        count = vocabularies.count(target.model)
        if count is None:
            return rest + self.size
        left = EXACT
        for text in self.texts:
            if len(text) <= left:
                left -= len(text)
                rest += count(text)
            else:
                rest += _sizes((text,))
        return rest


def measure(value: dict[str, Any], operation: str) -> Prompt:
    """Look through a request's document. `operation` is the name of its operation."""
    measuring = _Measuring()
    if operation == "embeddings":
        measuring.walk([value.get("input"), value.get("messages")])
    else:
        for name, member in value.items():
            if member is None or name in _NO_PROMPT:
                continue
            if name in _REFERENCES:
                measuring.extra += UNSEEN
            if name in _SCHEMAS:
                measuring.schema(name, member)
            else:
                measuring.walk(member)
    return Prompt(tuple(measuring.texts), _sizes(measuring.texts), measuring.extra, measuring.images)


def _sizes(texts: Iterable[str]) -> int:
    """Bytes that a tokenizer makes its tokens of, at most."""
    total, left = 0, EXACT
    for text in texts:
        if text.isascii():
            total += len(text)
            continue
        data = text.encode()
        total += len(data)
        # Nearly no text has these characters. Seeing that takes a fifth of what searching for them does.
        if leads := data.translate(None, _NO_LEAD):
            if len(text) <= left:
                left -= len(text)
                total += _GROWTH * len(_GROWING.findall(text))
            else:
                total += sum(leads.count(lead) * growth for lead, growth in _GROWTH_BY_LEAD.items())
    return total


class _Measuring:
    """One look through one document."""

    __slots__ = ("extra", "images", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.extra = _PER_REQUEST
        self.images = 0

    def schema(self, name: str, member: object) -> None:
        """Something that becomes part of the prompt as a whole."""
        self._write(member)
        if name in {"functions", "tools"} and _is_list(member) and member:
            self.extra += _PER_TOOLS
            kinds = [each.get("type") for each in member if _is_object(each)]
            own = sum(kind not in (None, "custom", "function") for kind in kinds)
            self.extra += _PER_PART * len(member) + _PER_OWN_TOOL * own

    def walk(self, member: object) -> None:
        """Messages, or whatever else a model may read. Numbers are tokens. Without recursion."""
        waiting = [member]
        texts = self.texts
        while waiting:
            value = waiting.pop()
            kind = value.__class__
            if kind is str:
                texts.append(cast("str", value))
            elif kind is dict:
                self.extra += _PER_PART
                self._part(cast("dict[str, Any]", value), waiting)
            elif kind is list:
                items = cast("list[object]", value)
                if _DEEPER.isdisjoint(map(type, items)):
                    self.extra += len(items)
                else:
                    self.extra += _PER_PART
                    waiting += items
            elif value is not None:
                self.extra += 1

    def _part(self, part: dict[str, Any], waiting: list[object]) -> None:
        kind = part.get("type")
        if kind.__class__ is not str or "role" in part:
            kind = ""  # a message is no image, whatever it calls itself: all of it is read
        if kind in _IMAGES:
            self.images += 1
            return
        if kind in _SOUNDS or kind in _FILES:
            inner = part.get(kind, part.get("source", part))
            if kind == "document" and _is_object(inner) and inner.get("type") in {"content", "text"}:
                waiting += [inner.get("data"), inner.get("content")]
                waiting += [part.get("context"), part.get("title")]
            elif kind in _SOUNDS:
                self._sound(inner)
            else:
                self._file(inner)
            return
        for name, value in part.items():
            if name in _WRITTEN and not isinstance(value, str):
                self._write(value)
            elif name != "cache_control":
                waiting.append(value)

    def _file(self, file: object) -> None:
        size = _data_size(file)
        self.extra += UNSEEN if size is None else _PER_PAGE * (1 + size // _BYTES_PER_PAGE)

    def _sound(self, sound: object) -> None:
        size = _data_size(sound)
        self.extra += UNSEEN if size is None else 1 + size // _BYTES_PER_SOUND

    def _write(self, value: object) -> None:
        if value is not None:
            self.texts.append(orjson.dumps(value).decode())


def _data_size(value: object) -> int | None:
    """Bytes of a file that is here, as base64 with or without `data:` before it; None if it is elsewhere."""
    for text in (value, *(value.get(name) for name in _DATA)) if _is_object(value) else (value,):
        if isinstance(text, str) and not text.startswith(("http:", "https:", "gs:", "s3:")):
            return len(text) * 3 // 4
    return None


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
