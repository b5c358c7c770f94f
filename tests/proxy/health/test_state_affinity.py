"""The mapping of response ids to their provider."""

from __future__ import annotations

from standby.proxy.health.state_affinity import KEPT, StateAffinity

__all__: list[str] = []


def test_an_id_leads_to_its_provider() -> None:
    """Relayed ids are remembered; the last provider wins; another id is unknown."""
    affinity = StateAffinity()
    affinity.remember("r1", "openai")
    affinity.remember("r2", "azure")
    assert [affinity.provider_of(answer) for answer in ("r1", "r2", "r3", "R1", "")] == [
        "openai",
        "azure",
    ] + [None] * 3
    affinity.remember("r1", "azure")
    assert affinity.provider_of("r1") == "azure"


def test_memory_is_bounded() -> None:
    """The oldest ids are evicted first."""
    affinity = StateAffinity()
    for number in range(KEPT + 10):
        affinity.remember(f"r{number}", "p")
    assert affinity.provider_of("r9") is None
    assert affinity.provider_of("r10") == "p"
    assert affinity.provider_of(f"r{KEPT + 9}") == "p"


def test_two_gateways_share_nothing() -> None:
    """Each instance has its own ids."""
    StateAffinity().remember("r1", "p")
    assert StateAffinity().provider_of("r1") is None
