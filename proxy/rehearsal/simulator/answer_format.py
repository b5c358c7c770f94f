"""The common part of good answers, for every vendor's format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from .answer import DONE, Answer, Api, Document, encode, event
from .bill import GeneratedText, prompt_tokens

__all__ = ["CREATED", "AnswerFormat", "Reports", "Stream"]


Reports: TypeAlias = Literal["asked", "running", "end", "never"]
"""When a provider reports usage.

    asked    as the vendors do: in a stream of Chat Completions only if requested
    running  in every event; the last one is final
    end      only at the end of a stream, whether requested or not
    never    not at all
"""

CREATED: Final = 1_790_000_000  # the same time in every answer, so that equal requests get equal bytes

_MOST_CHOICES: Final = 128

Stream: TypeAlias = tuple[list[Document], list[Document], list[Document]]
"""The documents of a stream: before the content, the content, after the content."""


@dataclass(frozen=True)
class AnswerFormat(ABC):
    """Builds good answers to one request, in the format of one vendor."""

    api: Api
    canary: str
    number: int
    request: Document
    words: tuple[str, ...]
    arguments: tuple[str, ...] | None  # fragments of a tool call's arguments; None: no tool is called
    pace: float
    seed: int
    reports: Reports = "asked"
    answers_as: str | None = None

    @property
    def model(self) -> str:
        return self.answers_as or str(self.request.get("model", "unnamed"))

    @property
    def inputs(self) -> int:
        """The number of input tokens, see `prompt_tokens`."""
        return prompt_tokens(self.request)

    @property
    def deltas(self) -> tuple[str, ...]:
        return self.words if self.arguments is None else self.arguments

    @property
    def choices(self) -> int:
        """How many answers the request gets, each with all deltas: `n` in Chat Completions, else one."""
        wanted: object = self.request.get("n")
        return wanted if self.api == "chat" and isinstance(wanted, int) and 1 < wanted <= _MOST_CHOICES else 1

    @property
    def outputs(self) -> int:
        """The number of output tokens, one per delta of each choice."""
        return len(self.deltas) * self.choices

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tool(self) -> str:
        """The name of the first tool in the request, which is the one called."""
        offered = self.request["tools"][0]
        return str(offered.get("function", offered).get("name", "tool"))

    def answer(self) -> Answer:
        streamed = self.request.get("stream") is True and self.api in ("chat", "responses", "messages")
        kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
        request_id = "request-id" if self.api in ("messages", "count_tokens") else "x-request-id"
        good = Answer(
            api=self.api,
            canary=self.canary,
            events=(),
            headers=(
                ("content-type", kind),
                (request_id, f"req_{self.canary}_{self.number}"),
                ("server", self.canary),
            ),
            pace=self.pace,
        )
        if not streamed:
            body = encode({**self.with_reported_usage(self.unary(), over=True), "canary": self.canary})
            if self.api == "count_tokens":
                return replace(good, events=(body,))  # it is free
            tokens = 0 if self.api == "embeddings" else self.outputs
            return replace(good, events=(GeneratedText(body, tokens, reports=self.reports != "never"),))
        before, content, after = self.stream()
        documents = [*before, *content, *after]
        if self.api == "responses":
            documents = [{**document, "sequence_number": number} for number, document in enumerate(documents)]
        documents = [
            self.with_reported_usage(document, over=number > len(before) + len(content))
            for number, document in enumerate(documents, 1)
        ]
        final = max((at for at, document in enumerate(documents) if self.reports_usage(document)), default=-1)
        events = [
            GeneratedText(
                event({**document, "canary": self.canary}, named=self.api != "chat"),
                tokens=1 if len(before) <= at < len(before) + self.outputs else 0,
                reports=at == final >= len(before) + len(content),
            )
            for at, document in enumerate(documents)
        ]
        return replace(
            good,
            streamed=True,
            framing="chunked",
            events=(*events, DONE) if self.api == "chat" else tuple(events),
            preamble=len(before),
            ending=len(before) + len(content),
        )

    @abstractmethod
    def unary(self) -> Document:
        """Returns the answer as one document."""

    @abstractmethod
    def stream(self) -> Stream:
        """Returns the answer as the documents of a stream."""

    # Usage reports

    def with_reported_usage(self, document: Document, *, over: bool) -> Document:
        """Returns a document without the usage that this provider does not report.

        `over` is whether it is the end.
        """
        if self.reports == "never" or (self.reports == "end" and not over):
            kept = {key: value for key, value in document.items() if key != "usage"}
            for inner in ("response", "message"):
                if inner in kept:
                    kept[inner] = {key: value for key, value in kept[inner].items() if key != "usage"}
            return kept
        return document

    @staticmethod
    def reports_usage(document: Document) -> bool:
        """Whether a document reports usage."""
        inner: Document = document.get("response") or document
        return inner.get("usage") is not None
