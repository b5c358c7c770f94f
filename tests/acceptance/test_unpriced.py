"""Nothing is free for want of a price (case 11)."""

from __future__ import annotations

import logging
from types import MappingProxyType

import pytest
from standby.proxy.config import parse_routes
from standby.proxy.errors import ConfigError

from tests.acceptance.money import CARDS, priced, shop, written
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9/v1"


def test_a_budgeted_target_without_a_price_does_not_load() -> None:
    """The file is refused, and the error names the target's line."""
    text = written(URL, URL, targets=MappingProxyType({"beta": ""}))
    with pytest.raises(ConfigError) as refused:
        parse_routes(text)
    line = text.splitlines().index("[targets.beta]") + 1
    assert f"routes.toml:{line}" in str(refused.value)


@pytest.mark.parametrize("where", ["target", "pool"])
def test_it_loads_when_that_is_what_is_wanted(where: str) -> None:
    """`unpriced = "allow"` on the target or on the pool says that it is meant."""
    allowed = 'unpriced = "allow"'
    text = written(
        URL,
        URL,
        targets=MappingProxyType({"beta": allowed if where == "target" else ""}),
        pool=allowed if where == "pool" else "",
    )
    assert parse_routes(text).targets["beta"].price is None


async def test_an_unknown_served_model_is_never_free(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """When another model answers than was asked for, what was held is booked, and an alert is raised."""
    async with shop(front) as counted:
        counted.alpha.answers_as = "a-model-nobody-priced"
        with caplog.at_level(logging.WARNING, "standby.alerts"):
            assert (await counted.ask()).status == 200
            [entry] = await counted.settled()
        assert entry.source == "unpriced"
        assert entry.model == "a-model-nobody-priced"
        assert (entry.charged or 0) >= counted.due() > 0
        assert await counted.spent() == entry.charged
        assert any(record.name == "standby.alerts" for record in caplog.records)


@pytest.mark.parametrize("name", ["model-of-alpha-2026-04-14", "house-model"])
async def test_a_snapshot_and_a_known_alias_have_the_targets_price(front: Front, name: str) -> None:
    """A dated snapshot of the model, or a name of `served_as`, is priced by the target's own card."""
    targets = {"alpha": f'{priced(CARDS["alpha"])}\nserved_as = ["house-*"]'}
    async with shop(front, targets=targets) as counted:
        counted.alpha.answers_as = name
        assert (await counted.ask()).status == 200
        [entry] = await counted.settled()
        assert (entry.source, entry.model, entry.cost) == ("provider", name, counted.due())
