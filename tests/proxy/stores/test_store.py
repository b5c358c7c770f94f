"""Tests of every kind of store: holds, settlements, expiry, windows, rates and leases."""

from __future__ import annotations

import pytest
from standby.proxy.stores.records import Denied, Held, Line
from standby.proxy.stores.store import Store

from tests.proxy.stores.lines import BIG, DAY, LEASE, entry, ledger, money, rate, slot
from tests.proxy.stores.scenes import BEGAN, Scene

__all__: list[str] = []

pytestmark = pytest.mark.anyio


# -- sums ------------------------------------------------------------------------------------


async def test_what_fits_is_taken_and_told(store: Store) -> None:
    """A hold that fits returns the used amounts, including itself."""
    assert await store.hold("1", [money(30, 100)], lease=LEASE) == Held((30,))
    assert await store.hold("2", [money(70, 100)], lease=LEASE) == Held((100,))
    assert await store.held() == 2


async def test_what_does_not_fit_takes_nothing(store: Store) -> None:
    """A hold is refused by its first line that does not fit, and nothing of it is taken."""
    other = money(5, 10, "team/t cost")
    await store.hold("1", [money(80, 100)], lease=LEASE)

    assert await store.hold("2", [other, slot(), rate(1), money(21, 100)], lease=LEASE) == Denied(3, 80)
    assert await store.used([other, slot(), rate(1), money(0)]) == (0, 0, 0, 80)
    assert await store.held() == 1


async def test_settling_books_what_was_spent(store: Store) -> None:
    """A settlement frees what was held in excess, and books more than was held regardless of the limit."""
    await store.hold("1", [money(80, 100)], lease=LEASE)
    assert await store.settle("1", [money(20, 100)], [])
    assert await store.used([money(0)]) == (20,)

    await store.hold("2", [money(80, 100)], lease=LEASE)
    assert await store.settle("2", [money(85, 100)], [])
    assert await store.used([money(0)]) == (105,)
    assert await store.held() == 0


async def test_beyond_the_limit_not_even_nothing_fits(store: Store) -> None:
    """At the limit a hold of amount 0 is taken; above the limit it is refused."""
    await store.settle("1", [money(100)], [])
    assert isinstance(await store.hold("2", [money(0, 100)], lease=LEASE), Held)
    await store.settle("3", [money(1)], [])
    assert await store.hold("4", [money(0, 100)], lease=LEASE) == Denied(0, 101)


async def test_a_line_that_is_left_out_was_not_spent(store: Store) -> None:
    """A settlement without a line that was held frees it."""
    await store.hold("1", [money(80), rate(4), slot()], lease=LEASE)
    await store.settle("1", [], [])
    assert await store.used([money(0), rate(0), slot(0)]) == (0, 0, 0)


async def test_settling_happens_once(store: Store) -> None:
    """A repeated settlement changes nothing and returns False."""
    await store.hold("1", [money(80, 100)], lease=LEASE)
    assert await store.settle("1", [money(20)], [entry()])
    assert not await store.settle("1", [money(20)], [entry()])
    assert await store.used([money(0)]) == (20,)
    assert len(await ledger(store)) == 1


async def test_settling_what_is_not_known_books_it(store: Store) -> None:
    """A settlement without a hold is booked, and its id takes no hold afterwards."""
    assert await store.settle("1", [money(20), rate(4), slot()], [entry()])
    assert await store.used([money(0), rate(0), slot(0)]) == (20, 4, 0)
    assert await store.hold("1", [money(1)], lease=LEASE) == Denied(-1, 0)
    assert await ledger(store) == [entry()]


async def test_a_settled_hold_takes_no_more(store: Store) -> None:
    """An ended hold cannot be extended."""
    await store.hold("1", [money(20)], lease=LEASE)
    await store.settle("1", [], [])
    assert await store.hold("1", [money(20)], lease=LEASE) == Denied(-1, 0)
    assert await store.used([money(0)]) == (0,)


async def test_a_hold_is_extended(store: Store) -> None:
    """A second hold with the same id extends the first, and both are settled together."""
    await store.hold("1", [money(20, 100), slot()], lease=LEASE)
    assert await store.hold("1", [money(30, 100), rate(3)], lease=LEASE) == Held((50, 3))
    assert await store.held() == 1
    assert await store.hold("1", [money(51, 100)], lease=LEASE) == Denied(0, 50)
    await store.settle("1", [money(45, 100)], [])
    assert await store.used([money(0), rate(0), slot(0)]) == (45, 0, 0)


async def test_lines_of_one_account_add_up(store: Store) -> None:
    """Lines of one hold on the same account are added up."""
    assert await store.hold("1", [money(60, 100), money(60, 100)], lease=LEASE) == Denied(1, 60)
    assert await store.hold("1", [slot(), slot(), slot()], lease=LEASE) == Denied(2, 2)
    assert await store.hold("1", [rate(6), rate(6)], lease=LEASE) == Denied(1, 6, 1.0)
    assert await store.hold("1", [money(60, 100), money(40, 100)], lease=LEASE) == Held((60, 100))


