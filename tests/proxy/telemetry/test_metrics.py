"""What is counted, what Prometheus reads of it, and what several processes add up to."""

from __future__ import annotations

import re

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families
from standby.proxy.server.otlp_metrics import metrics_data
from standby.proxy.telemetry import names
from standby.proxy.telemetry.exposition import exposition, merged
from standby.proxy.telemetry.metric import Metric
from standby.proxy.telemetry.metrics import Metrics, Sample, as_json, from_json
from standby.proxy.telemetry.names import METRICS

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ask, chunk, scope_of, virtual_time

__all__ = ["virtual_time"]

anyio = pytest.mark.anyio


def value_of(metrics: Metrics, metric: Metric, *labels: str) -> float:
    """The value of a counter, or the number of values in a histogram."""
    for sample in metrics.samples():
        if (sample.metric, sample.labels) == (metric, labels):
            return sum(sample.counts) if sample.counts else sample.value
    return 0


@anyio
async def test_what_a_failover_counts() -> None:
    """One request, two attempts, one failover, and the model's tokens where they were used."""
    scene = Scene(2)
    scene["a"].say(b"", status=500)
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    scene["b"].say(chunk("Hi"), usage, DONE)
    await scene.ask()
    metrics = scene.gateway.metrics
    assert value_of(metrics, names.REQUESTS, "support", "served") == 1
    assert value_of(metrics, names.ATTEMPTS, "support", "a", "upstream_5xx") == 1
    assert value_of(metrics, names.ATTEMPTS, "support", "b", "none") == 1
    assert value_of(metrics, names.FAILOVERS, "support", "a", "b", "upstream_5xx") == 1
    assert value_of(metrics, names.TOKENS, "support", "none", "b", "input") == 7
    assert value_of(metrics, names.TOKENS, "support", "none", "b", "output") == 3
    assert value_of(metrics, names.FIRST_TOKEN, "support", "b") == 1
    assert value_of(metrics, names.FIRST_TOKEN, "support", "a") == 0
    assert value_of(metrics, names.OVERHEAD, "before") == value_of(metrics, names.OVERHEAD, "after") == 1
    assert value_of(metrics, names.MODEL_DURATION, "chat", "openai", "model-a", "upstream_5xx") == 1


@anyio
async def test_a_target_passed_over_is_counted_with_its_reason() -> None:
    """A candidate that was not tried counts as a rejection."""
    scene = Scene(2)
    scene["a"].say(b"{}", status=429, headers=((b"retry-after", b"60"),))
    await scene.ask()
    await scene.ask()
    assert value_of(scene.gateway.metrics, names.REJECTIONS, "support", "a", "health.cooldown") == 1


@anyio
async def test_labels_are_names_of_the_configuration() -> None:
    """Whatever callers send, the number of time series stays the same; probes are not counted."""
    scene = Scene(2)
    for number in range(30):
        await ask(scene.gateway, {"model": f"model-{number}", "messages": []})
        await ask(scene.gateway, {}, scope_of(f"/v1/{number}", headers=[(b"user-agent", b"%d" % number)]))
    for _ in range(3):
        await ask(scene.gateway, {}, scope_of("/healthz", method="GET"))
    series = [sample for sample in scene.gateway.metrics.samples() if sample.labels]
    assert {sample.labels for sample in series} == {("none", "rejected")}
    assert value_of(scene.gateway.metrics, names.REQUESTS, "none", "rejected") == 60


@anyio
async def test_a_caller_that_leaves_is_no_failure() -> None:
    """A hang-up has an outcome of its own, and no fault."""
    scene = Scene(2)
    scene["a"].say(chunk("Hi"), 60.0, DONE)
    caller, task = scene.begin()
    await caller.until(lambda: caller.started)
    assert len(scene.gateway.requests) == 1
    caller.leave()
    await task
    assert value_of(scene.gateway.metrics, names.REQUESTS, "support", "client_gone") == 1
    assert value_of(scene.gateway.metrics, names.ATTEMPTS, "support", "a", "none") == 1
    assert scene.gateway.requests == set()


