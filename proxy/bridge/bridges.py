"""The bridges between operations: which there are, and what one does for one attempt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ..config import Target
from ..dialects import chat, messages, responses
from ..dialects.base import Operation
from ..dialects.json_values import is_list, within
from .answer_translator import AnswerTranslator, Question
from .chat_answer_as_messages import ChatAnswerAsMessages
from .chat_answer_as_responses import ChatAnswerAsResponses
from .chat_request_as_messages import chat_request_as_messages
from .messages_answer_as_chat import MessagesAnswerAsChat
from .messages_request_as_chat import messages_request_as_chat
from .responses_request_as_chat import item_of, responses_request_as_chat
from .stream_translator import StreamTranslator
from .translation import TargetLimits, Translation, Untranslatable

__all__ = ["BRIDGES", "Bridge", "bridge_to", "operation_at_target"]

_RequestTranslator = Callable[[dict[str, Any], TargetLimits], Translation]


@dataclass(frozen=True, slots=True)
class Bridge:
    """Carries requests of one operation to targets that only have another one, and their answers back.

    `caller` is the caller's operation and `target` that of the target. `answers` are the stages through which
    an answer goes.
    """

    caller: Operation
    target: Operation
    request: _RequestTranslator
    answers: tuple[type[AnswerTranslator], ...]

    def question(self, value: dict[str, Any], model: str, created: int, identifier: str = "0") -> Question:
        """Returns what the translation of an answer needs to know of the request; see `Question`."""
        wanted = within(value.get("stream_options"), "include_usage") is True
        return Question(
            value, model, created, wants_usage=wanted or self.caller.name != "chat", identifier=identifier
        )

    def document(self, value: dict[str, Any], question: Question) -> dict[str, Any]:
        """Returns a whole answer in the caller's format. Raises UnreadableAnswer."""
        for stage in self.answers:
            value = stage(question).document(value)
        return value

    def stream(self, question: Question) -> StreamTranslator:
        """Returns the translator of one stream."""
        return StreamTranslator(self.caller, [stage(question) for stage in self.answers])


_CHAT_NAMES: Final = MappingProxyType(
    {
        "max_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning.effort",
        "response_format": "text.format",
    }
)
"""What members of a chat request are called in a request of Responses."""
_MESSAGE: Final = re.compile(r"messages(?:\[(-?[0-9]*)\])?(.*)")
_INNER: Final = (
    (".image_url.detail", ".detail"),
    (".image_url.url", ".image_url"),
    (".file.", "."),
    (".function.", "."),
)
"""Ends of paths in messages and tools of a chat request, and the same in a request of Responses."""


def _responses_request_as_messages(value: dict[str, Any], limits: TargetLimits) -> Translation:
    """Returns a request of Responses in the format of Messages. Raises Untranslatable."""
    as_chat = responses_request_as_chat(value, limits)
    try:
        request, dropped = chat_request_as_messages(as_chat.value, limits)
    except Untranslatable as lost:
        raise Untranslatable(_own_path(lost.field, value)) from None
    own = [_own_path(field, value) for field in dropped]
    return Translation(request, tuple(dict.fromkeys((*as_chat.dropped, *own))))


def _own_path(field: str, value: dict[str, Any]) -> str:
    """Returns the path in `value`, a request of Responses, for one in the chat request that it became."""
    for chat_end, own_end in _INNER:
        field = field.replace(chat_end, own_end)
    if (found := _MESSAGE.fullmatch(field)) is None:
        return _CHAT_NAMES.get(field.partition(".")[0].partition("[")[0], field)
    index, rest = found[1], found[2].partition(".tool_calls")[0]
    if not is_list(value.get("input")) or index is None:
        return "input"
    if not index.isdigit():
        return f"input[{index}]{rest}"  # of any message, or of the last
    item = item_of(value, int(index))
    return "instructions" if item is None else f"input[{item}]{rest}"


BRIDGES: Final[Mapping[tuple[str, str], Bridge]] = MappingProxyType(
    {
        (bridge.caller.name, bridge.target.name): bridge
        for bridge in (
            Bridge(chat.OPERATION, messages.OPERATION, chat_request_as_messages, (MessagesAnswerAsChat,)),
            Bridge(messages.OPERATION, chat.OPERATION, messages_request_as_chat, (ChatAnswerAsMessages,)),
            Bridge(responses.OPERATION, chat.OPERATION, responses_request_as_chat, (ChatAnswerAsResponses,)),
            Bridge(
                responses.OPERATION,
                messages.OPERATION,
                _responses_request_as_messages,
                (MessagesAnswerAsChat, ChatAnswerAsResponses),
            ),
        )
    }
)
"""All bridges, by the operation of the caller and that of the target."""


def bridge_to(target: Target, operation: Operation) -> Bridge | None:
    """Returns the bridge over which `target` can answer a request of `operation`.

    None if it has the operation itself, and also if there is no bridge.
    """
    own = target.operations
    if operation.name in own:
        return None
    return next(
        (bridge for (caller, name), bridge in BRIDGES.items() if caller == operation.name and name in own),
        None,
    )


def operation_at_target(target: Target, operation: Operation) -> Operation:
    """Returns the operation that `target` is asked for when a caller asks for `operation`."""
    if operation.name in target.operations:
        return operation  # nearly always
    bridge = bridge_to(target, operation)
    return operation if bridge is None else bridge.target