async def test_observing_takes_everything_and_tells_what_is_exceeded(store: Store) -> None:
    """Without enforcement nothing is refused, and the exceeded lines are reported."""
    lines = [money(150, 100), money(1, 100, "other"), rate(11), slot(3)]
    assert await store.hold("1", lines, lease=LEASE, enforce=False) == Held((150, 1, 11, 3), (0, 2, 3))


async def test_no_limit_never_refuses(store: Store) -> None:
    """A line without a limit is counted and never refused."""
    assert await store.hold("1", [money(BIG), money(BIG)], lease=LEASE) == Held((BIG, 2 * BIG))


@pytest.mark.parametrize("spent", [1, 2**53, 10**9, 10**17 + 1, BIG - 1])
async def test_amounts_are_exact(store: Store, spent: int) -> None:
    """Limits are exact to one nano-dollar, up to a billion dollars."""
    await store.settle("1", [money(spent)], [])
    assert await store.used([money(0)]) == (spent,)
    assert await store.hold("2", [money(BIG - spent + 1, BIG)], lease=LEASE) == Denied(0, spent)
    assert await store.hold("3", [money(BIG - spent, BIG)], lease=LEASE) == Held((BIG,))
    await store.settle("3", [money(1)], [])
    assert await store.used([money(0)]) == (spent + 1,)


async def test_more_than_64_bits_stop_counting(store: Store) -> None:
    """A sum saturates at 2^63 - 1 without an error."""
    for number in range(12):
        await store.settle(str(number), [money(BIG)], [])
    assert await store.used([money(0)]) == (2**63 - 1,)


@pytest.mark.parametrize("line", [money(-1), money(BIG + 1), money(1, BIG + 1), money(1, -1)])
async def test_amounts_out_of_bounds_are_errors(store: Store, line: Line) -> None:
    """Amounts and limits out of range raise ValueError."""
    with pytest.raises(ValueError, match=r"10\^18"):
        await store.hold("1", [line], lease=LEASE)
    with pytest.raises(ValueError, match=r"10\^18"):
        await store.settle("1", [line], [])


# -- windows ---------------------------------------------------------------------------------


async def test_each_bucket_counts_for_itself(store: Store) -> None:
    """Each bucket has its own total."""
    assert await store.hold("1", [money(90, 100, bucket=0)], lease=LEASE) == Held((90,))
    assert await store.hold("2", [money(90, 100, bucket=3600)], lease=LEASE) == Held((90,))
    assert await store.used([money(0, bucket=0), money(0, bucket=3600)]) == (90, 90)


async def test_a_rolling_window_is_the_sum_of_its_buckets(store: Store) -> None:
    """Buckets from `since` on are added up; earlier ones are not."""

    def rolling(amount: int, bucket: int) -> Line:
        return Line("key/a rolling", "sum", amount, 100, bucket, bucket - 120, rolling=True, keep=180)

    began = int(BEGAN)
    for number in range(3):
        await store.settle(f"{number}", [rolling(30, began + 60 * number)], [])
    assert await store.hold("3", [rolling(11, began + 120)], lease=LEASE) == Denied(0, 90)
    assert await store.hold("4", [rolling(40, began + 180)], lease=LEASE) == Held((100,))
    assert await store.used([rolling(0, began + 60)]) == (130,)


async def test_buckets_are_forgotten(scene: Scene) -> None:
    """A bucket is deleted a day after its time and not before, even if the clock jumps."""
    old, new = (Line("a", "sum", 5, None, int(BEGAN) + at, 0, rolling=True, keep=3600) for at in (0, 4 * DAY))
    await scene.store.settle("1", [old], [])
    scene.jump(DAY / 2)
    await scene.store.sweep()
    scene.jump(-DAY / 2)
    assert await scene.store.used([old]) == (5,)

    scene.pass_time(4 * DAY)
    await scene.store.sweep()
    await scene.store.settle("2", [new], [])
    assert await scene.store.used([old]) == (5,)


# -- rates -----------------------------------------------------------------------------------


async def test_a_rate_refills(scene: Scene) -> None:
    """A rate refills over time, and a refusal has the seconds until the line fits."""
    assert await scene.store.hold("1", [rate(8)], lease=LEASE) == Held((8,))
    assert await scene.store.hold("2", [rate(5)], lease=LEASE) == Denied(0, 8, 1.5)
    scene.pass_time(1.5)
    assert await scene.store.hold("2", [rate(5)], lease=LEASE) == Held((10,))
    scene.pass_time(100)
    assert await scene.store.used([rate(0)]) == (0,)


async def test_what_never_fits_has_no_time(store: Store) -> None:
    """A line that exceeds the size of the rate's bucket has no time at which it fits."""
    assert await store.hold("1", [rate(11)], lease=LEASE) == Denied(0, 0, None)
    assert await store.hold("2", [rate(1, 0, 0.0)], lease=LEASE) == Denied(0, 0, None)


