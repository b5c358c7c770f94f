"""Tests of secrets: they are looked up while the file is loaded, and never displayed."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.config import Provider, Secret, load_routes, parse_routes
from standby.proxy.errors import ConfigError

from .documents import ENVIRON, ROUTES, problems_in

__all__: list[str] = []

CANARY: Final = "sk-canary-1"


def with_key(key: str) -> str:
    """A configuration whose first key, on line 4, has this value."""
    return ROUTES.replace('"env:OPENAI_KEY"', json.dumps(key))


def test_a_variable_is_read() -> None:
    """`env:NAME` gives the variable's value, without trailing line ends."""
    routes = parse_routes(ROUTES, environ={**dict(ENVIRON), "OPENAI_KEY": "sk-1\n"})
    key = routes.providers["openai"].key
    assert key is not None
    assert key.reveal() == "sk-1"


def test_a_file_is_read_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    """`file:path` is relative to the folder of routes.toml, and trailing line ends are removed."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "openai").write_text("sk-2\r\n")
    (tmp_path / "routes.toml").write_text(with_key("file:keys/openai"))
    key = load_routes(tmp_path / "routes.toml", dict(ENVIRON)).providers["openai"].key
    assert key is not None
    assert key.reveal() == "sk-2"


@pytest.mark.parametrize("literal", [CANARY, "", "Bearer sk-canary-1", "ENV:OPENAI_KEY", "vault:openai"])
def test_a_literal_is_refused_and_not_repeated(literal: str) -> None:
    """A literal key in the file is an error; the message has the valid forms and not the value."""
    assert problems_in(with_key(literal)) == [
        'routes.toml:4: providers.openai.key: a secret is never a literal; write "env:NAME" or "file:path"'
    ]


@pytest.mark.parametrize("value", ["7", "true", "[]", '{ env = "A" }', "2020-01-01"])
def test_another_type_is_no_secret(value: str) -> None:
    """The source of a secret must be text."""
    [problem] = problems_in(ROUTES.replace('"env:OPENAI_KEY"', value))
    assert problem.startswith("routes.toml:4: providers.openai.key: a secret is never a literal")


@pytest.mark.parametrize("name", ["", "sk-canary-1", "A B", "1A", "A=B"])
def test_what_follows_env_is_a_variables_name(name: str) -> None:
    """A literal after `env:` is not repeated either."""
    [problem] = problems_in(with_key(f"env:{name}"))
    assert problem.endswith('key: not the name of an environment variable; write "env:NAME"')


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "environment variable OPENAI_KEY is not set"),
        ({"OPENAI_KEY": ""}, "environment variable OPENAI_KEY is empty"),
        ({"OPENAI_KEY": "\n"}, "environment variable OPENAI_KEY is empty"),
        (
            {"OPENAI_KEY": "sk\r\nx-evil: 1"},
            "environment variable OPENAI_KEY holds characters that no header can carry",
        ),
        ({"OPENAI_KEY": " sk"}, "environment variable OPENAI_KEY holds characters that no header can carry"),
        ({"OPENAI_KEY": "clé"}, "environment variable OPENAI_KEY holds characters that no header can carry"),
    ],
)
def test_an_unusable_variable_stops_the_load(environ: dict[str, str], reason: str) -> None:
    """A missing, empty or invalid value is an error with the name of the variable."""
    with pytest.raises(ConfigError) as caught:
        parse_routes(ROUTES, environ={"ANTHROPIC_KEY": "sk-2", **environ})
    assert str(caught.value) == f"routes.toml:4: providers.openai.key: {reason}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "file key cannot be read: No such file or directory"),
        (b"", "file key is empty"),
        (b"\xff\xfe", "file key holds characters that no header can carry"),
        (b"a" * 70_000, "file key is too large"),
    ],
)
def test_an_unusable_file_stops_the_load(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A missing, empty, invalid or endless file is an error with the name of the file."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse_routes(with_key("file:key"), environ=dict(ENVIRON), folder=tmp_path)
    assert caught.value.problems[0].message == reason


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_follows_file_is_a_path(path: str) -> None:
    """An empty path and one with NUL are invalid."""
    [problem] = problems_in(with_key(f"file:{path}"))
    assert problem.endswith('providers.openai.key: not a path; write "file:path"')


def test_nothing_prints_a_secret() -> None:
    """Neither repr, str, format, dumps, JSON, vars nor the configuration as a whole shows a value."""
    routes = parse_routes(ROUTES, environ=dict(ENVIRON))
    provider = routes.providers["openai"]
    shown = [
        *(f"{each!r} {each}" for each in (routes, provider, provider.key, routes.targets, routes.pools)),
        repr(provider.model_dump()),
        provider.model_dump_json(),
        repr(vars(provider)),
        repr(vars(routes)),
        repr(dir(provider.key)),
        routes.pools["support"].model_dump_json(),
    ]
    assert CANARY not in "\n".join(shown)
    assert "Secret(env:OPENAI_KEY)" in repr(provider)


def test_a_secret_is_not_serialized() -> None:
    """Pickling fails, and a copy is the same object."""
    secret = Secret("env:A", CANARY)
    with pytest.raises(TypeError, match="never serialized"):
        pickle.dumps(secret)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_secrets_are_equal_if_source_and_value_are() -> None:
    """Secrets can be compared, so that a reload detects a changed key."""
    assert Secret("env:A", "1") == Secret("env:A", "1")
    assert hash(Secret("env:A", "1")) == hash(Secret("env:A", "1"))
    assert Secret("env:A", "1") != Secret("env:A", "2")
    assert Secret("env:A", "1") != "1"


def test_an_error_keeps_no_trace_of_the_input() -> None:
    """The raised error contains neither the values nor pydantic's error, which does."""
    with pytest.raises(ConfigError) as caught:
        parse_routes(with_key(CANARY), environ={})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert CANARY not in repr(caught.value)


def test_code_gives_the_secret_itself() -> None:
    """Without a file a provider accepts a Secret, but not text."""
    key = Secret("env:A", CANARY)
    provider = Provider(name="a", dialect="openai", base_url="https://a.example", key=key)
    assert provider.key is key
    with pytest.raises(ValueError, match="never a literal") as caught:
        Provider.model_validate({"name": "a", "dialect": "openai", "base_url": "https://a", "key": CANARY})
    assert CANARY not in str(caught.value)
