"""The command `standby drill`: its reports, its options and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast
from xml.etree import ElementTree as ET

import pytest
from standby.proxy.cli import main
from standby.proxy.rehearsal.drill import matrix
from standby.proxy.rehearsal.drill.promises import PROMISES
from standby.proxy.rehearsal.drill.record import Finding, Record
from standby.proxy.rehearsal.drill.scenarios import SCENARIOS
from typing_extensions import override

from tests.programs import STANDBY, Program, running

__all__ = ["folder"]

FULL: Final = Path(__file__).with_name("full.toml")
LEAST: Final = ("--fault", "outage", "--key", "europe", "--seed", "7")
"""For what does not depend on the cells."""
QUICK: Final = ("--fault", "healthy", "--fault", "outage", "--seed", "7")
EVIL: Final = "<script src='https://example.org/x.js'>&\"alert(1)\"</script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but the configuration in it, whose providers' keys are nowhere."""
    (tmp_path / "routes.toml").write_text(FULL.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def break_them(_record: Record) -> Sequence[Finding]:
    """Findings of which one is broken, with evidence that no report may take for markup."""
    return [Finding(name, name != "format", EVIL) for name in PROMISES]


def files(folder: Path) -> list[str]:
    """The names of what is in a folder."""
    return [file.name for file in folder.iterdir()]


def do_not_run(_record: Record) -> Sequence[Finding]:
    """Fail a test in which a cell is run."""
    pytest.fail("it ran")


class Page(HTMLParser):
    """What a page of HTML opens, and the texts in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        """How often a tag is opened."""
        return sum(1 for name, _ in self.tags if name == tag)


# -- reports ----------------------------------------------------------------------------------


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one JSON document: the verdict, and a row for each outage with all its cells."""
    assert main(["drill", str(folder / "routes.toml"), "--json", *QUICK]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["kept"] is True
    assert re.fullmatch(r"8 cells, 6 promises each, in \d+ s: every promise was kept", made["verdict"])
    assert made["seed"] == 7
    assert [(row["pool"], row["fault"], row["kept"]) for row in made["rows"]] == [
        ("support", "healthy", True),
        ("support", "outage", True),
    ]
    for row in made["rows"]:
        assert [(cell["key"], cell["streamed"]) for cell in row["cells"]] == [
            ("anywhere", False),
            ("anywhere", True),
            ("europe", False),
            ("europe", True),
        ]
        for cell in row["cells"]:
            assert [each["promise"] for each in cell["promises"]] == list(PROMISES)
            assert all(each["kept"] and each["evidence"] for each in cell["promises"])


def test_every_file_and_table_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table says who answered and how it was told; `--junit` and `--html` are written beside it."""
    xml, page = folder / "drill.xml", folder / "drill.html"
    arguments = ["drill", str(folder / "routes.toml"), "--junit", str(xml), "--html", str(page), *QUICK]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert re.search(r"^  ok  healthy +main, main-eu +policy\.\w+ +1 ", output, re.MULTILINE), output
    assert re.search(r"^  ok  outage +main-eu +overloaded, policy\.\w+ +2 ", output, re.MULTILINE), output
    assert output.endswith("every promise was kept\n")

    suite = ET.fromstring(xml.read_text(encoding="utf-8"))
    assert suite.tag == "testsuite"
    cases = suite.findall("testcase")
    assert len(cases) == 8 * len(PROMISES) == int(suite.attrib["tests"])
    assert suite.attrib["failures"] == "0"
    assert suite.findall(".//failure") == []
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)

    shown = Page(page.read_text(encoding="utf-8"))
    assert shown.count("svg") == 1
    assert "outage" in shown.text
    assert "key europe" in shown.text


def test_ci(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--ci` prints Markdown alone, whose table has a row for each outage and a column for each pool."""
    faults = [name for name in SCENARIOS if name in {"healthy", "outage", "rate_limit", "refusals"}]
    chosen = [word for name in faults for word in ("--fault", name)]
    assert main(["drill", str(folder / "routes.toml"), "--ci", "--key", "anywhere", *chosen]) == 0
    output = capsys.readouterr().out
    assert output.startswith("## Drill of `")
    assert "`: passed\n" in output.splitlines(keepends=True)[0]
    assert output.endswith("\n")
    assert not output.endswith("\n\n")
    table = [line.strip("|").split("|") for line in output.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in line] for line in (table[0], *table[2:])] == [
        ["outage", "support"],
        ["healthy", "main"],
        ["outage", "main-eu"],
        ["rate_limit", "main-eu"],
        ["refusals", "400"],
    ]
    assert table[1] == ["---", "---"]


def test_a_page_needs_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page has no script, nothing to load, and every name and text in it is text."""
    monkeypatch.setattr(matrix, "findings", break_them)
    file = folder / "<b>&x.toml"
    file.write_text((folder / "routes.toml").read_text(encoding="utf-8"), encoding="utf-8")
    page = folder / "drill.html"
    assert main(["drill", str(file), "--html", str(page), *LEAST]) == 1
    text = page.read_text(encoding="utf-8")
    shown = Page(text)
    loading = {
        "audio",
        "base",
        "embed",
        "iframe",
        "img",
        "link",
        "object",
        "script",
        "source",
        "use",
        "video",
    }
    assert {tag for tag, _ in shown.tags}.isdisjoint(loading | {"b"})
    for tag, attributes in shown.tags:
        assert attributes.keys().isdisjoint({"src", "href", "srcset", "xlink:href", "data", "action"}), tag
        assert not any(name.startswith("on") for name in attributes), tag
    assert "@import" not in text
    assert "url(" not in text
    assert EVIL in shown.text
    assert "<b>&x.toml" in shown.text
    assert "broken" in shown.text


# -- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--pool", "suport", "there is no pool 'suport'; did you mean 'support'?"),
        ("--fault", "outtage", "there is no fault 'outtage'; did you mean 'outage'?"),
        ("--key", "Europe", "there is no key 'Europe'; did you mean 'europe'?"),
        ("--pool", "zzz", "there is no pool 'zzz'"),
    ],
)
def test_a_wrong_name(
    option: str, name: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pool, a fault or a key that is not there ends it with 1 and the nearest name, and nothing is run."""
    assert main(["drill", str(folder / "routes.toml"), option, name]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"{message}\n"
    assert printed.out == ""


def test_nothing_to_try(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration of which nothing can be tried is told, with the reason, and is no success."""
    arguments = ["drill", str(folder / "routes.toml"), "--fault", "region_down"]
    file = folder / "routes.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(', region = "us"', ""), encoding="utf-8")
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "there is nothing to try" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("option", ["--html", "--junit"])
def test_a_file_that_cannot_be_written(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that could not be written is told in one line before anything is run."""
    monkeypatch.setattr(matrix, "findings", do_not_run)
    file = str(folder / "missing" / "report")
    assert main(["drill", str(folder / "routes.toml"), option, file, *QUICK]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert file in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it needs a device that is always full")
def test_a_disk_that_is_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report that could not be written after the drill is told in one line, and the table is printed."""
    assert main(["drill", str(folder / "routes.toml"), "--html", "/dev/full", *LEAST]) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("every promise was kept\n")
    assert printed.err == "/dev/full cannot be written: No space left on device\n"


def rows(folder: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The rows of a drill with this seed, without the times."""
    faults = ("--fault", "outage", "--fault", "flapping", "--fault", "rate_limit_once")
    arguments = ["drill", str(folder / "routes.toml"), "--json", "--key", "anywhere", *faults]
    assert main([*arguments, "--seed", str(seed)]) == 0
    made = cast("list[dict[str, Any]]", json.loads(capsys.readouterr().out)["rows"])
    return [{name: value for name, value in row.items() if name != "seconds"} for row in made]


def test_a_drill_repeats_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows are the same again, down to the evidence, also in another order."""
    assert rows(folder, 3, capsys) == rows(folder, 4, capsys)


def test_a_broken_promise_is_no_success(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a promise breaks the exit status is 1, and each report says which, where and by what."""
    monkeypatch.setattr(matrix, "findings", break_them)
    xml = folder / "drill.xml"
    arguments = ["drill", str(folder / "routes.toml"), "--junit", str(xml), *QUICK]
    assert main(arguments) == 1
    output = capsys.readouterr().out
    assert "BROKEN  outage" in output
    assert f"support, outage, key europe, streamed: format: {EVIL}" in output
    assert output.endswith("8 cells broke a promise\n")
    suite = ET.fromstring(xml.read_text(encoding="utf-8"))
    failures = suite.findall("testcase/failure")
    assert len(failures) == 8 == int(suite.attrib["failures"])
    assert failures[0].attrib["message"] == EVIL
    arguments = ["drill", str(folder / "routes.toml"), *LEAST]
    assert main([*arguments, "--ci"]) == 1
    output = capsys.readouterr().out
    assert output.splitlines()[0].endswith(": a promise broke")
    assert "| outage | **broken** main-eu |" in output
    assert main([*arguments, "--json"]) == 1
    made = json.loads(capsys.readouterr().out)
    assert made["kept"] is False
    assert [row["kept"] for row in made["rows"]] == [False]


# -- processes --------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_without_keys(folder: Path) -> None:
    """It needs no key of a provider, no store, no network, and leaves nothing in its folder."""
    file = folder / "routes.toml"
    file.write_text('store = "env:NO_SUCH_STORE"\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "TMPDIR": str(folder)}
    async with running(STANDBY, "drill", *LEAST, folder=folder, environ=nowhere) as program:
        assert await program.ends() == 0, program.output
    assert program.output.endswith("every promise was kept\n")
    assert files(folder) == ["routes.toml"]


@pytest.mark.anyio
async def test_two_at_once(folder: Path) -> None:
    """Two drills of the same file at the same time do not meet: both pass."""
    async with (
        running(STANDBY, "drill", *LEAST, folder=folder) as one,
        running(STANDBY, "drill", *LEAST, folder=folder) as other,
    ):
        first, second = await asyncio.gather(one.ends(), other.ends())
    assert (first, second) == (0, 0), one.output + other.output
    assert "every promise was kept" in one.output
    assert "every promise was kept" in other.output


def listening(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    inodes: set[str] = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    ports: set[int] = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


async def in_the_middle(program: Program) -> set[int]:
    """Wait until several places of a drill stand; the ports on which they listen."""
    async with asyncio.timeout(30):
        while len(ports := listening(program.pid)) < 8:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return ports


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.anyio
@pytest.mark.skipif(
    not Path("/proc/self/net/tcp").exists(), reason="it looks for open ports as Linux has them"
)
async def test_ctrl_c_leaves_nothing(folder: Path) -> None:
    """Ctrl-C in the middle ends it with 130, quietly: no process, no port and no file is left."""
    reports = ("--junit", "drill.xml", "--html", "drill.html")
    scratch = MappingProxyType({"TMPDIR": str(folder)})
    async with running(STANDBY, "drill", *reports, folder=folder, environ=scratch) as program:
        ports = await in_the_middle(program)
        assert await program.interrupt() == 130
        assert program.output == ""
        with pytest.raises(ProcessLookupError):
            os.killpg(program.pid, 0)
    assert not any(answers(port) for port in ports)
    assert files(folder) == ["routes.toml"]
