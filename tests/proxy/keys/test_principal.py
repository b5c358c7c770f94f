"""Tests of Principal: the rules of all scopes of a caller apply together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.config import Key, Organisation, Pool, Provider, Target, Team, User
from standby.proxy.keys.principal import Principal, ScopeOf

__all__: list[str] = []

HASH: Final = f"sha256:{'a' * 64}"
NAMES: Final = ("a", "b", "c", "d")


def key(**fields: Any) -> Key:
    """A key that may use everything, except as `fields` say."""
    given: dict[str, Any] = {"name": "k", "hash": (HASH,), "pools": ("*",), **fields}
    return Key(**given)


def target(provider: str, region: str | None = None) -> Target:
    """A target at a provider in a region."""
    at = Provider(name=provider, dialect="openai", base_url="http://127.0.0.1:9/v1", region=region)
    return Target(name=f"{provider}-{region}", provider=at, model="m")


def test_the_chain_stands_widest_first() -> None:
    """Scopes are ordered widest first. A scope that is not in the chain has no name."""
    acme = Organisation(name="acme")
    principal = Principal.of(key(user=User(name="ann", team=Team(name="web", organisation=acme))))
    assert [(scope.kind, scope.grants.name) for scope in principal.scopes] == [
        ("organisation", "acme"),
        ("team", "web"),
        ("user", "ann"),
        ("key", "k"),
    ]
    assert (principal.name("team"), Principal.of(acme).name("key")) == ("web", None)


def test_a_key_grants_what_it_names() -> None:
    """A key grants only the pools it names; `*` grants all pools that its other scopes grant."""
    assert Principal.of(key(pools=("a",))).grants("a")
    assert not Principal.of(key(pools=("a",))).grants("b")
    assert Principal.of(key()).pools is None
    team = Team(name="web", pools=("a", "b"))
    assert Principal.of(key(team=team)).pools == frozenset({"a", "b"})
    assert Principal.of(key(pools=("b", "c"), team=team)).pools == frozenset({"b"})


def test_data_stays_where_every_scope_lets_it_go() -> None:
    """A provider without a region is outside all regions."""
    european = Principal.of(key(regions=("eu",)))
    assert european.objection(target("a", "eu")) is None
    assert european.objection(target("a", "us")) == european.objection(target("a")) == "policy.residency"
    chosen = Principal.of(key(providers=("a",), organisation=Organisation(name="acme", regions=("eu",))))
    assert chosen.objection(target("a", "eu")) is None
    assert chosen.objection(target("b", "eu")) == "policy.provider_denied"
    assert chosen.objection(target("a", "us")) == "policy.residency"


def test_a_pool_without_any_allowed_target_is_told_apart() -> None:
    """The error code names the region if a region rule is in the way, otherwise the provider."""
    pool = Pool(name="p", prefer=(target("a", "us"), target("b", "eu")))
    assert Principal.of(key()).lacks(pool) is None
    assert Principal.of(key(regions=("eu",))).lacks(pool) is None
    assert Principal.of(key(regions=("mars",))).lacks(pool) == "region_not_allowed"
    assert Principal.of(key(providers=("z",))).lacks(pool) == "provider_not_allowed"
    assert Principal.of(key(providers=("a",), regions=("eu",))).lacks(pool) == "region_not_allowed"


def test_a_key_ends() -> None:
    """A key ends when it expires, when it is replaced, or when any of its scopes is disabled."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    at = moment.timestamp()
    expiring = Principal.of(key(expires=moment))
    assert (expiring.ended(at - 1), expiring.ended(at)) == (None, "api_key_expired")
    replaced = Principal.of(key(), at)
    assert (replaced.ended(at - 1), replaced.ended(at)) == (None, "api_key_revoked")
    assert Principal.of(key(disabled=True)).ended(0) == "api_key_disabled"
    assert Principal.of(key(team=Team(name="web", disabled=True))).ended(0) == "api_key_disabled"
    assert Principal.of(key()).ended(1e12) is None


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.7", True),
        ("2001:db8::1", True),
        ("192.0.2.8", False),
        ("::ffff:192.0.2.8", False),
        ("2001:db9::1", False),
        ("testclient", False),
        ("", False),
        (None, False),
    ],
)
def test_callers_come_from_where_they_may(client: str | None, allowed: bool) -> None:
    """An IPv4-mapped IPv6 address counts as IPv4. A client without an IP address is in no network."""
    made = Key.model_validate_json(
        f'{{"name": "k", "pools": ["*"], "hash": "{HASH}",'
        ' "ips": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]}',
        strict=True,
    )
    assert Principal.of(made).comes_from(client) is allowed
    assert Principal.of(key()).comes_from(client)


def rules(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...] | None]:
    """Any rule over these names: None, or some of the names."""
    return st.none() | st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)


SCOPES: Final = st.fixed_dictionaries(
    {
        "pools": rules((*NAMES, "*")),
        "regions": rules(NAMES),
        "providers": rules(NAMES),
        "disabled": st.booleans(),
    }
)


@given(chain=st.lists(SCOPES, min_size=1, max_size=4), pool=st.sampled_from(NAMES), data=st.data())
def test_whatever_is_allowed_every_scope_allows(chain: list[dict[str, Any]], pool: str, data: Any) -> None:
    """A target is allowed if, and only if, each scope alone allows it."""
    provider = data.draw(st.sampled_from(NAMES))
    region = data.draw(st.sampled_from((*NAMES, None)))
    scopes = [ScopeOf("team", Team(name="t", **fields)) for fields in chain]
    whole, singles = Principal(tuple(scopes)), [Principal((scope,)) for scope in scopes]
    there = target(provider, region)

    assert whole.grants(pool) == all(single.grants(pool) for single in singles)
    assert (whole.objection(there) is None) == all(single.objection(there) is None for single in singles)
    assert (whole.ended(0) is None) == all(single.ended(0) is None for single in singles)

    for fields, single in zip(chain, singles, strict=True):
        named = fields["pools"]
        assert single.grants(pool) == (named is None or "*" in named or pool in named)
        allowed = (fields["providers"] is None or provider in fields["providers"]) and (
            fields["regions"] is None or region in fields["regions"]
        )
        assert (single.objection(there) is None) == allowed


@given(chain=st.lists(SCOPES, min_size=1, max_size=3), more=SCOPES, pool=st.sampled_from(NAMES))
def test_a_scope_more_never_allows_more(chain: list[dict[str, Any]], more: dict[str, Any], pool: str) -> None:
    """An additional scope never allows anything that was not allowed before."""
    scopes = tuple(ScopeOf("team", Team(name="t", **fields)) for fields in chain)
    before, after = Principal(scopes), Principal((*scopes, ScopeOf("user", User(name="u", **more))))
    assert not after.grants(pool) or before.grants(pool)
    for provider in NAMES:
        for region in (*NAMES, None):
            there = target(provider, region)
            assert after.objection(there) is not None or before.objection(there) is None
