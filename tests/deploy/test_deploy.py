"""What `deploy/` ships: queries that name real metrics, ports on loopback, a configuration that loads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, get_args

import pytest
import yaml
from standby.proxy.config import load_routes
from standby.proxy.telemetry.names import METRICS
from standby.proxy.telemetry.outcome import Outcome

__all__: list[str] = []

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
SECRETS: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("MISTRAL_API_KEY", "OPENAI_API_KEY", "STANDBY_ADMIN_TOKEN"), "made-up-for-this-test")
)

_SUFFIXES: Final = MappingProxyType(
    {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
)
_SCRAPED: Final = frozenset({"instance", "job"})
"""Labels that Prometheus itself adds to every series."""
LABELS: Final = MappingProxyType(
    {
        "up": _SCRAPED,
        **{
            metric.prometheus + suffix: _SCRAPED | {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
            for metric in METRICS
            for suffix in _SUFFIXES[metric.kind]
        },
    }
)
"""The labels of each series that Prometheus has, by its name."""

_KEYWORDS: Final = frozenset({"and", "bool", "inf", "nan", "offset", "on", "or", "unless"})
_NAME: Final = re.compile(r"(?<![\w$.:])[a-zA-Z_:][\w:]*(?!\w*\s*\()")
_MATCHED: Final = re.compile(r"([\w:]+)\{([^}]*)\}")
_MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_BY: Final = re.compile(r"\bby\s*\(([^)]*)\)\s*")


class Query(NamedTuple):
    """One PromQL expression, where it stands, and the texts that show the labels of its result."""

    place: str
    text: str
    shown: str

    def __str__(self) -> str:
        return self.place


def _group(text: str, start: int) -> str:
    """The text from the parenthesis at `start` to the one that closes it."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return text[start : position + 1]
    raise AssertionError(f"a parenthesis is not closed: {text}")


def _metrics(text: str) -> set[str]:
    """The names of all series in an expression whose labels are grouped by `by (...)` only."""
    bare = _BY.sub("", re.sub(r"\{[^}]*\}|\[[^]]*\]", "", text))
    return set(_NAME.findall(bare)) - _KEYWORDS


def _grouped(text: str) -> Iterator[tuple[set[str], set[str]]]:
    """The labels of each `by (...)`, with the names of the series below it."""
    for found in _BY.finditer(text):
        yield set(re.findall(r"\w+", found[1])), _metrics(_group(text, found.end()))


def _strange_labels(text: str) -> list[str]:
    """Labels that an expression uses and the series does not have."""
    uses = [
        *(({label}, {name}) for name, body in _MATCHED.findall(text) for label, _ in _MATCHER.findall(body)),
        *_grouped(text),
    ]
    return [
        f"{label} of {name}"
        for labels, names in uses
        for name in sorted(names)
        for label in sorted(labels - LABELS.get(name, frozenset()))
    ]


def _yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def _rules() -> list[dict[str, Any]]:
    return [rule for group in _yaml("alerts.yml")["groups"] for rule in group["rules"]]


def _dashboard() -> Any:
    return json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))


def _queries() -> Iterator[Query]:
    for rule in _rules():
        yield Query(rule["alert"], rule["expr"], " ".join(rule["annotations"].values()))
    dashboard = _dashboard()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Query(f"{panel['title']} {target['refId']}", target["expr"], target["legendFormat"])
    for variable in dashboard["templating"]["list"]:
        if (
            found := re.fullmatch(r"label_values\((\w+), (\w+)\)", variable.get("definition", ""))
        ) is not None:
            yield Query(f"variable {variable['name']}", f"sum by ({found[2]}) ({found[1]})", "")


QUERIES: Final = tuple(_queries())


def test_a_wrong_query_is_found() -> None:
    """The checks below see a counter without its suffix, and a label that the series does not have."""
    text = 'sum by (pool, le) (rate(standby_requests{pool=~"$pool"}[5m])) > 0.5 and up{job="standby", x="1"}'

    assert _metrics(text) == {"standby_requests", "up"}
    assert _strange_labels(text) == [
        "pool of standby_requests",
        "x of up",
        "le of standby_requests",
        "pool of standby_requests",
    ]


