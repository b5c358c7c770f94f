"""Tests of the address of the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from standby.proxy.config import parse_routes, shown
from standby.proxy.errors import ConfigError

from .documents import ENVIRON, ROUTES, problems_in

__all__: list[str] = []


@pytest.mark.parametrize(
    "url",
    [
        "memory:",
        "sqlite:///standby.db",
        "sqlite:////var/lib/standby.db",
        "redis://localhost:6379/0",
        "rediss://cache.example",
        "redis://user@cache.example",
        "unix:///run/redis.sock",
    ],
)
def test_an_address_is_kept_as_written(url: str) -> None:
    """The address is kept unchanged; opening the store parses it."""
    assert parse_routes(f'store = "{url}"\n{ROUTES}', environ=dict(ENVIRON)).store == url


def test_nothing_said_is_memory() -> None:
    """The default is a store in memory."""
    assert parse_routes(ROUTES, environ=dict(ENVIRON)).store == "memory:"


def test_an_address_with_a_password_is_a_secret(tmp_path: Path) -> None:
    """The address may come from a variable or a file, and no repr shows it."""
    url = "redis://:canary@cache.example/0"
    environ = {**dict(ENVIRON), "STORE": url}
    routes = parse_routes(f'store = "env:STORE"\n{ROUTES}', environ=environ)
    assert routes.store == url
    assert "canary" not in repr(routes)
    assert shown(url) == "redis://cache.example/0"
    (tmp_path / "url").write_text(f"{url}\n")
    kept = parse_routes(f'store = "file:url"\n{ROUTES}', environ=dict(ENVIRON), folder=tmp_path)
    assert kept.store == url


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('"postgres://db"', "there is no store of this kind"),
        ('"standby.db"', "there is no store of this kind"),
        ("1", "must be text"),
        ('"redis://:canary@host"', "a password is never a literal"),
        ('"redis://[::1"', "not the address of a store"),
        ('"env:NOPE"', "environment variable NOPE is not set"),
    ],
)
def test_what_names_no_store_is_told(written: str, problem: str) -> None:
    """An invalid address is reported with its line and without the password."""
    (reported,) = problems_in(f"store = {written}\n{ROUTES}")
    assert reported.startswith(f"routes.toml:1: store: {problem}")
    assert "canary" not in reported


def test_a_password_of_a_variable_stays_out_of_errors() -> None:
    """The password is hidden in an invalid address too."""
    environ = {**dict(ENVIRON), "STORE": "mysql://:canary@host"}
    with pytest.raises(ConfigError) as caught:
        parse_routes(f'store = "env:STORE"\n{ROUTES}', environ=environ)
    assert "canary" not in str(caught.value)
