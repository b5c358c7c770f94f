"""Tests of the wall clock that ignores jumps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from standby.proxy.stores.steady_clock import CONFIRM_AFTER, SLACK, SteadyClock

__all__: list[str] = []

HOUR = 3600.0


@dataclass
class Machine:
    """A wall clock that can be set, and a monotonic clock."""

    ahead: float = 1_793_491_200.0
    elapsed: float = 50.0

    def wall(self) -> float:
        return self.elapsed + self.ahead

    def steady(self) -> SteadyClock:
        return SteadyClock(self.wall, lambda: self.elapsed)


def test_an_untouched_clock_tells_the_time() -> None:
    """A clock without jumps is followed from the start."""
    machine = Machine()
    steady = machine.steady()
    assert steady() == machine.wall()
    machine.elapsed += 86_400
    assert steady() == machine.wall()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_is_not_followed(jump: float) -> None:
    """After a jump in either direction the old time continues. A jump back to it is no jump."""
    machine = Machine()
    steady = machine.steady()
    began = steady()
    machine.ahead += jump
    machine.elapsed += 10
    assert steady() == began + 10
    machine.ahead -= jump
    assert steady() == machine.wall() == began + 10


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_stays_is_believed(jump: float) -> None:
    """A jump is accepted when the clock has continued from there for CONFIRM_AFTER seconds."""
    machine = Machine()
    steady = machine.steady()
    steady()
    machine.ahead += jump
    steady()
    machine.elapsed += CONFIRM_AFTER - 1
    assert steady() != machine.wall()
    machine.elapsed += 1
    assert steady() == machine.wall()


def test_each_jump_is_doubted_anew() -> None:
    """A clock that keeps jumping is never followed."""
    machine = Machine()
    steady = machine.steady()
    began = steady()
    for number in range(20):
        machine.ahead += HOUR if number % 2 else 2 * HOUR
        machine.elapsed += CONFIRM_AFTER / 2
        assert steady() == began + (number + 1) * CONFIRM_AFTER / 2


def test_small_corrections_are_followed() -> None:
    """A correction by a few seconds is followed at once."""
    machine = Machine()
    steady = machine.steady()
    steady()
    machine.ahead -= SLACK
    assert steady() == machine.wall()
