"""Reloading when the file changes or SIGHUP comes: what counts as a change, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.config import Changes, Routes, load_routes
from standby.proxy.errors import ConfigError
from standby.proxy.gateway import Gateway
from standby.proxy.server.reload import EVERY, Reloader
from typing_extensions import override

from tests.proxy.harness import VirtualLoop

__all__: list[str] = []

pytestmark = pytest.mark.anyio

OLD: Final = """\
[providers.alpha]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
key = "file:secret"
[targets.main]
provider = "alpha"
model = "m"
[pools.support]
prefer = ["main"]
timeouts = { stall = "30s" }
"""
NEW: Final = OLD.replace("30s", "9s")
BAD: Final = OLD.replace("prefer", "prefers")
TWO_LOOKS: Final = 2.5 * EVERY


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """A loop whose time is moved."""
    return "asyncio", {"loop_factory": VirtualLoop}


class Reloaded(Gateway):
    """A gateway that reads its file in the loop, where time stands still, and counts how often."""

    times = 0

    @override
    async def reload(self, routes: Routes | str | os.PathLike[str] | None = None) -> Changes:
        self.times += 1
        try:
            read = load_routes(self.routes.file)
        except ConfigError as error:
            self.reload_failed = error
            raise
        return await super().reload(read)

    @property
    def stall(self) -> float:
        """What the file says of stalls, as far as it is in force."""
        return self.routes.pools["support"].timeouts.stall


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration, with a secret in a file of its own."""
    (tmp_path / "secret").write_text("first")
    file = tmp_path / "routes.toml"
    file.write_text(OLD)
    return file


def write(file: Path, text: str) -> None:
    """Replace what stands in the file, in place."""
    file.write_text(text)


def remove(file: Path) -> None:
    """Leave no file."""
    file.unlink()


def move(file: Path, over: Path) -> None:
    """Put one file in the other's place."""
    file.replace(over)


def turn(link: Path, folder: str) -> None:
    """Have the link lead to another folder, at once."""
    turned = link.with_name("turned")
    turned.symlink_to(folder)
    turned.replace(link)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """As Kubernetes mounts it: routes.toml -> ..data/routes.toml, ..data -> a folder for each version."""
    for name, text in (("one", OLD), ("two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.toml").write_text(text)
    (tmp_path / "secret").write_text("first")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "routes.toml").symlink_to(Path("..data") / "routes.toml")
    return tmp_path


async def test_a_change_of_the_file_is_taken_up(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Within two looks and a half, and the log says what changed."""
    gateway = Reloaded(file)
    with caplog.at_level(logging.INFO, "standby.reload"):
        async with Reloader(gateway):
            write(file, NEW)
            await asyncio.sleep(TWO_LOOKS)
            assert (gateway.stall, gateway.times) == (9.0, 1)
    assert "routes.toml reloaded: 1 change\n  pool support: stall 30s -> 9s" in caplog.text


async def test_a_bad_file_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It changes nothing, its errors are logged once for each version, and a good one ends it."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        write(file, BAD)
        await asyncio.sleep(60)
        assert (gateway.stall, gateway.times) == (30.0, 1)
        assert gateway.reload_failed
        assert caplog.text.count('did you mean "prefer"?') == 1
        write(file, NEW)
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0
        assert gateway.reload_failed is None


async def test_a_file_that_is_being_written_is_left_alone(file: Path) -> None:
    """As long as each look finds another one, nothing is read: half a file may be valid."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        for end in range(20, len(NEW), 20):
            write(file, NEW[:end])
            await asyncio.sleep(EVERY)
        write(file, NEW)
        await asyncio.sleep(TWO_LOOKS)
        assert (gateway.stall, gateway.times) == (9.0, 1)


async def test_half_a_file_and_then_the_whole(file: Path) -> None:
    """Half a file that lies there for a while is an error; the whole one ends it."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        write(file, NEW[: len(NEW) // 2])
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.reload_failed
        write(file, NEW)
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0
        assert gateway.reload_failed is None


async def test_a_file_moved_over_the_old_one(file: Path) -> None:
    """What an editor or a deployment renames into place is seen."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        write(file.with_name("new"), NEW)
        move(file.with_name("new"), file)
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0


async def test_a_link_that_is_turned(volume: Path) -> None:
    """Where a link on the way to the file leads to another version, that is a change of the file."""
    gateway = Reloaded(volume / "routes.toml")
    async with Reloader(gateway):
        turn(volume / "..data", "two")
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0


async def test_a_file_that_is_gone(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is told once and changes nothing; when it is back as it was, nothing is wrong, and nothing reloaded."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        remove(file)
        await asyncio.sleep(60)
        assert gateway.reload_failed
        assert caplog.text.count("cannot be read") == 1
        write(file, OLD)
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.times == 1
        assert gateway.reload_failed is None


async def test_a_file_that_is_touched(file: Path) -> None:
    """The same text is no change."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        os.utime(file, (1, 1))
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.times == 0


async def test_a_secret_that_changes(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A secret's file counts as part of the configuration; what it holds is not told."""
    gateway = Reloaded(file)
    with caplog.at_level(logging.INFO, "standby.reload"):
        async with Reloader(gateway):
            write(file.with_name("secret"), "second")
            await asyncio.sleep(TWO_LOOKS)
    key = gateway.routes.providers["alpha"].key
    assert key is not None
    assert key.reveal() == "second"
    assert "provider alpha: key changed" in caplog.text
    assert "second" not in caplog.text


async def test_sighup_reloads_at_once(file: Path) -> None:
    """Without a look that found the same before, and also when nothing has changed."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        await asyncio.sleep(0.1)
        for stall, text in ((9.0, NEW), (9.0, NEW)):
            write(file, text)
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.1)
            assert gateway.stall == stall
        assert gateway.times == 2


async def test_what_changed_before_the_start(file: Path) -> None:
    """What became of the file between being checked and being served is in force from the start."""
    gateway = Reloaded(file)
    reloader = Reloader(gateway)
    write(file, NEW)
    async with reloader:
        assert gateway.stall == 9.0
