"""The command line."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from standby.proxy import cli
from standby.proxy.cli import main
from standby.proxy.config import Routes

from tests.proxy.harness import routes_to

__all__: list[str] = []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that is right."""
    path = tmp_path / "routes.toml"
    alternates = 'prefer = ["a"]\nalternates = [{ target = "b", for = ["slow"] }]'
    source = routes_to("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1").source
    path.write_text(source.replace('prefer = ["a", "b"]', alternates))
    return path


def test_check_prints_the_chains(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that is right is told: its stack, and every pool with its targets in order."""
    assert main(["check", str(file)]) == 0
    printed = capsys.readouterr()
    assert "stack: hygiene -> route_select -> failover -> relay" in printed.out
    order = [printed.out.index(word) for word in ("pool support", "at-a/model-a", "at-b/model-b", "for slow")]
    assert order == sorted(order)
    assert printed.err == ""


def test_check_tells_everything_that_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem with file, line, key and nearest valid one, on standard error; the exit code is 1."""
    file.write_text(
        file.read_text() + "timouts = { total = '1s' }\n[failover]\nmax_atempts = 1\n[faliover]\n"
    )
    assert main(["check", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}:") for line in lines)
    assert 'pools.support.timouts: unknown key; did you mean "timeouts"?' in lines[0]
    assert "faliover" in lines[1]


def test_check_tells_what_a_middleware_does_not_take(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of a middleware is checked as it will be used."""
    file.write_text(file.read_text() + "\n[failover]\nmax_atempts = 1\n")
    assert main(["check", str(file)]) == 1
    assert 'failover.max_atempts: unknown key; did you mean "max_attempts"?' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_file_that_is_not_there(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said so, and no traceback."""
    assert main([command, str(tmp_path / "none.toml")]) == 1
    assert "none.toml: cannot be read" in capsys.readouterr().err


def test_the_file_has_a_usual_name(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a name it is routes.toml, here."""
    monkeypatch.chdir(file.parent)
    assert main(["check"]) == 0
    assert "routes.toml: 2 providers" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["walk"], ["serve", "--port", "x"], ["check", "a", "b"]])
def test_what_is_no_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is answered with how to use it, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: standby" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "demo"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --help, and exit code 0."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "default" in capsys.readouterr().out


def test_serve_is_told_what_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, the address, the number of workers and the log; its code is the command's."""
    told: list[Any] = []

    def serve(routes: Routes, **options: Any) -> int:
        logs = options.pop("logs")["loggers"]
        told.append((routes.file, options, logs["standby"]["level"], logs.get("standby.access")))
        return 3

    monkeypatch.setattr(cli, "serve", serve)
    assert main(["serve", str(file)]) == 3
    address = ["--host", "::1", "--port", "81", "--workers", "4"]
    assert main(["serve", str(file), *address, "--log-level", "debug", "--no-access-log"]) == 3
    assert told == [
        (str(file), {"host": "127.0.0.1", "port": 8080, "workers": 1}, "INFO", None),
        (str(file), {"host": "::1", "port": 81, "workers": 4}, "DEBUG", {"level": "WARNING"}),
    ]


def _never(*_: object, **__: object) -> int:
    raise AssertionError("a worker has been started")


def test_serve_checks_first(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is said once, before any worker starts."""
    monkeypatch.setattr(cli, "serve", _never)
    file.write_text(file.read_text() + "\n[failover]\nmax_attempts = 0\n")
    assert main(["serve", str(file)]) == 1
    assert capsys.readouterr().err.count("max_attempts") == 1


def test_an_interrupt_is_no_crash(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with the code that shells expect."""

    def interrupted(routes: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "describe", interrupted)
    assert main(["check", str(file)]) == 130


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` is that of the package."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"standby {version('standby')}\n"


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "x", "8e3"])
def test_a_port_that_is_none(file: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port beyond 65535 is refused, instead of listening at another one."""
    with pytest.raises(SystemExit):
        main(["serve", str(file), "--port", port])
    error = capsys.readouterr().err
    assert "must be 0 to 65535" in error or "expected one argument" in error


NEEDY: Final = """
stack = ["auth", "failover"]
store = "sqlite:///keys.db"
[providers.p]
dialect = "openai"
base_url = "https://api.example.com/v1"
key = "env:STANDBY_TEST_KEY_THAT_IS_NOWHERE"
[targets]
t = { provider = "p", model = "m" }
[pools.support]
prefer = ["t"]
"""


def test_commands_that_need_no_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check`, `keys` and `usage` work where the keys of providers are not; `serve` says what it needs."""
    file = tmp_path / "needy.toml"
    file.write_text(NEEDY)
    assert main(["check", str(file)]) == 0
    assert "provider p: its key (env:STANDBY_TEST_KEY_THAT_IS_NOWHERE) is not here" in capsys.readouterr().out
    assert main(["keys", "list", "--routes", str(file)]) == 0
    assert main(["usage", str(file)]) == 0
    assert main(["serve", str(file)]) == 1
    assert "STANDBY_TEST_KEY_THAT_IS_NOWHERE is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('dialect = "openai"', 'dialect = "openai"\ntransport = "os:system"', "os:system is no transport"),
        (
            'dialect = "openai"',
            'dialect = "openai"\ntransport = "os:PathLike"',
            "os:PathLike is no transport",
        ),
    ],
)
def test_what_can_never_work(
    tmp_path: Path, old: str, new: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused by `check`, with its line and key."""
    file = tmp_path / "routes.toml"
    file.write_text(NEEDY.replace(old, new))
    assert main(["check", str(file)]) == 1
    assert problem in capsys.readouterr().err


def test_what_cannot_work_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this machine lacks is refused by `check` and `serve`; `check --elsewhere` warns of it."""
    monkeypatch.setenv("STANDBY_TEST_KEY_THAT_IS_NOWHERE", "k")
    file = tmp_path / "routes.toml"
    ca = 'dialect = "openai"\nca = "file:corporate.pem"'
    file.write_text(NEEDY.replace("keys.db", "no/keys.db").replace('dialect = "openai"', ca))
    problem = f"store: {tmp_path}/no/keys.db cannot be made: there is no folder {tmp_path}/no"
    assert main(["check", str(file)]) == 1
    assert problem in capsys.readouterr().err
    assert main(["check", "--elsewhere", str(file)]) == 0
    assert f"`standby serve` would refuse this here: {file}:3: {problem}" in capsys.readouterr().out
    assert main(["serve", str(file)]) == 1
    assert "file corporate.pem cannot be read" in capsys.readouterr().err
    file.write_text(NEEDY.replace("keys.db", "no/keys.db"))
    assert main(["serve", str(file)]) == 1
    assert problem in capsys.readouterr().err
    file.write_text(NEEDY.replace('dialect = "openai"', ca))
    assert main(["check", str(file)]) == 1
    assert "providers.p.ca: there is no file:corporate.pem" in capsys.readouterr().err
