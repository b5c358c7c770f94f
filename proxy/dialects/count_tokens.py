"""`POST /v1/messages/count_tokens`: how long a prompt is, as its model would count it. Never streamed."""

from __future__ import annotations

from typing import Final

from .base import Operation, Reading, Sign
from .json_values import error_of, is_object
from .messages import names_provider_state
from .request_shapes import check_count_tokens

__all__ = ["OPERATION", "CountTokensReading"]


class CountTokensReading(Reading):
    """Reads one count. Nothing is generated, so there is no usage."""

    __slots__ = ()

    def document(self, value: object) -> Sign:
        if not is_object(value):
            return Sign.NOTHING
        if (error := value.get("error")) or value.get("type") == "error":
            self.error = error_of(error)
            return Sign.ERROR
        return Sign.CONTENT if type(value.get("input_tokens")) is int else Sign.NOTHING


OPERATION: Final = Operation(
    name="count_tokens",
    dialect="anthropic",
    path="/v1/messages/count_tokens",
    upstream_path="/messages/count_tokens",
    reading=CountTokensReading,
    check=check_count_tokens,
    bound=names_provider_state,
)
