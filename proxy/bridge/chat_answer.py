"""Reads what the answers of Chat Completions have in common, as vendors differ in them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..dialects.json_values import COMPLETION_NAMES, is_list, is_object, openai_usage, text, within
from ..dialects.usage import Usage

__all__ = ["CallPiece", "CallPieces", "first_choice", "is_thinking", "said", "usage_of"]


def first_choice(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the first choice of an answer or a chunk, or an empty object."""
    choices = value.get("choices")
    choice = choices[0] if is_list(choices) and choices else None
    return choice if is_object(choice) else {}


def is_thinking(chunk: dict[str, Any]) -> bool:
    """Whether a chunk has reasoning, under any of the names that vendors have for it."""
    delta = within(first_choice(chunk), "delta")
    return is_object(delta) and any(delta.get(name) for name in ("reasoning_content", "reasoning", "content"))


def said(content: object) -> str:
    """Returns the text of a content, which Mistral writes as a list when the model reasons."""
    if is_list(content):
        texts = [text(within(part, "text")) for part in content if within(part, "type") == "text"]
        return "".join([each for each in texts if each is not None])
    return content if isinstance(content, str) else ""


def usage_of(value: dict[str, Any]) -> Usage | None:
    """Returns the usage in an answer or a chunk. Moonshot has it in the choice, Groq in `x_groq`."""
    places = (
        value.get("usage"),
        within(first_choice(value), "usage"),
        within(value.get("x_groq"), "usage"),
    )
    found = (openai_usage(each, COMPLETION_NAMES) for each in places if each is not None)
    return next((usage for usage in found if usage is not None), None)


class CallPiece(NamedTuple):
    """One piece of the tool calls in a stream.

    `at` is the place of its call among all calls of the answer. `name` and `identifier` are set if the call
    begins with it, and `arguments` if it has some.
    """

    at: int
    name: str | None
    identifier: str | None
    arguments: str | None


class CallPieces:
    """Tells to which call each piece of a stream belongs.

    A call begins with a name. Most servers number the calls and repeat the number in each piece. Some number
    all of them 0 (Gemini), some none (Ollama), and some repeat the name, or send the id before it.
    """

    __slots__ = ("_at", "_early", "_ids")

    def __init__(self) -> None:
        self._ids: list[str | None] = []
        self._at: dict[object, int] = {}  # the latest call by its number
        self._early: str | None = None  # an id whose name has not come yet

    def __bool__(self) -> bool:
        """Whether a call has begun."""
        return bool(self._ids)

    def read(self, piece: object) -> CallPiece | None:
        """Returns what a piece is, None if it belongs to no call."""
        function, number = within(piece, "function"), within(piece, "index")
        number = number if isinstance(number, int) else None
        name, identifier = text(within(function, "name")), text(within(piece, "id"))
        arguments = text(within(function, "arguments"))
        known = self._at.get(number) if number is not None else len(self._ids) - 1 if self._ids else None
        if name is None and known is None:
            self._early = identifier or self._early
            return None
        if name is None or (known is not None and self._goes_on(known, number, identifier)):
            return None if known is None else CallPiece(known, None, None, arguments)
        at = self._at[number] = len(self._ids)
        identifier, self._early = identifier or self._early, None
        self._ids.append(identifier)
        return CallPiece(at, name, identifier, arguments)

    def _goes_on(self, known: int, number: int | None, identifier: str | None) -> bool:
        """Whether a piece with a name repeats that of its call, instead of beginning another one."""
        if identifier is None:
            return number is not None
        return self._ids[known] == identifier
