"""`POST /v1/embeddings`: one JSON document in, one JSON document out. Never streamed and without state."""

from __future__ import annotations

from typing import Final

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import COMPLETION_NAMES, error_of, is_list, is_object, openai_usage
from .json_values import name as named
from .request_shapes import check_embeddings

__all__ = ["OPERATION", "EmbeddingsReader"]


class EmbeddingsReader(AnswerReader):
    """Reads one list of embeddings."""

    __slots__ = ()

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        if error := value.get("error"):
            self.error = error_of(error)
            return Signal.ERROR
        self.model = named(value.get("model"))
        self.answer_id = named(value.get("id"))
        self.usage = openai_usage(value.get("usage"), COMPLETION_NAMES, writes=False)
        return Signal.CONTENT if is_list(value.get("data")) else Signal.NOTHING


def _bound(document: RequestDocument) -> bool:
    """Always False: a request for embeddings refers to no state at a provider."""
    del document
    return False


OPERATION: Final = Operation(
    name="embeddings",
    dialect="openai",
    path="/v1/embeddings",
    upstream_path="/embeddings",
    reader=EmbeddingsReader,
    check=check_embeddings,
    bound=_bound,
)
