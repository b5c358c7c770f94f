"""The tool that every client offers, as each API wants it described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from anthropic.types import ToolParam
    from openai.types.chat import ChatCompletionFunctionToolParam
    from openai.types.responses import FunctionToolParam

__all__ = ["City", "chat_tool", "messages_tool", "responses_tool"]


class City(BaseModel):
    """A city."""

    city: str


def chat_tool() -> ChatCompletionFunctionToolParam:
    """For Chat Completions."""
    return {"type": "function", "function": {"name": "weather", "parameters": _schema()}}


def responses_tool() -> FunctionToolParam:
    """For Responses."""
    return {"type": "function", "name": "weather", "parameters": _schema(), "strict": False}


def messages_tool() -> ToolParam:
    """For Messages."""
    return {"name": "weather", "input_schema": _schema()}


def _schema() -> dict[str, Any]:
    return City.model_json_schema()
