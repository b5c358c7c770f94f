"""Where the clients meet a bridge, and what they would have got without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pprint import pformat
from typing import Any, Final, NamedTuple, TypeVar, cast

import httpx2
from pydantic import BaseModel

__all__ = ["Pair", "http", "plain", "same"]

_OWN: Final = frozenset(
    {
        # Ids, times and names of the answer's own, and what the simulator adds to tell who answered.
        *("id", "item_id", "call_id", "created", "created_at", "completed_at", "model", "canary"),
        "system_fingerprint",
        # Counts of the prompt: each provider counts what it was sent, in its own format.
        *("input_tokens", "prompt_tokens", "total_tokens", "input_tokens_details", "prompt_tokens_details"),
        *("cache_creation_input_tokens", "cache_read_input_tokens"),
        # Parts of the output that the simulator does not tell in a chat: none of it was reasoning or audio.
        "completion_tokens_details",
    }
)
"""What differs between two answers of the same content."""

_Client = TypeVar("_Client")
_Answer = TypeVar("_Answer")


class Pair(NamedTuple):
    """Two gateways' addresses: where the caller's own dialect is spoken, and where the answer is translated.

    `support` and `drafting` are the models that answer there, to callers of either dialect.
    """

    native: str
    translated: str
    support: str
    drafting: str


def http() -> httpx2.Client:
    """Connections without the cost of a trust store."""
    return httpx2.Client(verify=False, trust_env=False, timeout=20.0)


def same(ask: Callable[[_Client], _Answer], clients: Sequence[_Client]) -> _Answer:
    """What the second client is answered, which is the same as what the first one is."""
    native, translated = (ask(client) for client in clients)
    expected, found = plain(native), plain(translated)
    assert found == expected, f"natively:\n{pformat(expected)}\nover the bridge:\n{pformat(found)}"
    return translated


def plain(value: object) -> Any:
    """A value of an SDK's without what is an answer's own, and without members that are null."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(warnings=False))
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {
            name: plain(inner) for name, inner in members.items() if name not in _OWN and inner is not None
        }
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in cast("Sequence[object]", value)]
    return value
