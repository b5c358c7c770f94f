"""Tests of KeyStore: creating, listing, disabling, rotating and deleting virtual keys."""

from __future__ import annotations

from typing import Any, Final

import pytest
from standby.proxy.config import Routes, parse_routes
from standby.proxy.errors import ConfigError
from standby.proxy.keys.credentials import digests
from standby.proxy.keys.key_store import KeyRefused, KeyStore
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.tables import Clocks

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

GRANTS: Final[dict[str, Any]] = {"pools": ["support"]}
FILE: Final = digests("own")[0]
PEOPLE: Final = f"""
[teams.web]
[teams.off]
disabled = true
[keys.own]
hash = "{FILE}"
pools = ["support"]
expires = 2020-01-01T00:00:00Z
budget = [{{ limit = "5.00", window = "day" }}]
"""


class Desk:
    """Keys in routes.toml and in a store whose time a test sets."""

    def __init__(
        self, stack: str = '"auth", "budget", "failover"', target: str = "", tables: str = "", **more: Any
    ) -> None:
        self.now = 1_000_000_000.0
        target = target or 'price = { input = "1", output = "1" }'
        tables = tables or (PEOPLE if "budget" in stack else "")
        self.routes: Routes = routes_to(
            "http://127.0.0.1:9/v1", top=f"stack = [{stack}]", target=target, tables=tables
        )
        self.store = Memory(Clocks(wall=lambda: self.now))
        self.keys = KeyStore(self.routes, self.store, **more)


@pytest.fixture
def desk() -> Desk:
    """A desk with one key in routes.toml and none in the store."""
    return Desk()


async def test_a_secret_is_given_once_and_never_kept(desk: Desk) -> None:
    """Only the hash, the time and the grants are stored, not the secret."""
    made = await desk.keys.create("checkout", GRANTS)
    stored = await desk.store.key("checkout")
    assert stored == made.record
    assert (dict(made.record.hashes), made.record.created) == ({digests(made.secret)[0]: None}, desk.now)
    assert made.secret not in repr(stored)
    assert await desk.store.key_by_hash(digests(made.secret)[0]) == stored


async def test_a_pepper_makes_the_hash() -> None:
    """The hash is made with the pepper of Auth's table."""
    made = await Desk(tables='[auth]\npepper = "env:PEPPER"', pepper="salt").keys.create("checkout", GRANTS)
    assert list(made.record.hashes) == [digests(made.secret, "salt")[0]]


async def test_a_name_is_given_once(desk: Desk) -> None:
    """A name may be used only once in the store and routes.toml together."""
    await desk.keys.create("checkout", GRANTS)
    for name in ("checkout", "own"):
        with pytest.raises(KeyRefused, match=name):
            await desk.keys.create(name, GRANTS)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"pools": ["suport"]}, 'there is no pool "suport"; did you mean "support"?'),
        ({}, "required, but not given"),
        ({**GRANTS, "regions": ["eu"]}, 'no provider is in region "eu"'),
        ({**GRANTS, "team": "wep"}, 'there is no team "wep"; known: web, off'),
        ({**GRANTS, "expires": "tomorrow"}, "not a point in time"),
        ({**GRANTS, "budget": [{"limit": 5, "window": "day"}]}, "money is text"),
        ({**GRANTS, "colour": "red"}, "unknown key"),
        ({**GRANTS, "hash": "x"}, None),
    ],
)
async def test_grants_are_checked_before_anything_is_kept(
    desk: Desk, table: dict[str, Any], problem: str | None
) -> None:
    """Grants are validated like those in routes.toml, with a suggestion. A given hash is replaced."""
    if problem is None:
        made = await desk.keys.create("checkout", table)
        assert list(made.record.hashes) == [digests(made.secret)[0]]
        return
    with pytest.raises(ConfigError) as caught:
        await desk.keys.create("checkout", table)
    assert problem in str(caught.value)
    assert await desk.store.keys() == []


