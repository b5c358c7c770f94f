"""docs/observe.md names every metric, alert, attribute, logger and field that the code has, and no other."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.ops.alert_book import Alert
from standby.proxy.ops.conditions import Condition
from standby.proxy.telemetry import names
from standby.proxy.telemetry.decision import decision
from standby.proxy.telemetry.metric import Metric
from standby.proxy.telemetry.names import EVENTS, METRICS

from tests.docs.documents import ROOT, blocks, named, table

__all__: list[str] = []

DOCUMENT: Final = "docs/observe.md"
_NAME: Final = re.compile(r"standby(\.[a-z_0-9]+)+")


def trees() -> Iterator[ast.Module]:
    """The syntax trees of all files of the product."""
    for folder in ("proxy", "middlewares"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST, *functions: str) -> Iterator[ast.Call]:
    """The calls of functions or methods with these names."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in functions:
                yield node
            case _:
                pass


def texts(node: ast.AST) -> Iterator[str]:
    """The string literals in a piece of code."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def first_texts(*functions: str) -> set[str]:
    """The first arguments of all calls of these functions, where they are literals."""
    found = (call.args[0] for tree in trees() for call in calls(tree, *functions) if call.args)
    return {each.value for each in found if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def cells(column: int, *head: str) -> list[str]:
    """The names in one column of a table, each by itself."""
    return [name for row in table(DOCUMENT, *head) for name in row[column].split(", ") if name]


def sample(*fields: str) -> Any:
    """The first JSON sample of the document that has these fields."""
    for block in blocks("json"):
        if block.document == DOCUMENT:
            parsed = json.loads(block.text)
            if parsed.keys() >= set(fields):
                return parsed
    raise AssertionError(f"no sample has {fields}")


def series(metric: Metric) -> str:
    """The name of a metric in the text that Prometheus reads."""
    return metric.prometheus + ("_total" if metric.kind == "counter" else "")


def test_the_table_of_metrics_is_the_codes_own() -> None:
    """Every metric is there once, in the code's order, with its name in Prometheus and its labels."""
    rows = table(DOCUMENT, "metric", "labels", "meaning", "what to do")
    documented = [(name, labels) for name, labels, _, _ in rows]
    assert documented == [(series(metric), ", ".join(metric.labels)) for metric in METRICS]
    assert [name for name, _, meaning, _ in rows if not meaning] == []


def test_the_table_of_alerts_is_the_codes_own() -> None:
    """Every kind of alert that the code raises is there once, with what to do, and no other."""
    tables = (
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_BY_REASON" and node.value
    )
    by_reason = [
        next(texts(pair)) for each in tables for pair in ast.walk(each) if isinstance(pair, ast.Tuple)
    ]
    assert by_reason
    rows = table(DOCUMENT, "alert", "fires when", "resolved when", "what to do")
    assert sorted(row[0] for row in rows) == sorted(first_texts("Condition", "Notice") | set(by_reason))
    assert [row[0] for row in rows if not all(row)] == []


def test_the_table_of_attributes_is_the_codes_own() -> None:
    """Every attribute of Standby's own that the code puts on a span is there, and no other."""
    values = [getattr(names, name) for name in names.__all__]
    known = {text for text in values if isinstance(text, str) and _NAME.fullmatch(text)}
    in_code = known - set(EVENTS)
    assert set(cells(0, "attribute", "on", "meaning")) == in_code


def test_the_table_of_events_is_the_codes_own() -> None:
    """Every event that the code adds to a span is there, and no other."""
    assert sorted(cells(0, "event", "on", "when")) == sorted(EVENTS)


def test_the_sample_decision_has_the_fields_of_a_decision() -> None:
    """The record, its attempts and its candidates have the code's fields, in its order."""
    exchange = Exchange.of({"type": "http", "headers": [], "path": "/"})
    candidate = Candidate("any")
    exchange.plan = (candidate,)
    exchange.begin(candidate)
    record = decision(exchange, "served", 0.0)
    shown = sample("request_id", "candidates")
    assert list(shown) == list(record)
    for part in ("attempts", "candidates"):
        assert [list(each) for each in shown[part]] == [list(record[part][0])] * len(shown[part])


def test_the_fields_of_a_decision_are_explained() -> None:
    """Each field of the record is in the table below the sample, in its order."""
    assert cells(0, "field", "meaning") == list(sample("request_id", "candidates"))


def test_the_sample_alert_is_one() -> None:
    """The messages to a webhook and to Slack are what the code makes of such an alert."""
    shown = sample("alert", "subject")
    facts = {name: shown[name] for name in ("pool", "target", "cause", "operation", "state")}
    alert = Alert(
        shown["status"],
        Condition(shown["alert"], shown["subject"], shown["text"], 0.0, facts),
        0.0,
    )
    zero = "1970-01-01T00:00:00Z"
    assert alert.as_json() == {**shown, "since": zero, "at": zero}
    assert list(alert.as_json()) == list(shown)
    slack = [json.loads(block.text) for block in blocks("json") if block.text.startswith('{"text": "Alert: ')]
    assert [each["text"].replace(shown["since"], zero) for each in slack] == [alert.as_slack()["text"]]


def test_the_limits_are_the_codes_own() -> None:
    """Each limit has the value of the constant it names."""
    rows = table(DOCUMENT, "limit", "value", "name")
    assert rows
    for _, value, name in rows:
        module, _, constant = name.rpartition(".")
        number = float(value.removesuffix(" s"))
        assert number == getattr(import_module(f"standby.proxy.{module}"), constant), name


def test_every_logger_is_named() -> None:
    """Each logger of the code is in the table of loggers, and no other of Standby's."""
    documented = {name for name in cells(0, "logger", "what it says") if name.startswith("standby.")}
    assert documented == {name for name in first_texts("getLogger") if name.startswith("standby.")}


def test_what_is_deployed_is_there() -> None:
    """Each name in the table of deploy/ is a file or folder there, and each of them is in the table."""
    rows = cells(0, "file", "what it is")
    present = {path.name + "/" * path.is_dir() for path in (ROOT / "deploy").iterdir()}
    hidden = {name for name in present if name.startswith(".")} | {"Dockerfile.dockerignore"}
    assert sorted(rows) == sorted(present - hidden)


def test_the_document_leads_to_the_pages_it_depends_on() -> None:
    """Faults, error codes and reasons are explained once, elsewhere, and linked."""
    text = named(DOCUMENT)
    assert [
        page for page in ("failover.md#faults", "errors.md", "routing.md") if f"({page}" not in text
    ] == []