def filled(at: float = 0.3) -> Metrics:
    """Metrics with something in a counter and in a histogram."""
    metrics = Metrics()
    metrics.count(names.REQUESTS, ("support", "served"), 2)
    metrics.observe(names.FIRST_TOKEN, ("support", "a"), at)
    return metrics


def test_prometheus_reads_it() -> None:
    """Names, help, types and cumulative buckets are as its parser expects them."""
    families = {
        family.name: family
        for family in text_string_to_metric_families(exposition([*filled().samples()]).decode())
    }
    [requests] = families["standby_requests"].samples
    assert (requests.name, requests.value) == ("standby_requests_total", 2)
    first = {
        (each.name, each.labels.get("le")): each.value
        for each in families["standby_first_token_duration_seconds"].samples
    }
    assert first["standby_first_token_duration_seconds_bucket", "0.16"] == 0
    assert first["standby_first_token_duration_seconds_bucket", "0.32"] == 1
    assert first["standby_first_token_duration_seconds_bucket", "+Inf"] == 1
    assert first["standby_first_token_duration_seconds_count", None] == 1


def test_every_metric_has_a_good_name() -> None:
    """Names and labels are valid, told apart, and counters do not end in what Prometheus adds."""
    prometheus = [metric.prometheus for metric in METRICS]
    assert len(set(prometheus)) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.prometheus)
        assert not metric.prometheus.endswith(("_total", "_count", "_sum", "_bucket"))
        assert metric.help.endswith(".")
        assert (metric.kind == "histogram") == bool(metric.buckets)


def test_several_processes_are_one() -> None:
    """Counters and histograms are added up, states are the worst, and what is left is the least."""
    gauges = [
        [
            Sample(names.POOL_STATE, ("support",), state),
            Sample(names.REMAINING, ("key/ann",), left),
            Sample(names.HOLDS, (), held),
        ]
        for state, left, held in ((0, 4.0, 2), (1, 3.5, 1))
    ]
    one, other = [*filled().samples(), *gauges[0]], [*filled(3.0).samples(), *gauges[1]]
    both = {(each.metric.name, each.labels): each for each in merged([one, from_json(as_json(other))])}
    assert both["standby.requests", ("support", "served")].value == 4
    assert sum(both["standby.first_token.duration", ("support", "a")].counts) == 2
    assert both["standby.first_token.duration", ("support", "a")].value == pytest.approx(3.3)
    assert both["standby.pool.state", ("support",)].value == 1
    assert both["standby.budget.remaining_usd", ("key/ann",)].value == 3.5
    assert both["standby.holds", ()].value == 3


def test_what_is_exported() -> None:
    """OTLP gets the same names with dots, cumulative, with attributes for labels."""
    metrics = filled()
    metrics.observe(names.MODEL_DURATION, ("chat", "openai", "gpt", "none"), 0.2)
    [resource] = metrics_data([*metrics.samples()], Resource({})).resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    [requests] = found["standby.requests"].data.data_points
    assert dict(requests.attributes or {}) == {"pool": "support", "outcome": "served"}
    [model] = found["gen_ai.client.operation.duration"].data.data_points
    assert dict(model.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt",
    }


@anyio
@pytest.mark.parametrize("callers", [True, False])
async def test_a_caller_in_a_hurry_says_nothing_of_the_pool(callers: bool) -> None:
    """A time limit of the caller's own is no evidence; one of the operator's is."""
    limit = 'timeouts = { first_token = "50ms" }' if not callers else ""
    scene = Scene(1, pool=limit)
    scene["a"].say(5.0, chunk("late"), DONE)
    headers = [(b"x-standby-timeout-ms", b"50")] if callers else []
    for _ in range(4):
        assert (await scene.ask(*headers)).status == 504
    assert scene.gateway.observer.pools.of("support").state == ("healthy" if callers else "exhausted")