async def test_a_key_that_would_not_be_heeded_is_not_made() -> None:
    """A key is refused if the stack has no Auth, no Budget for its budget, or a target without a price."""
    money = {**GRANTS, "budget": [{"limit": "5.00", "window": "day"}]}
    for desk, table, problem in (
        (Desk('"failover"'), GRANTS, "nobody asks who calls"),
        (Desk('"auth", "failover"'), money, "nobody counts"),
    ):
        with pytest.raises(ConfigError, match=problem):
            await desk.keys.create("checkout", table)
    unpriced = Desk('"auth", "failover"', target="unpriced = 'refuse'")
    text = unpriced.routes.source.replace('"auth", "failover"', '"auth", "budget", "failover"')
    keys = KeyStore(parse_routes(text, environ={}), unpriced.store)
    with pytest.raises(ConfigError, match='"checkout" counts money'):
        await keys.create("checkout", money)


async def test_rotation_overlaps(desk: Desk) -> None:
    """After a rotation the old secret works for the overlap. Hashes that have ended are removed."""
    first = await desk.keys.create("checkout", {**GRANTS, "team": "web"})
    second = await desk.keys.rotate("checkout", 3600)
    old, new = digests(first.secret)[0], digests(second.secret)[0]
    assert dict(second.record.hashes) == {old: desk.now + 3600, new: None}
    assert second.record.table == first.record.table
    desk.now += 1800
    third = digests((await desk.keys.rotate("checkout", 3600)).secret)[0]
    record = await desk.store.key("checkout")
    assert record is not None
    assert dict(record.hashes) == {old: desk.now + 1800, new: desk.now + 3600, third: None}
    desk.now += 1800
    await desk.keys.rotate("checkout", 0)
    record = await desk.store.key("checkout")
    assert record is not None
    assert old not in record.hashes
    assert [ends for ends in record.hashes.values() if ends is None or ends > desk.now] == [None]


async def test_a_key_of_the_file_is_rotated_by_its_owner(desk: Desk) -> None:
    """Rotating a key of routes.toml returns what to write there, with both hashes. Nothing is stored."""
    made = await desk.keys.rotate("own", 3600)
    assert list(made.record.hashes) == [digests(made.secret)[0], FILE]
    assert made.record.table["budget"] == [{"limit": "5.00", "window": "day"}]
    assert await desk.store.keys() == []


async def test_a_key_is_disabled_and_enabled(desk: Desk) -> None:
    """Disabling and enabling changes nothing else."""
    made = await desk.keys.create("checkout", GRANTS)
    await desk.keys.disable("checkout")
    assert (await desk.keys.show("checkout")).state == "disabled"
    assert (await desk.keys.show("checkout")).hashes == made.record.hashes
    await desk.keys.disable("checkout", disabled=False)
    assert (await desk.keys.show("checkout")).state == "active"


async def test_a_key_is_deleted(desk: Desk) -> None:
    """Deleting a key deletes its hashes."""
    made = await desk.keys.create("checkout", GRANTS)
    await desk.keys.delete("checkout")
    assert await desk.store.key_by_hash(digests(made.secret)[0]) is None


async def test_what_is_not_there_is_told(desk: Desk) -> None:
    """Changes to an unknown key, or to a key of routes.toml, are refused."""
    for name, problem in (("nobody", "there is no key nobody"), ("own", r"own stands in routes\.toml")):
        for act in (desk.keys.delete, desk.keys.disable):
            with pytest.raises(KeyRefused, match=problem):
                await act(name)
    with pytest.raises(KeyRefused, match="there is no key nobody"):
        await desk.keys.rotate("nobody", 0)
    with pytest.raises(KeyRefused, match="there is no key nobody"):
        await desk.keys.show("nobody")


async def test_all_keys_are_shown_with_their_state(desk: Desk) -> None:
    """Keys of routes.toml come first. Expired, disabled and unreadable keys have their own states."""
    await desk.keys.create("active", GRANTS)
    await desk.keys.create("banned", {**GRANTS, "team": "off"})
    made = await desk.keys.create("lost", GRANTS)
    await desk.store.put_key(type(made.record)(name="lost", hashes={}, table={"team": "gone"}))
    desk.now = 2_000_000_000.0
    keys = await desk.keys.all()
    assert [(key.name, key.state, key.source) for key in keys] == [
        ("own", "expired", "routes.toml"),
        ("active", "active", "store"),
        ("banned", "disabled", "store"),
        ("lost", "unreadable", "store"),
    ]
