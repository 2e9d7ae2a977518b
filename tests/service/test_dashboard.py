"""The dashboard for Grafana shows metrics that exist, with labels that they have, and leaves none out."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.support import engine_on, workspace

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from victor_engine.service.metric_series import MetricSeries

PARTS = ("_total", "_bucket", "_sum", "_count")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("victor_engine").joinpath("dashboards/grafana.json").read_text())
    return found


def expressions() -> list[str]:
    board = dashboard()
    queries = [each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    return queries + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def alerts() -> list[str]:
    """Return the expressions of the rules for Prometheus in the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text("utf-8")
    [block] = [
        text for text in re.findall(r"```yaml[^\n]*\n(.*?)```", page, re.S) if text.startswith("groups:")
    ]
    return [rule["expr"] for group in yaml.safe_load(block)["groups"] for rule in group["rules"]]


def names(text: str) -> set[str]:
    return set(re.findall(r"\b(?:victor|process)_[a-z_]+", text))


async def labels_of(tmp_path: Path) -> dict[str, set[str]]:
    """Return the name of each sample of the metrics, with its labels."""
    found: dict[str, set[str]] = {}
    async with engine_on(workspace(tmp_path, {"victor.yaml": ""})) as engine:
        series = MetricSeries(engine)
        for metric in (
            series.fires,
            series.ended,
            series.durations,
            series.closed,
            series.files,
            series.runs,
        ):
            metric.labels(*["x"] * len(metric._labelnames))
        for family in series.registry.collect():
            for sample in family.samples:
                found[sample.name] = set(sample.labels)
    return found


async def test_each_expression_names_metrics_and_labels_that_exist(tmp_path: Path) -> None:
    known = await labels_of(tmp_path)
    for expression in (*expressions(), *alerts()):
        used = names(expression)
        assert used or expression.startswith("up{"), expression
        assert used <= known.keys(), expression
        labels = {"instance", "job"}.union(*(known[name] for name in used))
        grouped = [
            part.strip() for each in re.findall(r"by \(([^)]*)\)", expression) for part in each.split(",")
        ]
        matched = re.findall(r"[{,](\w+)=", expression)
        assert {*grouped, *matched} <= labels, expression


async def test_each_metric_of_the_product_is_on_the_dashboard(tmp_path: Path) -> None:
    shown = set().union(*map(names, expressions()))
    shown = {name for each in shown for name in (each, *(each.removesuffix(part) for part in PARTS))}
    known = {
        name
        for name in await labels_of(tmp_path)
        if name.startswith("victor_") and not name.endswith("_created")
    }
    bare = {next((name.removesuffix(part) for part in PARTS if name.endswith(part)), name) for name in known}
    assert bare - shown == set()


def test_panels_do_not_overlap_and_have_titles() -> None:
    panels = dashboard()["panels"]
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