async def test_settling_gives_back_to_a_rate_or_takes(scene: Scene) -> None:
    """A settlement returns the excess to a rate, and takes more than was held regardless of the limit."""
    await scene.store.hold("1", [rate(8)], lease=LEASE)
    await scene.store.settle("1", [rate(3)], [])
    assert await scene.store.used([rate(0)]) == (3,)
    await scene.store.hold("2", [rate(5)], lease=LEASE)
    await scene.store.settle("2", [rate(17)], [])
    assert await scene.store.used([rate(0)]) == (20,)
    assert await scene.store.hold("3", [rate(1)], lease=LEASE) == Denied(0, 20, 5.5)
    scene.pass_time(5.5)
    assert await scene.store.hold("3", [rate(1)], lease=LEASE) == Held((10,))


async def test_a_rate_refills_while_it_is_held(scene: Scene) -> None:
    """The returned amount is added to what has refilled meanwhile."""
    await scene.store.hold("1", [rate(8)], lease=LEASE)
    scene.pass_time(1)
    await scene.store.settle("1", [rate(3)], [])
    assert await scene.store.used([rate(0)]) == (1,)


async def test_a_rate_is_never_more_than_full(scene: Scene) -> None:
    """A rate never holds more than its size, even if the held amount is returned after a refill."""
    await scene.store.hold("1", [rate(8)], lease=LEASE)
    scene.pass_time(10)
    await scene.store.settle("1", [], [])
    assert await scene.store.used([rate(0)]) == (0,)
    assert await scene.store.hold("2", [rate(11)], lease=LEASE) == Denied(0, 0)


# -- leases and expiry -----------------------------------------------------------------------


async def test_a_lease_is_free_again(store: Store) -> None:
    """Concurrent holds are limited, and a settlement frees a slot."""
    for number in range(2):
        assert isinstance(await store.hold(str(number), [slot()], lease=LEASE), Held)
    assert await store.hold("2", [slot()], lease=LEASE) == Denied(0, 2)
    await store.settle("0", [], [])
    assert await store.hold("2", [slot()], lease=LEASE) == Held((2,))


async def test_an_abandoned_hold_is_booked_at_what_it_held(scene: Scene) -> None:
    """An expired hold is booked in full, once; its slot is free, and the ledger has an expired entry."""
    lines = [money(70, 100), slot(), rate(4)]
    await scene.store.hold("1", lines, lease=LEASE, entries=[entry()])
    await scene.store.hold("2", lines[:1], lease=2 * LEASE, enforce=False)
    scene.pass_time(LEASE - 1)
    assert await scene.store.sweep() == 0
    scene.pass_time(1)
    assert await scene.store.sweep() == 1
    assert await scene.store.sweep() == 0
    assert await scene.store.held() == 1
    assert await scene.store.used([money(0), slot(0)]) == (140, 0)
    (line,) = await ledger(scene.store)
    assert (line.source, line.outcome, line.request_id, line.cost) == (
        "expired",
        "expired",
        "r",
        entry().cost,
    )


async def test_an_expired_hold_is_not_settled(scene: Scene) -> None:
    """A settlement after the expiry changes nothing."""
    await scene.store.hold("1", [money(70, 100)], lease=LEASE)
    scene.pass_time(LEASE)
    await scene.store.sweep()
    scene.pass_time(3600)
    await scene.store.sweep()
    assert not await scene.store.settle("1", [money(1)], [entry()])
    assert await scene.store.hold("1", [money(1)], lease=LEASE) == Denied(-1, 0)
    assert await scene.store.used([money(0)]) == (70,)
    assert await ledger(scene.store) == []


async def test_an_extension_lengthens_a_lease_and_replaces_entries(scene: Scene) -> None:
    """The later expiry and the last entries apply."""
    await scene.store.hold("1", [money(1)], lease=LEASE, entries=[entry("first")])
    await scene.store.hold("1", [money(1)], lease=2 * LEASE, entries=[entry("a"), entry("b", 2)])
    await scene.store.hold("1", [money(1)], lease=1)
    scene.pass_time(2 * LEASE - 1)
    assert await scene.store.sweep() == 0
    scene.pass_time(1)
    assert await scene.store.sweep() == 1
    assert [line.request_id for line in await ledger(scene.store)] == ["a", "b"]


@pytest.mark.parametrize("seconds", [3600, -3600, 400 * DAY])
async def test_a_jump_of_the_clock_ends_nothing(scene: Scene, seconds: float) -> None:
    """A jump of the wall clock neither ends nor extends a lease."""
    await scene.store.hold("1", [money(70)], lease=LEASE)
    scene.jump(seconds)
    assert await scene.store.sweep() == 0
    await scene.store.hold("2", [money(70)], lease=LEASE)
    scene.pass_time(LEASE)
    assert await scene.store.sweep() == 2


async def test_many_are_swept(scene: Scene) -> None:
    """One sweep ends all expired holds, however many."""
    for number in range(250):
        await scene.store.hold(str(number), [money(1)], lease=LEASE)
    scene.pass_time(LEASE)
    assert await scene.store.sweep() == 250
    assert await scene.store.held() == 0
