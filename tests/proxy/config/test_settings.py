"""Tests of a middleware's table as keyword arguments."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from standby.proxy.config import Duration, Secret, Size, Table, settings
from standby.proxy.errors import ConfigError

__all__: list[str] = []


class Rule(Table):
    """A nested table."""

    kind: Literal["secrets", "links"]
    wait: Duration = 1.0


@dataclass(eq=False)
class House:
    """A middleware with a field of every kind."""

    app: object
    _: KW_ONLY
    attempts: int = 3
    share: float = 0.5
    wait: Duration = 8.0
    patience: Duration | None = None
    room: Size = 65_536
    token: Secret | None = None
    regions: tuple[str, ...] = ()
    causes: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    clock: Callable[[], float] = field(default=lambda: 0.0, metadata={"toml": False})
    _seen: list[str] = field(default_factory=list[str], init=False)


@dataclass(eq=False)
class Strict:
    """A middleware with a required key."""

    app: object
    limit: int


@dataclass(eq=False)
class Opaque:
    """A dataclass whose annotations cannot be resolved at run time."""

    app: Missing  # type: ignore[name-defined]  # noqa: F821
    limit: int = 1


class Plain:
    """A middleware that is not a dataclass."""

    def __init__(self, app: object, limit: int, *, mode: str = "a") -> None:
        """Accept any values."""


class Open:
    """A middleware that accepts any keyword."""

    def __init__(self, app: object, **options: object) -> None:
        """Accept any values."""


def read(cls: Callable[..., Any], source: str, **more: Any) -> dict[str, Any]:
    """The settings of the table [house] for `cls`."""
    table = tomllib.loads(source)["house"]
    return settings(cls, table, file="routes.toml", source=source, name="house", **more)


def problems_in(cls: Callable[..., Any], source: str) -> list[str]:
    """The problems of the table [house] for `cls`."""
    with pytest.raises(ConfigError) as caught:
        read(cls, source)
    return [str(problem) for problem in caught.value.problems]


def test_only_what_is_given_is_set() -> None:
    """Defaults are not returned, since the class has them."""
    assert read(House, "[house]") == {}
    assert read(House, '[house]\nattempts = 5\nwait = "250ms"') == {"attempts": 5, "wait": 0.25}


def test_values_are_read_as_their_fields_say() -> None:
    """Text becomes seconds and bytes, lists become tuples and sets, tables become objects."""
    source = """
[house]
share = 1
patience = "2m"
room = "4KiB"
regions = ["eu", "us"]
causes = ["slow"]
rules = [{ kind = "links", wait = "5s" }]
"""
    assert read(House, source) == {
        "share": 1.0,
        "patience": 120.0,
        "room": 4096,
        "regions": ("eu", "us"),
        "causes": frozenset({"slow"}),
        "rules": (Rule(kind="links", wait=5.0),),
    }


def test_secrets_are_looked_up(tmp_path: Path) -> None:
    """A middleware's secrets come from the environment, or from files relative to the configuration."""
    (tmp_path / "token").write_text("t1\n")
    by_file = read(House, '[house]\ntoken = "file:token"', folder=tmp_path)["token"]
    by_variable = read(House, '[house]\ntoken = "env:TOKEN"', environ={"TOKEN": "t2"})["token"]
    assert (by_file.reveal(), by_variable.reveal()) == ("t1", "t2")


def test_what_is_read_builds_the_middleware() -> None:
    """The settings are keyword arguments of the class."""
    house = House(object(), **read(House, '[house]\nattempts = 5\nwait = "1s"'))
    assert (house.attempts, house.wait, house.share) == (5, 1.0, 0.5)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("[house]\n\natempts = 1", '3: house.atempts: unknown key; did you mean "attempts"?'),
        ("[house]\nattempts = true", "2: house.attempts: must be a whole number"),
        ('[house]\nattempts = "3"', "2: house.attempts: must be a whole number"),
        ("[house]\nattempts = 3.0", "2: house.attempts: must be a whole number"),
        ('[house]\nshare = "1"', "2: house.share: must be a number"),
        ("[house]\nwait = 8", '2: house.wait: a duration is text with a unit; did you mean "8s"?'),
        ('[house]\nroom = "4MB"', '2: house.room: not a size; write "512B", "64KiB", "4MiB" or "1GiB"'),
        (
            '[house]\ntoken = "hunter2"',
            '2: house.token: a secret is never a literal; write "env:NAME" or "file:path"',
        ),
        ('[house]\nregions = ["eu",\n  3]', "3: house.regions[1]: must be text"),
        (
            '[house]\n[[house.rules]]\nkind = "link"',
            '3: house.rules[0].kind: must be one of "secrets", "links"; did you mean "links"?',
        ),
        (
            '[house]\n[[house.rules]]\nkind = "links"\nwiat = "1s"',
            '4: house.rules[0].wiat: unknown key; did you mean "wait"?',
        ),
        ("[house]\n[[house.rules]]\n", "2: house.rules[0].kind: required, but not given"),
    ],
)
def test_a_mistake_is_told_with_its_line(source: str, problem: str) -> None:
    """Unknown keys and invalid values of a middleware are reported like those of any table."""
    assert problems_in(House, source) == [f"routes.toml:{problem}"]


