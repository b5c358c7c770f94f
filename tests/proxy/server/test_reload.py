"""Reloads on file changes and SIGHUP: what counts as a change, and what is logged."""

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
    """A loop with virtual time."""
    return "asyncio", {"loop_factory": VirtualLoop}


class Reloaded(Gateway):
    """A gateway that reads its file in the loop, where time does not pass, and counts the reads."""

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
        """The stall timeout in force."""
        return self.routes.pools["support"].timeouts.stall


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration, with a secret in a separate file."""
    (tmp_path / "secret").write_text("first")
    file = tmp_path / "routes.toml"
    file.write_text(OLD)
    return file


def write(file: Path, text: str) -> None:
    """Replace the content of the file in place."""
    file.write_text(text)


def remove(file: Path) -> None:
    """Delete the file."""
    file.unlink()


def move(file: Path, over: Path) -> None:
    """Move one file over the other."""
    file.replace(over)


def turn(link: Path, folder: str) -> None:
    """Atomically point the link to another folder."""
    turned = link.with_name("turned")
    turned.symlink_to(folder)
    turned.replace(link)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The layout of Kubernetes: routes.toml -> ..data/routes.toml, ..data -> a folder for each version."""
    for name, text in (("one", OLD), ("two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.toml").write_text(text)
    (tmp_path / "secret").write_text("first")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "routes.toml").symlink_to(Path("..data") / "routes.toml")
    return tmp_path


async def test_a_change_of_the_file_is_taken_up(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A change is loaded within two and a half polls, and the log lists the changes."""
    gateway = Reloaded(file)
    with caplog.at_level(logging.INFO, "standby.reload"):
        async with Reloader(gateway):
            write(file, NEW)
            await asyncio.sleep(TWO_LOOKS)
            assert (gateway.stall, gateway.times) == (9.0, 1)
    assert "routes.toml reloaded: 1 change\n  pool support: stall 30s -> 9s" in caplog.text


async def test_a_bad_file_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An invalid file changes nothing, and is logged once per version, until a valid one replaces it."""
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
    """While each poll finds another version, nothing is read, since half a file may be valid."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        for end in range(20, len(NEW), 20):
            write(file, NEW[:end])
            await asyncio.sleep(EVERY)
        write(file, NEW)
        await asyncio.sleep(TWO_LOOKS)
        assert (gateway.stall, gateway.times) == (9.0, 1)


async def test_half_a_file_and_then_the_whole(file: Path) -> None:
    """An incomplete file that stays for a while is an error. The complete one ends it."""
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
    """A file that an editor or a deployment renames into place is detected."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        write(file.with_name("new"), NEW)
        move(file.with_name("new"), file)
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0


async def test_a_link_that_is_turned(volume: Path) -> None:
    """A change of a link on the path to the file is a change of the file."""
    gateway = Reloaded(volume / "routes.toml")
    async with Reloader(gateway):
        turn(volume / "..data", "two")
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.stall == 9.0


async def test_a_file_that_is_gone(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing file is logged once and changes nothing. When it is back unchanged, there is no reload."""
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
    """The same content is not a change."""
    gateway = Reloaded(file)
    async with Reloader(gateway):
        os.utime(file, (1, 1))
        await asyncio.sleep(TWO_LOOKS)
        assert gateway.times == 0


async def test_a_secret_that_changes(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A secret's file is part of the configuration. Its content is not logged."""
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
    """SIGHUP reloads without waiting for a stable poll, and also if nothing has changed."""
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
    """A change of the file between validation and serving is loaded at the start."""
    gateway = Reloaded(file)
    reloader = Reloader(gateway)
    write(file, NEW)
    async with reloader:
        assert gateway.stall == 9.0
