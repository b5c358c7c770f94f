"""The requests of a drill, over real sockets, and what is planted in them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import httpx2
import orjson

from ...config import targets_of
from ...dialects.base import Operation
from ...guardrails.rules import Kind
from .record import Cell, Reply

__all__ = ["PLANTED", "ask"]

_PROMPT: Final = "Where is my order?"
PLANTED: Final[Mapping[Kind, str]] = MappingProxyType(
    {"secrets": "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6", "personal_data": "ann.drill@example.com"}
)
"""What a rule of each kind finds. No real key and nobody's address."""
_OUTPUT: Final = 64  # tokens
_TOOL: Final = MappingProxyType({"type": "object", "properties": {"order": {"type": "string"}}})


async def ask(client: httpx2.AsyncClient, cell: Cell, secret: str | None, words: str = "") -> Reply:
    """Send one request of a cell, with `words` added to its prompt."""
    document = _document(cell, f"{_PROMPT} {words}".strip())
    headers = {"content-type": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    if cell.operation.dialect == "anthropic":
        headers["anthropic-version"] = "2023-06-01"
    began = time.perf_counter()
    body = bytearray()
    status, seen = 0, dict[str, str]()
    try:
        async with client.stream(
            "POST", cell.operation.path, content=orjson.dumps(document), headers=headers
        ) as response:
            status = response.status_code
            seen = {name.lower(): value for name, value in response.headers.items()}
            async for chunk in response.aiter_bytes():
                body += chunk
    except httpx2.TransportError:
        body += b"\n(the connection was cut)"
    return Reply(status, seen, bytes(body), time.perf_counter() - began, bool(words))


def _document(cell: Cell, prompt: str) -> dict[str, Any]:
    document: dict[str, Any] = {"model": cell.pool.serves[0]}
    document |= _writer(cell.operation)(prompt, _most_output(cell))
    if cell.streamed:
        document["stream"] = True
    if "tools" in cell.pool.requires and cell.operation.name != "embeddings":
        document["tools"] = [_tool(cell.operation)]
    return document


def _writer(operation: Operation) -> Any:
    return {"chat": _chat, "messages": _messages, "responses": _responses}.get(operation.name, _embeddings)


def _most_output(cell: Cell) -> int:
    """Returns a limit of output tokens that the pool and its targets take."""
    limits = [cell.pool.max_output, *(target.max_output for target in targets_of(cell.pool))]
    return min([_OUTPUT, *(limit for limit in limits if limit is not None)])


def _chat(prompt: str, most: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "max_completion_tokens": most}


def _messages(prompt: str, most: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": most}


def _responses(prompt: str, most: int) -> dict[str, Any]:
    return {"input": prompt, "max_output_tokens": most, "store": False}


def _embeddings(prompt: str, most: int) -> dict[str, Any]:
    del most
    return {"input": prompt}


def _tool(operation: Operation) -> dict[str, Any]:
    if operation.dialect == "anthropic":
        return {"name": "look_up", "input_schema": dict(_TOOL)}
    function = {"name": "look_up", "parameters": dict(_TOOL)}
    return {"type": "function", **(function if operation.name == "responses" else {"function": function})}
