"""The command `standby keys`, run from its command line."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from standby.proxy.cli import main
from standby.proxy.config import load_routes
from standby.proxy.keys.credentials import PREFIX, digests

__all__: list[str] = []

FILE: Final = """\
stack = ["auth", "budget", "failover"]
STORE
[providers.own]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
region = "eu"
[targets.main]
provider = "own"
model = "m"
price = { input = "1", output = "1" }
[pools.support]
prefer = ["main"]
[teams.web]
[keys.old]
hash = "HASH"
pools = ["*"]
"""

Run = Any


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in a folder with a `routes.toml` and a SQLite store. Returns its code and output."""
    monkeypatch.chdir(tmp_path)
    write('store = "sqlite:///keys.db"')

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["keys", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def write(store: str, more: str = "") -> None:
    """The `routes.toml` with this store."""
    text = FILE.replace("STORE", store).replace("HASH", digests("old")[0])
    Path("routes.toml").write_text(text + more, encoding="utf-8")


CREATE: Final = ("create", "checkout", "--pools", "support")


def test_a_key_is_made_and_shown_once(run: Run) -> None:
    """Only the secret goes to stdout, so that a variable can take it. No other command prints it."""
    code, out, err = run(*CREATE)
    secret = out.strip()
    assert (code, out) == (0, f"{secret}\n")
    assert secret.startswith(PREFIX)
    assert "shown this once" in err
    assert secret not in err
    for words in (("list",), ("show", "checkout"), ("list", "--json"), ("show", "checkout", "--json")):
        code, out, err = run(*words)
        assert code == 0
        assert "checkout" in out
        assert secret not in out + err
    assert secret.encode() not in Path("keys.db").read_bytes()


def test_every_grant_can_be_said(run: Run) -> None:
    """The options are stored as `[keys.NAME]` would hold them."""
    words = (
        *("--regions", "eu", "--providers", "own", "--ips", "10.0.0.0/8, 192.0.2.7", "--team", "web"),
        *("--expires", "2030-01-31T12:00:00Z", "--budget", "50.00/month", "--budget", "1000 requests/day"),
        *("--timezone", "Europe/Paris", "--limit", "requests_per_minute=600", "--limit", "concurrent=5"),
        *("--metadata", "owner=ann@example.com"),
    )
    assert run(*CREATE, *words)[0] == 0
    shown = json.loads(run("show", "checkout", "--json")[1])
    assert {name: shown[name] for name in shown if name not in {"created", "hashes"}} == {
        "name": "checkout",
        "state": "active",
        "kept_in": "store",
        "pools": ["support"],
        "regions": ["eu"],
        "providers": ["own"],
        "ips": ["10.0.0.0/8", "192.0.2.7"],
        "team": "web",
        "expires": "2030-01-31T12:00:00Z",
        "budget": [
            {"limit": "50.00", "window": "month", "timezone": "Europe/Paris"},
            {"unit": "requests", "limit": 1000, "window": "day", "timezone": "Europe/Paris"},
        ],
        "limits": {"requests_per_minute": 600, "concurrent": 5},
        "metadata": {"owner": "ann@example.com"},
    }


def test_a_span_of_time_is_counted_from_now(run: Run) -> None:
    """An expiry is stored as a time with its offset."""
    assert run(*CREATE, "--expires", "90d")[0] == 0
    expires = datetime.fromisoformat(json.loads(run("show", "checkout", "--json")[1])["expires"])
    assert 89 <= (expires - datetime.now(UTC)).days <= 90


@pytest.mark.parametrize("source", ["file", "memory"])
def test_what_the_store_cannot_keep_is_printed_to_paste(run: Run, source: str) -> None:
    """With a store in memory, and for a key of the file, the TOML table is printed and is valid."""
    words: tuple[str, ...]
    if source == "memory":
        write("")
        words = (*CREATE, "--expires", "2030-01-31T12:00:00Z", "--limit", "concurrent=5")
    else:
        words = ("rotate", "old")
    code, out, err = run(*words)
    assert code == 0
    assert "table above" in err
    secret, _, table = out.partition("\n\n")
    ((name, written),) = tomllib.loads(table)["keys"].items()
    if source == "memory":
        write("", table)
    else:
        text = Path("routes.toml").read_text(encoding="utf-8")
        Path("routes.toml").write_text(text[: text.index("[keys.old]")] + table, encoding="utf-8")
    key = load_routes("routes.toml").key_by_hash(digests(secret)[0])
    assert key is not None
    assert (key.name, written["pools"]) == (name, list(key.pools or ()))


def test_keys_are_listed_in_columns(run: Run) -> None:
    """Keys of the file and keys of the store are listed."""
    run(*CREATE, "--team", "web")
    run("disable", "checkout")
    out = run("list")[1]
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "STATE", "POOLS", "BELONGS", "TO", "EXPIRES", "KEPT", "IN"],
        ["old", "active", "*", "-", "-", "routes.toml"],
        ["checkout", "disabled", "support", "team", "web", "-", "store"],
    ]


def test_a_key_lives_its_life(run: Run) -> None:
    """Rotated, disabled, enabled, deleted. Each command prints the state, and as JSON too."""
    first = run(*CREATE)[1].strip()
    second = json.loads(run("rotate", "checkout", "--overlap", "1h", "--json")[1])
    assert second["key"] != first
    assert len(second["hash"]) == 2
    assert "until" in run("show", "checkout")[1]
    assert json.loads(run("disable", "checkout", "--json")[1]) == {"name": "checkout", "state": "disabled"}
    assert (
        run("disable", "checkout", "--undo")[1]
        == "checkout: active; running gateways know within 5 seconds\n"
    )
    assert run("delete", "checkout")[0] == 0
    assert run("show", "checkout") == (1, "", "there is no key checkout\n")


def test_the_pepper_of_auth_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are hashed in the way in which the gateway looks them up."""
    monkeypatch.setenv("PEPPER", "salt")
    write('store = "sqlite:///keys.db"', '[auth]\npepper = "env:PEPPER"\n')
    made = json.loads(run(*CREATE, "--json")[1])
    assert made["hash"] == digests(made["key"], "salt")[0]
    assert (made["kept"], made["pools"]) == (True, ["support"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("create", "x", "--pools", "suport"), 'there is no pool "suport"; did you mean "support"?'),
        (("create", "old", "--pools", "*"), "has a key of the name old"),
        (("create", "a b", "--pools", "*"), "a name is 1 to 64"),
        (("delete", "nobody"), "there is no key nobody"),
        (("disable", "old"), "key old stands in routes.toml: change it there"),
        (("list", "--routes", "none.toml"), "none.toml: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told(run: Run, words: tuple[str, ...], problem: str) -> None:
    """Errors go to stderr, with the code 1 and without a traceback."""
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert problem in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--budget", "fifty"),
        ("--budget", "5.5 requests/day"),
        ("--budget", "5/year"),
        ("--limit", "concurrent"),
        ("--limit", "concurrent=x"),
        ("--limit", "concurrent=\u0663"),
        ("--metadata", "owner"),
    ],
)
def test_a_word_that_means_nothing_is_told(run: Run, flag: str, value: str) -> None:
    """An invalid value is refused with a valid example."""
    with pytest.raises(SystemExit) as ended:
        run(*CREATE, flag, value)
    assert ended.value.code == 2


def test_a_store_that_is_down_is_told(run: Run) -> None:
    """An unreachable store is reported without a traceback."""
    write('store = "redis://127.0.0.1:1/0"')
    code, out, err = run("list")
    assert (code, out, "Traceback" in err) == (1, "", False)
    assert err
