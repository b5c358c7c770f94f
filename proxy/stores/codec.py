"""Conversion of records to and from JSON, for stores that keep text. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

import orjson

from .records import Issued, KeyRecord, LedgerEntry
from .tables import OpenHold, Slot

__all__ = [
    "entry_from",
    "entry_text",
    "hold_from",
    "hold_text",
    "issued_from",
    "key_from",
    "key_text",
]

_REQUIRED: Final = object()
_DEFAULTS: Final = tuple(
    (name, LedgerEntry._field_defaults.get(name, _REQUIRED)) for name in LedgerEntry._fields
)
_MEMBERS: Final = frozenset(LedgerEntry._fields)


def entry_text(entry: LedgerEntry) -> bytes:
    """Returns a ledger entry as JSON. Members that have their default value are left out."""
    members = zip(_DEFAULTS, entry, strict=True)
    return orjson.dumps({name: value for (name, default), value in members if value != default})


def entry_from(text: bytes | str) -> LedgerEntry:
    """Returns the ledger entry of a JSON text. Unknown members, from later versions, are ignored."""
    return LedgerEntry(**{name: value for name, value in orjson.loads(text).items() if name in _MEMBERS})


def key_text(record: KeyRecord) -> bytes:
    """Returns a key as JSON. Raises TypeError for a value in its table that JSON cannot hold."""
    return orjson.dumps(
        {
            "name": record.name,
            "hashes": dict(record.hashes),
            "table": dict(record.table),
            "created": record.created,
        },
        default=_plain,
    )


def key_from(name: str, text: bytes | str) -> KeyRecord:
    """Returns the key of a JSON text, or a damaged one of this name if it cannot be read."""
    try:
        record = orjson.loads(text)
        return KeyRecord(
            name=record["name"],
            hashes=MappingProxyType(record["hashes"]),
            table=MappingProxyType(record["table"]),
            created=record["created"],
        )
    except (LookupError, TypeError, ValueError):
        return KeyRecord(name=name, hashes=MappingProxyType({}), damaged=True)


def issued_from(key: str, text: bytes | str) -> Issued:
    """Returns the issuer of `key` from a JSON text, as `lua/put_issued.lua` writes it."""
    provider, owner = orjson.loads(text)
    return Issued(key, provider, owner)


def hold_text(hold: OpenHold) -> bytes:
    """Returns a hold's amounts and its ledger entries for expiry as JSON, without the time of expiry."""
    return orjson.dumps(
        [
            [[*slot, amount] for slot, amount in hold.amounts.items()],
            [entry_text(entry).decode() for entry in hold.entries],
        ]
    )


def hold_from(expires: float, text: bytes | str) -> OpenHold:
    """Returns the hold of a JSON text. `expires` is monotonic, in seconds."""
    amounts, entries = orjson.loads(text)
    return OpenHold(
        expires,
        {Slot(kind, account, bucket, refill): amount for kind, account, bucket, refill, amount in amounts},
        tuple([entry_from(entry) for entry in entries]),
    )


def _plain(value: object) -> Any:
    """Converts mappings to dicts, and sequences and sets to lists. Raises TypeError for other types."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, Sequence | frozenset | set):
        return list(cast("Iterable[Any]", value))
    raise TypeError(f"a key's table cannot hold a {type(value).__name__}")
