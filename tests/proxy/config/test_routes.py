"""Tests of `Routes`: parsed, with resolved references, immutable."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel, ValidationError
from standby.middlewares.auth import Auth
from standby.middlewares.budget import Budget
from standby.middlewares.failover import Failover
from standby.middlewares.guardrails import Guardrails
from standby.middlewares.trace import Trace
from standby.proxy.config import (
    Admin,
    Alerts,
    Alternate,
    Decisions,
    Key,
    Organisation,
    Pool,
    Provider,
    Routes,
    Target,
    Team,
    Timeouts,
    User,
    load_routes,
    parse_routes,
    settings,
)
from standby.proxy.errors import ConfigError
from standby.proxy.guardrails.rules import Rule, When
from standby.proxy.http.hygiene import Hygiene

from .documents import ENVIRON, ROUTES

__all__: list[str] = []

OPTIONAL: Final = (
    *("ca", "endpoint", "headers", "pepper", "providers", "regions", "slack", "token"),
    *("transport", "webhook"),
)
"""Keys of the example that need other files or variables, or change its meaning."""
EXAMPLE: Final = Path(__file__).resolve().parents[3] / "routes.toml"


@pytest.fixture
def routes() -> Routes:
    """The small complete configuration."""
    return parse_routes(ROUTES, environ=dict(ENVIRON))


def test_names_are_resolved(routes: Routes) -> None:
    """Pools contain targets, targets contain providers: the same objects as in the other sections."""
    support = routes.pools["support"]
    assert support.prefer[0] is routes.targets["main"]
    assert support.alternates[0].target is routes.targets["small"]
    assert support.alternates[0].causes == {"outage", "slow"}
    assert routes.targets["main"].provider is routes.providers["openai"]
    assert support.dialects == ("openai",)


def test_a_pool_is_found_by_the_names_it_serves(routes: Routes) -> None:
    """Names are compared byte by byte; a pool without `serves` serves its own name."""
    support = routes.pools["support"]
    assert routes.pool_for("support") is routes.pool_for("gpt-4.1") is support
    assert [routes.pool_for(name) for name in ("Support", "support ", "gpt-4", "", "main")] == [None] * 5
    own = parse_routes(ROUTES.replace('serves = ["support", "gpt-4.1"]', ""), environ=dict(ENVIRON))
    assert own.pools["support"].serves == ("support",)


def test_sections_keep_the_order_of_the_file(routes: Routes) -> None:
    """Tables are in the order of the file."""
    assert list(routes.providers) == ["openai", "anthropic"]
    assert list(routes.targets) == ["main", "small", "claude"]


def test_defaults_are_the_documented_ones(routes: Routes) -> None:
    """The defaults: a target takes 100 concurrent requests, and a pool has the usual timeouts."""
    main, pool = routes.targets["main"], routes.pools["support"]
    assert (main.connections, main.context, main.provider.region, dict(main.provider.headers)) == (
        100,
        None,
        None,
        {},
    )
    assert pool.timeouts == Timeouts(connect=3, first_token=15, answer=60, stall=30, total=240)


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("{}", 60.0),
        ('{ first_token = "8s" }', 8.0),
        ('{ first_token = "8s", answer = "20s" }', 20.0),
        ('{ answer = "20s" }', 20.0),
    ],
)
def test_answer_follows_first_token(written: str, answer: float) -> None:
    """If only the timeout of the first token is given, it also applies to answers that are not streamed."""
    routes = parse_routes(f"{ROUTES}timeouts = {written}", environ=dict(ENVIRON))
    assert routes.pools["support"].timeouts.answer == answer


def test_nothing_changes_after_the_load(routes: Routes) -> None:
    """Tables, sections and the whole configuration are immutable, since concurrent requests share them."""
    pool = routes.pools["support"]
    frozen: list[tuple[BaseModel, str]] = [
        (pool, "name"),
        (pool.prefer[0], "model"),
        (pool.prefer[0].provider, "base_url"),
        (pool.timeouts, "total"),
        (pool.alternates[0], "causes"),
    ]
    for table, name in frozen:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(table, name, "x")
        assert isinstance(hash(table), int)
    with pytest.raises(AttributeError):
        routes.file = "x"  # type: ignore[misc]
    for section in (routes.providers, routes.targets, routes.pools, routes.tables, routes.tables["failover"]):
        with pytest.raises(TypeError):
            section["x"] = object()  # type: ignore[index]


def test_code_builds_the_same_objects() -> None:
    """Without a file, references are objects and durations are seconds, under the same rules."""
    provider = Provider(name="p", dialect="openai", base_url="http://127.0.0.1:1/v1")
    target = Target(name="t", provider=provider, model="m")
    other = Target(name="u", provider=provider, model="m")
    pool = Pool(
        name="a",
        prefer=(target,),
        alternates=(Alternate(target=other, causes=frozenset({"slow"})),),
        timeouts=Timeouts(first_token=0.2),
    )
    assert (pool.serves, pool.timeouts.answer) == (("a",), 0.2)
    with pytest.raises(ValidationError, match="already"):
        Pool(name="a", prefer=(target, target))
    with pytest.raises(ValidationError, match="more than zero"):
        Timeouts(total=0)


def test_a_file_is_read(tmp_path: Path) -> None:
    """The routes keep the file's name and text, so that later errors can have a line number."""
    path = tmp_path / "routes.toml"
    path.write_bytes(b"\xef\xbb\xbf" + ROUTES.encode())
    routes = load_routes(path, dict(ENVIRON))
    assert (routes.file, routes.source) == (str(path), ROUTES)


