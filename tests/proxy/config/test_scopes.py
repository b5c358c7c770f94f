"""Tests of organisations, teams, users and keys: one chain of parents for each, and only known names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from standby.proxy.config import Key, Organisation, Team, kind_of, parent_of, parse_routes, stored_key
from standby.proxy.errors import ConfigError

from .documents import ENVIRON, ROUTES

__all__: list[str] = []

HASH: Final = f"sha256:{'a' * 64}"
OTHER: Final = f"sha256:{'b' * 64}"
MAKE: Final = 'make one with "standby keys create"; a key itself is never written down'
MOMENT: Final = "not a point in time; write 2030-01-31T12:00:00Z"
PEOPLE: Final = f"""
[organisations.acme]
regions = ["eu"]
[teams.search]
organisation = "acme"
[users.ann]
team = "search"
[keys.checkout]
hash = "{HASH}"
pools = ["support"]
user = "ann"
"""


def text(more: str = PEOPLE, stack: str = '"auth", "budget", "failover"') -> str:
    """The small complete configuration with these scopes, and a region."""
    routes = ROUTES.replace('dialect = "openai"', 'dialect = "openai"\nregion = "eu"')
    return f"stack = [{stack}]\n{routes}{more}"


def problems_in(more: str, stack: str = '"auth", "budget", "failover"') -> list[str]:
    """The problems of these scopes, without file and line."""
    try:
        parse_routes(text(more, stack), environ=dict(ENVIRON))
    except ConfigError as error:
        return [
            str(problem).split(": ", 1)[1] if problem.line else "a problem without its line"
            for problem in error.problems
        ]
    return []


def test_the_chain_is_resolved() -> None:
    """A key leads to its user, team and organisation: the same objects as in the other sections."""
    routes = parse_routes(text(), environ=dict(ENVIRON))
    chain: list[str] = []
    scope = parent_of(routes.keys["checkout"])
    while scope is not None:
        chain.append(f"{kind_of(scope)} {scope.name}")
        scope = parent_of(scope)
    assert chain == ["user ann", "team search", "organisation acme"]
    assert routes.teams["search"].organisation is routes.organisations["acme"]


def test_a_key_is_found_by_each_of_its_hashes() -> None:
    """During rotation a key has two hashes; a single text is a list of one."""
    routes = parse_routes(text(PEOPLE.replace(f'"{HASH}"', f'["{HASH}", "{OTHER}"]')), environ=dict(ENVIRON))
    key = routes.keys["checkout"]
    assert routes.key_by_hash(HASH) is routes.key_by_hash(OTHER) is key
    assert routes.key_by_hash(f"sha256:{'c' * 64}") is None
    assert parse_routes(text(), environ=dict(ENVIRON)).keys["checkout"].hash == (HASH,)


def test_times_are_those_of_toml() -> None:
    """`expires` is a date-time with an offset."""
    more = f"{PEOPLE}expires = 2030-01-31T12:00:00+02:00\n"
    assert parse_routes(text(more), environ=dict(ENVIRON)).keys["checkout"].expires == datetime(
        2030, 1, 31, 10, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'pools = ["support"]',
            'pools = ["suport"]',
            'keys.checkout.pools[0]: there is no pool "suport"; did you mean "support"?',
        ),
        ('pools = ["support"]', "", 'keys.checkout.pools: required, but not given; write ["*"] for all'),
        ('pools = ["support"]', "pools = []", "keys.checkout.pools: must not be empty"),
        ('["eu"]', '["us"]', 'organisations.acme.regions[0]: no provider is in region "us"; known: eu'),
        (
            'regions = ["eu"]',
            'providers = ["opnai"]',
            'organisations.acme.providers[0]: there is no provider "opnai"; did you mean "openai"?',
        ),
        (
            'organisation = "acme"',
            'organisation = "acne"',
            'teams.search.organisation: there is no organisation "acne"; did you mean "acme"?',
        ),
        ('user = "ann"', 'user = "bob"', 'keys.checkout.user: there is no user "bob"; known: ann'),
        (
            'user = "ann"',
            'user = "ann"\nteam = "search"',
            "keys.checkout.team: a scope names its nearest parent alone, and user is given; leave it out",
        ),
        (
            'team = "search"',
            'team = "search"\norganisation = "acme"',
            "users.ann.organisation: a scope names its nearest parent alone, and team is given; leave it out",
        ),
        (
            HASH,
            "sk-standby-secret",
            f"keys.checkout.hash[0]: not the hash of a key; {MAKE}",
        ),
        (
            "[users.ann]",
            '[users.ann]\nips = ["10.0.0.1/8"]',
            'users.ann.ips[0]: not an address or network; write "10.0.0.0/8" or "192.0.2.7"',
        ),
        (
            'user = "ann"',
            "expires = 2030-01-31",
            "keys.checkout.expires: a point in time needs its offset; did you mean 2030-01-31T00:00:00Z?",
        ),
        (
            'user = "ann"',
            'expires = "soon"',
            f"keys.checkout.expires: {MOMENT}",
        ),
        (
            'user = "ann"',
            "expires = 5",
            f"keys.checkout.expires: {MOMENT}",
        ),
        ('user = "ann"', 'disabled = "yes"', "keys.checkout.disabled: must be true or false"),
        ('user = "ann"', 'usr = "ann"', 'keys.checkout.usr: unknown key; did you mean "user"?'),
        (
            'user = "ann"',
            f'[keys.other]\nhash = "{HASH}"\npools = ["*"]',
            'keys.other.hash: keys "checkout" and "other" have the same hash',
        ),
        (
            HASH,
            f"hmac-{HASH}",
            "keys.checkout.hash: this hash was made with a pepper, and [auth] has none; give it its pepper",
        ),
        ("[teams.search]", "[teams]\nsearch = 1\n[teams.other]", None),
    ],
)
def test_a_mistake_is_told(old: str, new: str, problem: str | None) -> None:
    """Every name is checked, with a hint for the most similar valid one."""
    assert old in PEOPLE
    found = problems_in(PEOPLE.replace(old, new, 1))
    assert found == [problem] if problem is not None else found


def test_what_nobody_would_heed_is_an_error() -> None:
    """Keys without Auth and limits without Budget are problems, since they would have no effect."""
    assert problems_in(PEOPLE, '"failover"') == [
        f'{title}: nobody asks who calls; add "auth" to stack, before "failover"'
        for title in ("organisations", "teams", "users", "keys")
    ]
    again = '[pools.again]\nprefer = ["main"]\nsticky = "key"\n'
    assert problems_in(again, '"route_select", "failover"') == [
        'pools.again.sticky: nobody asks who calls; add "auth" to stack, before "failover"'
    ]
    limited = f"{PEOPLE}limits = {{ concurrent = 5 }}\n"
    assert problems_in(limited, '"auth", "failover"') == [
        'keys.checkout.limits: nobody counts; add "budget" to stack, before "failover"'
    ]
    assert problems_in(f'{limited}[house]\nuse = "a:b"\n', '"house"') == []


@pytest.mark.parametrize(
    ("stack", "problem"),
    [
        (
            '"budget", "auth", "failover"',
            'stack[1]: "auth" must stand before "budget"; the outermost comes first',
        ),
        ('"failover", "auth"', 'stack[1]: "auth" must stand before "failover"; the outermost comes first'),
        (
            '"failover", "budget"',
            'stack[1]: "budget" must stand before "failover"; the outermost comes first',
        ),
    ],
)
def test_who_calls_is_asked_before_what_it_costs(stack: str, problem: str) -> None:
    """Auth and Budget must run once per request, not once per attempt."""
    assert problem in problems_in("", stack)


def test_scopes_are_frozen_and_hashable() -> None:
    """Scopes are immutable, since requests share them; a team and an organisation may share a name."""
    assert hash(Team(name="a")) != hash(Organisation(name="a"))
    key = Key(name="a", pools=("*",), hash=(HASH,))
    with pytest.raises(ValueError, match="frozen"):
        key.disabled = True


def test_a_key_of_a_store_is_read_by_the_same_rules() -> None:
    """In a stored key, grants of missing names are ignored, but a missing parent scope is an error."""
    routes = parse_routes(text(), environ=dict(ENVIRON))
    table = {"hash": [OTHER], "pools": ["gone"], "regions": ["gone"], "team": "search"}
    assert stored_key(routes, "k", table).team is routes.teams["search"]
    for wrong, problem in (
        ({**table, "team": "gone"}, 'keys.k.team: there is no team "gone"; known: search'),
        ({**table, "hash": []}, "keys.k.hash: must not be empty"),
        ({**table, "color": "red"}, "keys.k.color: unknown key"),
    ):
        with pytest.raises(ConfigError, match=r"routes\.toml") as caught:
            stored_key(routes, "k", wrong)
        assert problem in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        stored_key(routes, "k", table, strict=True)
    assert [problem.key for problem in caught.value.problems] == ["keys.k.pools[0]", "keys.k.regions[0]"]
