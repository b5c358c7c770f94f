"""Virtual keys in the store: made, listed, disabled, rotated, deleted.

A secret exists in the moment it is made and is never kept: what is kept is its hash. Gateways that run learn
of every change within `keyring.TTL` seconds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..config import Key, Routes, stored_key
from ..errors import StandbyError
from ..stores.records import KeyRecord
from ..stores.store import Store
from .credentials import digests, new_secret
from .principal import Principal

__all__ = ["KeyRefused", "KeyStore", "Made", "Shown"]


class KeyRefused(StandbyError):
    """A key cannot be made or changed as asked."""


class Made(NamedTuple):
    """A new secret, to be shown once, and the key it opens."""

    secret: str
    record: KeyRecord


class Shown(NamedTuple):
    """A key as people see it: never its secret, which nobody has.

    `state` is "active", "expired", "disabled", or what else keeps it from working. `hashes` maps each hash to
    the time at which it ends, in seconds since 1970, or None. `source` is "store" or "routes.toml".
    """

    name: str
    state: str
    source: str
    hashes: Mapping[str, float | None]
    table: Mapping[str, Any]
    created: float | None = None


@dataclass(frozen=True, eq=False)
class KeyStore:
    """The keys of one configuration and its store. `pepper` is Auth's."""

    routes: Routes
    store: Store
    pepper: str | None = None

    async def create(self, name: str, table: Mapping[str, Any]) -> Made:
        """A new key with these grants. Raises ConfigError for grants that are not valid, and KeyRefused."""
        if name in self.routes.keys:
            raise KeyRefused(f"{self.routes.file} has a key of the name {name}")
        secret = new_secret()
        digest = digests(secret, self.pepper)[0]
        stored_key(self.routes, name, {**table, "hash": [digest]}, strict=True)
        if await self.store.key(name) is not None:
            raise KeyRefused(f"there is a key of the name {name}; rotate it, or delete it first")
        record = KeyRecord(name=name, hashes={digest: None}, table=table, created=self.store.now())
        await self.store.put_key(record)
        return Made(secret, record)

    async def rotate(self, name: str, overlap: float) -> Made:
        """A new secret for a key; the old one works for `overlap` more seconds.

        A key of the file is not changed: the record is what should stand there, with the old hash as well.
        """
        if (key := self.routes.keys.get(name)) is not None:
            secret = new_secret()
            hashes = dict.fromkeys((*digests(secret, self.pepper)[:1], *key.hash))
            return Made(secret, KeyRecord(name=name, hashes=hashes, table=self._written(name)))
        record = await self._stored(name)
        now = self.store.now()
        kept = {
            digest: now + overlap if ends is None else min(ends, now + overlap)
            for digest, ends in record.hashes.items()
            if ends is None or ends > now
        }
        secret = new_secret()
        changed = replace(record, hashes={**kept, digests(secret, self.pepper)[0]: None})
        await self.store.put_key(changed)
        return Made(secret, changed)

    async def disable(self, name: str, *, disabled: bool = True) -> None:
        """Keep a key from working, or let it work again."""
        record = await self._stored(name)
        await self.store.put_key(replace(record, table={**record.table, "disabled": disabled}))

    async def delete(self, name: str) -> None:
        """Forget a key. What it has used stays in the ledger."""
        await self._stored(name)
        await self.store.delete_key(name)

    async def show(self, name: str) -> Shown:
        """One key, wherever it stands."""
        key = self.routes.keys.get(name)
        return self._of_file(key) if key is not None else self._of_store(await self._stored(name))

    async def principal(self, name: str) -> Principal:
        """Who shows this key, wherever it stands. Raises KeyRefused, and ConfigError for one not valid."""
        key = self.routes.keys.get(name)
        if key is None:
            record = await self._stored(name)
            key = stored_key(self.routes, record.name, {**record.table, "hash": [*record.hashes]})
        return Principal.of(key)

    async def all(self) -> list[Shown]:
        """Those of the file, then those of the store by name."""
        stored = [self._of_store(record) for record in await self.store.keys()]
        return [*map(self._of_file, self.routes.keys.values()), *stored]

    async def _stored(self, name: str) -> KeyRecord:
        if name in self.routes.keys:
            raise KeyRefused(f"key {name} stands in {self.routes.file}: change it there")
        record = await self.store.key(name)
        if record is None:
            raise KeyRefused(f"there is no key {name}")
        return record

    def _of_file(self, key: Key) -> Shown:
        return Shown(
            key.name, self._state(key), "routes.toml", dict.fromkeys(key.hash), self._written(key.name)
        )

    def _of_store(self, record: KeyRecord) -> Shown:
        try:
            state = self._state(
                stored_key(self.routes, record.name, {**record.table, "hash": [*record.hashes]})
            )
        except StandbyError:
            state = "unreadable"
        return Shown(record.name, state, "store", record.hashes, record.table, record.created)

    def _state(self, key: Key) -> str:
        """By the rules of its whole chain: a key of a disabled team does not work either."""
        code = Principal.of(key).ended(self.store.now())
        words = {None: "active", "api_key_expired": "expired", "api_key_revoked": "disabled"}
        return words[code]

    def _written(self, name: str) -> dict[str, Any]:
        """The table of a key of the file, as it stands there, but for its hash."""
        table: dict[str, Any] = tomllib.loads(self.routes.source)["keys"][name]
        return {key: value for key, value in table.items() if key != "hash"}
