"""Every text of a request or an answer, with the place to write it back to, and what of it cannot be read.
No I/O.

The whole document is walked, so that no member is left out because nobody has heard of it. Arguments of tools
and other free data are one text each, their JSON: then its keys and numbers are read too. So is every object
with a key that no API would have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..dialects.json_values import is_object

__all__ = ["DocumentTexts", "Text", "document_texts"]

_MEDIA: Final = frozenset(
    {
        *("image", "image_url", "input_image", "computer_screenshot", "video_url", "input_audio", "audio"),
        *("audio_url", "file", "input_file", "document", "redacted_thinking", "container_upload"),
    }
)
_WORDS: Final = frozenset(
    {
        *_MEDIA,
        *("user", "assistant", "system", "developer", "tool", "function", "text", "message", "input_text"),
        *("output_text", "tool_use", "tool_result", "function_call", "function_call_output", "image_url"),
        *("image", "input_image", "json_schema", "json_object", "object", "auto", "none", "required", "any"),
        *("thinking", "ephemeral", "completed", "reasoning", "summary_text", "base64", "url", "default"),
        *("chat.completion", "stop", "tool_calls", "end_turn", "response", "float", "low", "medium", "high"),
    }
)
"""Words of the dialects, which are no texts unless somebody says them."""
_SAID: Final = frozenset({"content", "text", "input", "output", "instructions", "system", "thinking"})
"""Names of members that hold what somebody says."""
_FREE: Final = frozenset(
    {
        *(
            "arguments",
            "input",
            "parameters",
            "input_schema",
            "output_schema",
            "schema",
            "metadata",
            "action",
        ),
        *(
            "input_examples",
            "variables",
            "env",
            "headers",
            "attributes",
            "guided_json",
            "chat_template_kwargs",
        ),
    }
)
"""Names of members that hold free data if they are objects or lists (an `input` list holds items)."""
_PAYLOADS: Final = frozenset({"data", "file_data", "b64_json", "url", "image_url", "file_url"})
"""Names of members of media that hold them, or say where they are."""
_ENCODED: Final = re.compile(
    r"(?i:data:[^,]{0,120};base64,)[A-Za-z0-9+/=\s]|[A-Za-z0-9+/=\s]{64}|[A-Za-z0-9+/]{4,63}={0,2}$"
)
"""How the bytes of a file begin."""
_ENCRYPTED: Final = frozenset({"signature", "encrypted_content", "encrypted_stdout", "thought_signature"})
"""Names of members that only the provider understands."""
_RESULTS: Final = ("tool_result", "_call_output", "function_response")
_SYSTEM: Final = frozenset({"system", "instructions"})
_GENERATED: Final = frozenset({"data", "result", "b64_json", "partial_image_b64"})
"""Names of members that hold a generated image or sound, if they are long and nothing but base64."""
_LONG_PAYLOAD: Final = 16 * 1024  # characters
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"
_LONG_NUMBER: Final = 10**11
"""Integers from here on are read as texts wherever they stand: most shorter ones are settings."""


@dataclass(slots=True, eq=False)
class Text:
    """One text: `holder[key]` is where it stands, or with `free` data whose JSON it is.

    `json` is whether it is the text of a JSON document. `role` is that of its turn, "tool" for what a tool
    returned, "" for what belongs to no turn. `member` is the member of the request that it is in.
    """

    holder: Any
    key: Any
    text: str
    role: str
    member: str
    json: bool = False
    free: bool = False

    def write(self, text: str) -> None:
        """Write `text` in place of it. Raises ValueError for free data that is no JSON any more."""
        self.holder[self.key] = orjson.loads(text) if self.free else text


@dataclass(slots=True, eq=False)
class DocumentTexts:
    """The texts of one document, and the kinds of what cannot be read, such as "image_url"."""

    texts: list[Text]
    unscannable: list[str]
    urls: list[str]
    """Addresses of images and files that the provider is to load."""


def document_texts(value: dict[str, Any], *, without: str = "") -> DocumentTexts:
    """Returns the texts of a request or an answer, without those of the member `without`. Its depth is
    bounded, as `json_document.read` does."""
    found = DocumentTexts([], [], [])
    for member, given in value.items():
        if member == without:
            continue
        role = "system" if member in _SYSTEM else "user" if member == "input" else ""
        _value(found, value, member, given, role, member)
    _keys(found, value, "", "")
    return found


class _Keys:
    """The keys of an object that no API would have, as a list."""

    def __init__(self, given: dict[str, Any], keys: list[str]) -> None:
        self._given = given
        self._keys = keys

    def __getitem__(self, key: str) -> list[str]:
        return self._keys

    def __setitem__(self, key: str, keys: list[str]) -> None:
        named = dict(zip(self._keys, keys, strict=True))
        if len(set(keys) | self._given.keys() - named.keys()) < len(self._given):
            raise ValueError("two members would have the same name")
        members = [(named.get(name, name), value) for name, value in self._given.items()]
        self._given.clear()
        self._given.update(members)
        self._keys = keys


def _value(found: DocumentTexts, holder: Any, key: Any, given: Any, role: str, member: str) -> None:
    kind = given.__class__  # orjson returns no subclasses
    if kind is str:
        _string(found, holder, key, given, role, member)
    elif kind is dict:
        if key in _FREE:
            _free(found, holder, key, given, role, member)
        else:
            _object(found, given, role, member)
    elif kind is list:
        if key in _FREE and not (key == "input" and member == "input"):
            _free(found, holder, key, given, role, member)
        elif key == "input" and _are_tokens(given):
            found.unscannable.append("tokens")
        else:
            for index, each in enumerate(given):
                _value(found, given, index, each, role, member)
    elif kind is int and (given >= _LONG_NUMBER or -given >= _LONG_NUMBER):
        found.texts.append(Text(holder, key, str(given), role, member, json=True, free=True))


def _string(found: DocumentTexts, holder: Any, key: Any, given: str, role: str, member: str) -> None:
    if key in _GENERATED and len(given) > _LONG_PAYLOAD and _is_base64(given):
        found.unscannable.append("base64")
    elif given and (given not in _WORDS or key in _SAID):
        found.texts.append(Text(holder, key, given, role, member, json=key == "arguments"))


def _object(found: DocumentTexts, given: dict[str, Any], role: str, member: str) -> None:
    kind = given.get("type")
    if (named := given.get("role")).__class__ is str:
        role = str(named)
    if isinstance(kind, str):
        if kind in _MEDIA:
            _medium(found, given, kind, role, member)
            return
        if kind.endswith(_RESULTS):
            role = "tool"
    for key, each in given.items():
        if key in _ENCRYPTED and each:
            found.unscannable.append(key)
        _value(found, given, key, each, role, member)
    _keys(found, given, role, member)


def _medium(found: DocumentTexts, given: dict[str, Any], kind: str, role: str, member: str) -> None:
    """Read what can be read of an image, a file or a document: all but the bytes of it."""
    source = given.get("source")
    if is_object(source) and source.get("type") in {"text", "content"}:
        for key, each in given.items():
            _value(found, given, key, each, role, member)
        return
    found.unscannable.append(kind)
    for holder in (given, *(each for each in given.values() if is_object(each))):
        for key, each in holder.items():
            if each.__class__ is str and key in _PAYLOADS:
                if _ENCODED.match(each) is not None:
                    continue
                found.urls.append(each)
            if holder is not given or each.__class__ is not dict:
                _value(found, holder, key, each, role, member)


def _keys(found: DocumentTexts, given: dict[str, Any], role: str, member: str) -> None:
    """Read the keys of an object that are no names."""
    if not all(map(_is_name, given)):
        keys = _Keys(given, [key for key in given if not _is_name(key)])
        _free(found, keys, "", keys[""], role, member)


def _free(found: DocumentTexts, holder: Any, key: Any, given: Any, role: str, member: str) -> None:
    if given:
        text = orjson.dumps(given).decode()
        found.texts.append(Text(holder, key, text, role, member, json=True, free=True))


def _is_base64(text: str) -> bool:
    return text.isascii() and not text.encode().translate(None, _BASE64)


def _is_name(key: str) -> bool:
    return len(key) <= 40 and key.isidentifier() and key.islower()


def _are_tokens(given: list[Any]) -> bool:
    """Whether a list is the input of an embeddings request as numbers: one list of tokens, or several."""
    kinds = set(map(type, given))
    return kinds == {int} or (kinds == {list} and all(set(map(type, each)) <= {int} for each in given))
