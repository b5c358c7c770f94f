"""Records as JSON, for stores that keep text. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final, cast

import orjson

from .records import KeyRecord, LedgerEntry
from .tables import OpenHold, Slot

__all__ = ["entry_from", "entry_text", "hold_from", "hold_text", "key_from", "key_text"]

_DEFAULTS: Final = MappingProxyType({field.name: field.default for field in fields(LedgerEntry)})


def entry_text(entry: LedgerEntry) -> bytes:
    """An entry without what is as it usually is."""
    given = {name: getattr(entry, name) for name in _DEFAULTS}
    return orjson.dumps({name: value for name, value in given.items() if value != _DEFAULTS[name]})


def entry_from(text: bytes | str) -> LedgerEntry:
    """The entry of a text; members that a later version added are left aside."""
    return LedgerEntry(**{name: value for name, value in orjson.loads(text).items() if name in _DEFAULTS})


def key_text(record: KeyRecord) -> bytes:
    """A key."""
    return orjson.dumps(
        {
            "name": record.name,
            "hashes": dict(record.hashes),
            "table": dict(record.table),
            "created": record.created,
        },
        default=_plain,
    )


def key_from(text: bytes | str) -> KeyRecord:
    """The key of a text."""
    record = orjson.loads(text)
    return KeyRecord(
        name=record["name"],
        hashes=MappingProxyType(record["hashes"]),
        table=MappingProxyType(record["table"]),
        created=record["created"],
    )


def hold_text(hold: OpenHold) -> bytes:
    """What a hold holds, and what its expiry writes."""
    return orjson.dumps(
        [
            [[*slot, amount] for slot, amount in hold.amounts.items()],
            [entry_text(entry).decode() for entry in hold.entries],
        ]
    )


def hold_from(expires: float, text: bytes | str) -> OpenHold:
    """The hold of a text."""
    amounts, entries = orjson.loads(text)
    return OpenHold(
        expires,
        {Slot(kind, account, bucket, refill): amount for kind, account, bucket, refill, amount in amounts},
        tuple([entry_from(entry) for entry in entries]),
    )


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, Sequence | frozenset | set):
        return list(cast("Iterable[Any]", value))
    raise TypeError(f"a key's table cannot hold a {type(value).__name__}")