@pytest.mark.parametrize("key", ["app", "clock", "_seen", "_"])
def test_what_the_program_provides_is_no_key(key: str) -> None:
    """The app, private fields, and fields marked so, cannot be set from a file."""
    [problem] = problems_in(House, f"[house]\n{key} = 1")
    assert problem.startswith(f"routes.toml:2: house.{key}: unknown key")


def test_a_field_without_default_must_be_given() -> None:
    """A missing key is reported on the line of its table; without a table in the file, without a line."""
    assert problems_in(Strict, "[house]") == ["routes.toml:1: house.limit: required, but not given"]
    with pytest.raises(ConfigError) as caught:
        settings(Strict, {}, file="routes.toml", source="", name="house")
    assert str(caught.value) == "routes.toml: house.limit: required, but not given"


def test_all_mistakes_come_at_once() -> None:
    """All problems of a table are reported together, in file order."""
    assert len(problems_in(House, "[house]\nwait = 8\nnope = 1\nattempts = true")) == 3


def test_a_foreign_type_cannot_be_set() -> None:
    """A field whose type cannot be given in TOML is rejected."""

    @dataclass(eq=False)
    class Odd:
        app: object
        tool: Strict | complex | None = None
        loop: dataclasses.Field[Any] | None = None

    assert problems_in(Odd, "[house]\nloop = 1") == ["routes.toml:2: house.loop: cannot be set from a file"]


def test_use_names_the_middleware_and_is_none_of_its_keys() -> None:
    """The key `use` is not passed on."""
    assert read(Open, '[house]\nuse = "a:b"\nx = 1') == {"x": 1}
    assert read(House, '[house]\nuse = "a:b"') == {}


def test_any_other_callable_has_its_keywords_checked() -> None:
    """Names are checked against the signature; values pass unchanged."""
    assert read(Plain, "[house]\nlimit = 1\nmode = [1]") == {"limit": 1, "mode": [1]}
    assert problems_in(Plain, "[house]\nmod = 1") == [
        "routes.toml:1: house.limit: required, but not given",
        'routes.toml:2: house.mod: unknown key; did you mean "mode"?',
    ]
    assert problems_in(Plain, "[house]\nlimit = 1\napp = 1") == [
        "routes.toml:3: house.app: unknown key; known: limit, mode"
    ]
    assert read(Open, "[house]\nanything = 1") == {"anything": 1}


def test_a_factory_function_will_do() -> None:
    """`use` may name a function, or a callable without a known signature."""

    def build(app: object, limit: int) -> tuple[object, int]:
        return app, limit

    assert read(build, "[house]\nlimit = 2") == {"limit": 2}
    assert read(type, "[house]\nlimit = 2") == {"limit": 2}


def test_annotations_that_cannot_be_resolved_are_not_used() -> None:
    """A dataclass with imports for type checkers only is treated like any other callable."""
    assert read(Opaque, '[house]\nlimit = "x"') == {"limit": "x"}
    assert problems_in(Opaque, "[house]\nlimt = 1") == [
        'routes.toml:2: house.limt: unknown key; did you mean "limit"?'
    ]


def test_what_is_passed_on_is_a_copy() -> None:
    """A middleware that changes its options does not change the configuration."""
    table: dict[str, object] = {"options": [1]}
    passed = settings(Open, table, file="routes.toml", source="", name="house")
    passed["options"].append(2)
    assert table == {"options": [1]}
