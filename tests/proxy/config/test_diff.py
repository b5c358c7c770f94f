"""Tests of the description of differences between two configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from standby.proxy.cli import main
from standby.proxy.config import differences, parse_routes

__all__: list[str] = []

HASH: Final = "sha256:" + "0" * 64
OTHER: Final = "sha256:" + "1" * 64
BASE: Final = f"""\
stack = ["auth", "budget", "route_select", "failover"]
[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
key = "env:KEY"
region = "us"
[providers.europe]
dialect = "openai"
base_url = "https://eu.example.com/v1"
region = "eu"
headers = {{ x-project = "one" }}
[targets]
main = {{ provider = "openai", model = "large", price = {{ input = "2.00", output = "8.00" }} }}
main-eu = {{ provider = "europe", model = "large", price = {{ input = "2.00" }} }}
small = {{ provider = "openai", model = "small", price = {{ input = "0.40" }} }}
[pools.support]
prefer = ["main", "main-eu"]
alternates = [{{ target = "small", for = ["slow"] }}]
timeouts = {{ first_token = "8s", answer = "60s" }}
[pools.writing]
prefer = ["main"]
[teams.web]
regions = ["eu", "us"]
limits = {{ requests_per_minute = 600 }}
[keys.checkout]
hash = "{HASH}"
pools = ["support", "writing"]
team = "web"
budget = [{{ limit = "50.00", window = "month" }}]
[keys.lone]
hash = "{OTHER}"
pools = ["*"]
[failover]
max_attempts = 3
"""


def diff_of(*changes: tuple[str, str], key: str = "one") -> list[str]:
    """The differences between the text and the text after these replacements."""
    text = BASE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    before = parse_routes(BASE, environ={"KEY": "one"})
    return list(differences(before, parse_routes(text, environ={"KEY": key})).lines)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ('["slow"]', '["slow", "outage"]', ["pool support: small may now be asked for outage"]),
        ('["slow"]', '["outage"]', [
            "pool support: small may now be asked for outage",
            "pool support: small may no longer be asked for slow",
        ]),
        ('"8s"', '"4s"', ["pool support: first_token 8s -> 4s"]),
        ('["main", "main-eu"]', '["main-eu", "main"]', [
            "pool support: order of preferred targets main, main-eu -> main-eu, main",
        ]),
        ("[pools.writing]\n", '[pools.writing]\nserves = ["writing", "w"]\n', ["pool writing: now serves w"]),
        ("[pools.writing]\n", '[pools.writing]\nslow = { p95_total = "30s" }\n', [
            "pool writing: slow none -> p95_total 30s",
        ]),
        ("[pools.writing]\n", '[pools.writing]\ncanary = { target = "small", share = 0.05 }\n', [
            "pool writing: canary none -> small 0.05",
        ]),
        ("[pools.writing]\n", '[pools.more]\nprefer = ["small"]\n[pools.writing]\n', [
            "pool more: added, serves more and prefers small",
            "key lone: may now use pool more",
        ]),
        ('["support", "writing"]', '["support"]', ["key checkout: may no longer use pool writing"]),
        ('["eu", "us"]', '["us"]', [
            "team web: regions eu, us -> us (key checkout)",
            "key checkout: loses region eu",
            "key checkout: in pool support its data may no longer go to main-eu",
        ]),
        ("= 600", "= 300", ["team web: requests_per_minute 600 -> 300 (key checkout)"]),
        ('"50.00"', '"60.00"', ["key checkout: budget 50.00 -> 60.00 per month (UTC)"]),
        ('team = "web"\n', "", [
            "key checkout: belongs to team web -> nobody",
            "key checkout: its data may now go to any region (before: eu, us)",
        ]),
        ('input = "2.00", output', 'input = "2.50", output', [
            "target main: price input 2.00 -> 2.50 (pools support, writing)",
        ]),
        ('= "https://eu.example.com/v1"', '= "https://eu2.example.com/v1"', [
            "provider europe: base_url https://eu.example.com/v1 -> https://eu2.example.com/v1",
        ]),
        ('"europe", model', '"openai", model', [
            "target main-eu: provider europe -> openai (pool support)",
        ]),
        ('x-project = "one"', 'x-project = "two"', ["provider europe: headers x-project changed"]),
        ("max_attempts = 3", "max_attempts = 5", ["[failover] max_attempts 3 -> 5"]),
        (OTHER, "sha256:" + "2" * 64, ["key lone: hash changed"]),
    ],
)  # fmt: skip
def test_a_change_in_words(old: str, new: str, lines: list[str]) -> None:
    """Each change is one line with the name of the pool, key, target or provider."""
    assert diff_of((old, new)) == lines


def test_secrets_are_told_as_changed() -> None:
    """A changed secret is named, and neither value is shown."""
    assert diff_of(key="two") == ["provider openai: key changed"]


def test_keys_of_one_change_are_told_together() -> None:
    """Keys with equal changes share one line."""
    assert diff_of(
        ("[pools.writing]", "[pools.letters]"), ('"support", "writing"', '"support", "letters"')
    ) == [
        "pool writing: removed",
        "pool letters: added, serves letters and prefers main",
        "keys checkout, lone: may no longer use pool writing",
        "keys checkout, lone: may now use pool letters",
    ]


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check --diff` prints the changes or "no change" and exits with 0; with 1 if a file is invalid."""
    monkeypatch.setenv("KEY", "one")
    old, new, bad = (tmp_path / name for name in ("old.toml", "new.toml", "bad.toml"))
    old.write_text(BASE)
    new.write_text(BASE.replace('"8s"', '"4s"'))
    bad.write_text("[pools]")
    assert main(["check", "--diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == "pool support: first_token 8s -> 4s\n"
    assert main(["check", "--diff", str(old), str(old)]) == 0
    assert capsys.readouterr().out == "no change\n"
    assert main(["check", "--diff", str(old), str(bad)]) == 1
    assert "bad.toml" in capsys.readouterr().err
