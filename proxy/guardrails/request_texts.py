"""Every text of a request, with the place to write it back to, and what of the request cannot be read. No
I/O.

The whole document is walked, so that no member is left out because nobody has heard of it. Arguments of tools
and other free data are one text each, their JSON: then its keys and numbers are read too, and nothing in it
is taken for a part of the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..dialects.json_values import is_list, is_object

__all__ = ["RequestTexts", "Text", "request_texts"]

_SKIPPED: Final = frozenset(
    {
        *("model", "type", "role", "id", "object", "status", "stream", "service_tier"),
        *(
            "call_id",
            "item_id",
            "response_id",
            "previous_response_id",
            "tool_call_id",
            "tool_use_id",
            "file_id",
        ),
        *("media_type", "mime_type", "detail", "encoding_format", "cache_control"),
    }
)
"""Names of members whose values are names of the dialect or ids, which a change would break."""
_SEALED: Final = frozenset(
    {"signature", "encrypted_content", "encrypted_stdout", "thought_signature", "b64_json", "file_data"}
)
"""Names of members that only the provider can read."""
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
_MEDIA: Final = frozenset(
    {
        *("image", "image_url", "input_image", "computer_screenshot", "video_url", "input_audio", "audio"),
        *("audio_url", "file", "input_file", "document", "redacted_thinking", "container_upload"),
    }
)
_RESULTS: Final = ("tool_result", "_call_output", "function_response")
_SYSTEM: Final = frozenset({"system", "instructions"})


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
        """Write `text` in place of it."""
        self.holder[self.key] = orjson.loads(text) if self.free else text


@dataclass(slots=True, eq=False)
class RequestTexts:
    """The texts of one request, and the kinds of what cannot be read, such as "image_url"."""

    texts: list[Text]
    unscannable: list[str]
    urls: list[str]
    """Addresses of images and files that the provider is to load."""


def request_texts(value: dict[str, Any]) -> RequestTexts:
    """Returns the texts of a request. Its depth is bounded, as `json_document.read` does."""
    found = RequestTexts([], [], [])
    for member, given in value.items():
        if member in _SKIPPED:
            continue
        role = "system" if member in _SYSTEM else "user" if member == "input" else ""
        if member == "messages" and is_list(given):
            for message in given:
                if is_object(message):
                    _object(found, message, str(message.get("role") or ""), member)
        else:
            _value(found, value, member, given, role, member)
    return found


def _value(found: RequestTexts, holder: Any, key: Any, given: Any, role: str, member: str) -> None:
    if given.__class__ is str:  # orjson returns no subclasses
        if given:
            found.texts.append(Text(holder, key, given, role, member, json=key == "arguments"))
    elif given.__class__ is dict:
        if key in _FREE:
            _free(found, holder, key, given, role, member)
        else:
            _object(found, given, role, member)
    elif given.__class__ is list and given:
        if key in _FREE and not (key == "input" and member == "input"):
            _free(found, holder, key, given, role, member)
        elif given[0].__class__ in {int, float} or (given[0].__class__ is list and key == "input"):
            found.unscannable.append("tokens")
        else:
            for index, each in enumerate(given):
                _value(found, given, index, each, role, member)


def _object(found: RequestTexts, given: dict[str, Any], role: str, member: str) -> None:
    kind = given.get("type")
    if isinstance(kind, str):
        if kind in _MEDIA:
            _medium(found, given, kind, role, member)
            return
        if kind.endswith(_RESULTS):
            role = "tool"
        elif member == "input" and role == "user" and "role" in given:
            role = str(given["role"])
    elif member == "input" and "role" in given:
        role = str(given["role"])
    for key, each in given.items():
        if key in _SEALED:
            if each:
                found.unscannable.append(key)
        elif key not in _SKIPPED and each.__class__ in {str, dict, list}:
            _value(found, given, key, each, role, member)


def _medium(found: RequestTexts, given: dict[str, Any], kind: str, role: str, member: str) -> None:
    """Read what can be read of an image, a file or a document: names, captions, and documents of text."""
    source = given.get("source")
    is_text = is_object(source) and source.get("type") in {"text", "content"}
    if not is_text:
        found.unscannable.append(kind)
    for holder in (given, *(each for each in given.values() if is_object(each))):
        for key, each in holder.items():
            if each.__class__ is str:
                if key in {"data", "file_data"} and not is_text:
                    continue
                if key in _SEALED or key in _SKIPPED or each.startswith("data:"):
                    continue
                if "://" in each[:12]:
                    found.urls.append(each)
                found.texts.append(Text(holder, key, each, role, member))
            elif each.__class__ is list:
                _value(found, holder, key, each, role, member)
            elif each.__class__ is dict and holder is not given:
                _object(found, each, role, member)


def _free(found: RequestTexts, holder: Any, key: Any, given: Any, role: str, member: str) -> None:
    if given:
        text = orjson.dumps(given).decode()
        found.texts.append(Text(holder, key, text, role, member, json=True, free=True))
