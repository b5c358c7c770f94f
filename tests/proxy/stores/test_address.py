"""Tests of store URLs and of the errors for invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from standby.proxy.stores.address import AddressError, open_store
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.redis import Redis
from standby.proxy.stores.sqlite import Sqlite

__all__: list[str] = []

FOLDER = Path("/etc/standby")


def test_memory() -> None:
    """`memory:` is a new store of this process each time."""
    assert isinstance(open_store("memory:"), Memory)
    assert open_store("memory:") is not open_store("memory:")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///standby.db", "/etc/standby/standby.db"),
        ("sqlite:///data/my%20file.db?synchronous=full", "/etc/standby/data/my file.db"),
        ("sqlite:////var/lib/standby.db", "/var/lib/standby.db"),
    ],
)
def test_sqlite_paths(url: str, path: str) -> None:
    """Three slashes are relative to the folder of routes.toml, four are absolute."""
    store = open_store(url, FOLDER)
    assert isinstance(store, Sqlite)
    assert store.path == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:secret@localhost:6379/3?prefix=mine&ledger_days=90",
        "rediss://user:secret@redis.example:6380/0?ssl_ca_certs=/etc/ca.pem",
        "redis://[::1]:6379",
        "unix:///run/redis.sock?db=2",
        "unix://:secret@/run/redis.sock",
    ],
)
def test_redis(url: str) -> None:
    """A server is given by host or socket, with or without TLS. The store does not connect yet."""
    assert isinstance(open_store(url), Redis)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "no store of this kind"),
        ("standby.db", "no store of this kind"),
        ("postgres://localhost/x", "no store of this kind"),
        ("memory://shared", "no address"),
        ("sqlite://standby.db", "three slashes"),
        ("sqlite:", "needs a file"),
        ("sqlite:///", "needs a file"),
        ("sqlite:///folder/", "needs a file"),
        ("sqlite:///a.db?mode=ro", "only the options synchronous"),
        ("sqlite:///a.db?synchronous=off", '"normal" or "full"'),
        ("redis://", "host is missing"),
        ("redis:///0", "host is missing"),
        ("redis://localhost/main", "database is a number"),
        ("redis://localhost:99999", "not a store's URL"),
        ("redis://localhost:0", "not a store's URL"),
        ("redis://[::1", "not a store's URL"),
        ("redis://localhost#x", "not a store's URL"),
        ("redis://localhost?decode_responses=true", "only the options"),
        ("redis://localhost?ledger_days=0", "number of days"),
        ("redis://localhost?prefix=a{b", "no braces"),
        ("unix://?db=1", "path of the socket"),
        ("unix:///s?db=x", "db is a number"),
    ],
)
def test_wrong_urls_are_explained(url: str, message: str) -> None:
    """An error explains what is wrong and what is right."""
    with pytest.raises(AddressError, match=message):
        open_store(url)


def test_a_wrong_url_keeps_its_secret() -> None:
    """No message contains the URL's password."""
    for url in ("redis://:hunter2@localhost/x", "redis://:hunter2@h:99999", "nosql://:hunter2@h"):
        with pytest.raises(AddressError) as raised:
            open_store(url)
        assert "hunter2" not in str(raised.value)