def test_alerts_and_dashboard_have_queries() -> None:
    """Queries are found in both files, so that no rule holds for want of them."""
    assert {"StandbyPoolExhausted", "Failovers by reason A", "variable pool"} <= set(map(str, QUERIES))


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_metric_exists(query: Query) -> None:
    """A query names series that the gateway has, each with the suffix of its kind."""
    assert _metrics(query.text) - LABELS.keys() == set()
    assert _metrics(query.text) != set()


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_label_exists(query: Query) -> None:
    """A label in a matcher or a `by (...)` is one that the series has; the outcomes are those of the code."""
    assert _strange_labels(query.text) == []
    outcomes = [value for label, value in _MATCHER.findall(query.text) if label == "outcome"]
    assert set(outcomes) <= set(get_args(Outcome))


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_shown_labels_are_left(query: Query) -> None:
    """A legend or an annotation shows only labels that are still there after the aggregation."""
    shown = set(re.findall(r"\$labels\.(\w+)", query.shown)) | set(re.findall(r"\{\{(\w+)\}\}", query.shown))
    groups = [labels for labels, _ in _grouped(query.text)]
    series = [LABELS[name] for name in _metrics(query.text)]

    assert shown <= set[str]().union(*(groups or series))


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """An alert has a severity, a one-line summary, and a description long enough to act on."""
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert 0 < len(rule["annotations"]["summary"]) < 100
    assert len(rule["annotations"]["description"]) > 150


def test_every_alert_has_been_seen_firing() -> None:
    """Promtool's scenarios in alerts_test.yml have each alert fire."""
    scenarios = Path(__file__).with_name("alerts_test.yml").read_text(encoding="utf-8")

    assert set(re.findall(r'alertname="(\w+)"', scenarios)) == {rule["alert"] for rule in _rules()}


def test_the_dashboard_is_in_order() -> None:
    """Panels have ids of their own, stand inside the 24 columns, and read the data source that was chosen."""
    dashboard = _dashboard()
    panels = dashboard["panels"]
    boxes = [panel["gridPos"] for panel in panels]

    assert dashboard["schemaVersion"] >= 42
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [box for box in boxes if box["x"] + box["w"] > 24] == []
    assert {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())} == {
        "${datasource}"
    }


def test_prometheus_scrapes_the_admin_listener() -> None:
    """Prometheus asks the gateway's admin port, with the token that compose.yaml hands to both."""
    [scrape] = _yaml("prometheus.yml")["scrape_configs"]
    compose = _yaml("compose.yaml")

    assert scrape["job_name"] == "standby"
    assert scrape["static_configs"] == [{"targets": ["standby:8081"]}]
    [secret] = compose["services"]["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{secret}"}
    assert compose["secrets"][secret] == {"environment": "STANDBY_ADMIN_TOKEN"}
    assert _yaml("prometheus.yml")["rule_files"] == ["alerts.yml"]


def test_ports_are_published_on_loopback() -> None:
    """No port of compose.yaml can be reached from another machine."""
    services = _yaml("compose.yaml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]

    assert ports != []
    assert [port for port in ports if re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) is None] == []
    assert [name for name, service in services.items() if service.get("network_mode") == "host"] == []


def test_mounted_files_exist() -> None:
    """Every file that compose.yaml mounts is in the repository; Docker makes a folder of a missing one."""
    services = _yaml("compose.yaml")["services"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]

    assert sources != []
    assert [source for source in sources if not (DEPLOY / source).is_file()] == []


def test_streams_may_end() -> None:
    """Compose waits longer before it kills the gateway than the 25 seconds that streams have to end."""
    assert int(_yaml("compose.yaml")["services"]["standby"]["stop_grace_period"].removesuffix("s")) > 25


def test_the_routes_load() -> None:
    """deploy/routes.toml is valid, with the secrets that compose.yaml passes on and no others."""
    environment = _yaml("compose.yaml")["services"]["standby"]["environment"]

    assert set(environment) == set(SECRETS)
    assert set(load_routes(DEPLOY / "routes.toml", SECRETS).pools) == {"support"}


def test_the_image_copies_what_is_let_in() -> None:
    """Every path that the Dockerfile copies exists, and the build may read these and no others."""
    copied = re.findall(
        r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    paths = {path for line in copied for path in line.split()}

    assert paths == {line[1:] for line in ignore if line.startswith("!")}
    assert [path for path in paths if not (DEPLOY.parent / path).exists()] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(DEPLOY / "alerts.yml")),
        ("check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")),
        ("test", "rules", str(Path(__file__).with_name("alerts_test.yml"))),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """Prometheus' own tool accepts rules and configuration, and the alerts fire when they should."""
    cached = Path.home() / ".cache" / "standby" / "promtool"
    program = shutil.which("promtool") or (str(cached) if cached.is_file() else None)
    if program is None:
        pytest.skip("no promtool on the PATH, and none in ~/.cache/standby")

    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
