"""`POST /v1/messages/count_tokens`: the token count of a prompt, as its model counts. Never streamed."""

from __future__ import annotations

from typing import Final

from .base import AnswerReader, Operation, Signal
from .json_values import error_of, is_object
from .messages import names_provider_state, references
from .request_shapes import check_count_tokens

__all__ = ["OPERATION", "CountTokensReader"]


class CountTokensReader(AnswerReader):
    """Reads one token count. The operation generates no output, so there is no usage."""

    __slots__ = ()

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        if (error := value.get("error")) or value.get("type") == "error":
            self.error = error_of(error)
            return Signal.ERROR
        return Signal.CONTENT if type(value.get("input_tokens")) is int else Signal.NOTHING


OPERATION: Final = Operation(
    name="count_tokens",
    dialect="anthropic",
    path="/v1/messages/count_tokens",
    upstream_path="/messages/count_tokens",
    reader=CountTokensReader,
    check=check_count_tokens,
    bound=names_provider_state,
    references=references,
    own_rates=True,
)