def test_a_file_that_cannot_be_read_is_a_plain_error(tmp_path: Path) -> None:
    """A missing file, a folder and a text in another encoding raise a ConfigError."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'a = 1\nb = "\xe9"\n')
    for path, reason in (
        (tmp_path / "no.toml", ": cannot be read: No such file or directory"),
        (tmp_path, ": cannot be read: Is a directory"),
        (latin, ":2: not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_routes(path)
        assert str(caught.value) == f"{path}{reason}"


def test_the_example_loads() -> None:
    """The annotated file at the top of the repository is valid and needs only two keys."""
    environ = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}
    routes = load_routes(EXAMPLE, environ)
    assert (len(routes.providers), len(routes.targets), len(routes.pools)) == (2, 5, 2)
    with pytest.raises(ConfigError) as caught:
        load_routes(EXAMPLE, {})
    assert [problem.key for problem in caught.value.problems] == [
        "providers.openai.key",
        "providers.anthropic.key",
    ]


def test_the_example_shows_every_key_with_its_default() -> None:
    """With its commented keys enabled, the example has the same meaning."""
    environ = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = [
        line.removeprefix("# ")
        if " = " in line and not any(f"# {name} =" in line for name in OPTIONAL)
        else line
        for line in text.splitlines()
    ]
    switched_on = parse_routes("\n".join(lines), environ=environ)
    assert switched_on.pools["writing"].timeouts == Timeouts()
    for name, kind in (
        *(("trace", Trace), ("auth", Auth), ("budget", Budget)),
        *(("guardrails", Guardrails), ("failover", Failover), ("hygiene", Hygiene)),
    ):
        written = {key: value for key, value in switched_on.tables[name].items() if key != "rules"}
        given = settings(kind, written, file=switched_on.file, source=switched_on.source, name=name)
        assert given
        assert given == {field.name: field.default for field in fields(kind) if field.name in given}
    assert switched_on.admin == Admin()
    assert switched_on.alerts == Alerts()
    assert switched_on.decisions == Decisions()
    shown = set(re.findall(r"\w+", text))
    for table in (
        Provider,
        Target,
        Pool,
        Timeouts,
        Organisation,
        Team,
        User,
        Key,
        Admin,
        Alerts,
        Rule,
        When,
    ):
        assert set(table.model_fields) - {"name"} <= shown


def test_what_is_found_later_still_has_its_line(routes: Routes) -> None:
    """An error found when the stack is built has the line of its key."""
    error = routes.error(("targets", "small", "model"), "no such model", "ask the vendor")
    assert str(error) == "routes.toml:17: targets.small.model: no such model; ask the vendor"


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, secrets come from the environment of the process."""
    for name, value in ENVIRON:
        monkeypatch.setitem(os.environ, name, value)
    assert parse_routes(ROUTES).providers["openai"].key is not None
