"""Management of virtual keys in the store: creating, listing, disabling, rotating and deleting them.

A secret is returned once, when it is created; only its hash is stored. Running gateways apply every change
within `keyring.TTL` seconds.
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
    """The key cannot be created or changed as requested."""


class Made(NamedTuple):
    """A new secret, to be shown once, and the record of its key."""

    secret: str
    record: KeyRecord


class Shown(NamedTuple):
    """A key for display. It does not contain the secret, which is not stored anywhere.

    `state` is "active", "expired", "disabled" or "unreadable". `hashes` maps each hash to the time at which
    it stops working, in seconds since 1970, or None. `source` is "store" or "routes.toml". `table` holds the
    key's settings. `created` is in seconds since 1970; it is None for a key in routes.toml.
    """

    name: str
    state: str
    source: str
    hashes: Mapping[str, float | None]
    table: Mapping[str, Any]
    created: float | None = None


@dataclass(frozen=True, eq=False)
class KeyStore:
    """The keys of one configuration and its store. `pepper` is the one that the Auth middleware uses."""

    routes: Routes
    store: Store
    pepper: str | None = None

    async def create(self, name: str, table: Mapping[str, Any]) -> Made:
        """Creates a key with the settings in `table`.

        Raises ConfigError for invalid settings, and KeyRefused if the name is taken.
        """
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
        """Creates a new secret for a key. The old secret works for `overlap` more seconds.

        A key in routes.toml is not changed: the returned record is what to write there, with the old hash as
        well. Raises KeyRefused if there is no such key.
        """
        if (key := self.routes.keys.get(name)) is not None:
            secret = new_secret()
            hashes = dict.fromkeys((*digests(secret, self.pepper)[:1], *key.hash))
            return Made(secret, KeyRecord(name=name, hashes=hashes, table=self._written(name)))
        record = await self._stored(name)
        now = self.store.now()
        remaining = {
            digest: now + overlap if ends is None else min(ends, now + overlap)
            for digest, ends in record.hashes.items()
            if ends is None or ends > now
        }
        secret = new_secret()
        updated = replace(record, hashes={**remaining, digests(secret, self.pepper)[0]: None})
        await self.store.put_key(updated)
        return Made(secret, updated)

    async def disable(self, name: str, *, disabled: bool = True) -> None:
        """Disables a key, or enables it again if `disabled` is False. Raises KeyRefused."""
        record = await self._stored(name)
        await self.store.put_key(replace(record, table={**record.table, "disabled": disabled}))

    async def delete(self, name: str) -> None:
        """Deletes a key. Its usage stays in the ledger. Raises KeyRefused."""
        if name in self.routes.keys or not await self.store.delete_key(name):
            await self._stored(name)  # says why not

    async def show(self, name: str) -> Shown:
        """Returns a key of routes.toml or the store. Raises KeyRefused if there is none."""
        key = self.routes.keys.get(name)
        return self._of_file(key) if key is not None else self._of_store(await self._stored(name))

    async def principal(self, name: str) -> Principal:
        """Returns the caller that a key of routes.toml or the store authenticates.

        Raises KeyRefused if there is no such key, and ConfigError if its record is invalid.
        """
        key = self.routes.keys.get(name)
        if key is None:
            record = await self._stored(name)
            key = stored_key(self.routes, record.name, {**record.table, "hash": [*record.hashes]})
        return Principal.of(key)

    async def all(self) -> list[Shown]:
        """Returns all keys: first those of routes.toml, then those of the store, sorted by name."""
        stored = [self._of_store(record) for record in await self.store.keys()]
        return [*map(self._of_file, self.routes.keys.values()), *stored]

    async def _stored(self, name: str) -> KeyRecord:
        """Returns the stored key. Raises KeyRefused if it is in routes.toml or does not exist."""
        if name in self.routes.keys:
            raise KeyRefused(f"key {name} stands in {self.routes.file}: change it there")
        record = await self.store.key(name)
        if record is None:
            raise KeyRefused(f"there is no key {name}")
        if record.damaged:
            raise KeyRefused(f"key {name} in the store is damaged; delete it, and make another one")
        return record

    def _of_file(self, key: Key) -> Shown:
        return Shown(
            key.name, self._state(key), "routes.toml", dict.fromkeys(key.hash), self._written(key.name)
        )

    def _of_store(self, record: KeyRecord) -> Shown:
        if record.damaged:
            return Shown(record.name, "unreadable", "store", record.hashes, record.table)
        try:
            state = self._state(
                stored_key(self.routes, record.name, {**record.table, "hash": [*record.hashes]})
            )
        except StandbyError:
            state = "unreadable"
        return Shown(record.name, state, "store", record.hashes, record.table, record.created)

    def _state(self, key: Key) -> str:
        """Returns the state of a key. All its scopes count: a key of a disabled team is disabled too."""
        code = Principal.of(key).ended(self.store.now())
        words = {None: "active", "api_key_expired": "expired", "api_key_disabled": "disabled"}
        return words[code]

    def _written(self, name: str) -> dict[str, Any]:
        """Returns the table of a key in routes.toml as it is written there, without its hash."""
        table: dict[str, Any] = tomllib.loads(self.routes.source)["keys"][name]
        return {key: value for key, value in table.items() if key != "hash"}
