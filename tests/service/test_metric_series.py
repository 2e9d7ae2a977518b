"""The series of the metrics: bounded labels, and no delay of the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.engine.turns import LIMIT, turns

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from prometheus_client import generate_latest

from victor_engine.api import Question
from victor_engine.config.model import MetricsConfig
from victor_engine.engine import Engine
from victor_engine.service import metric_series
from victor_engine.service.metric_series import MetricSeries
from victor_engine.service.metrics import MetricsService
from victor_engine.store.queries import metrics as stored

ASKING = {"victor.yaml": "", "w.yaml": "workflows: {w: {nodes: [{id: a, type: hitl, hitl_type: approval}]}}"}
NODES = 'nodes: [{id: a, type: transform, transform: "n = 1"}]'


def flows(count: int) -> dict[str, str]:
    lines = [f"  w{number:02}: {{{NODES}}}" for number in range(count)]
    return {"victor.yaml": "", "w.yaml": "\n".join(["workflows:", *lines])}


async def finish(engine: Engine, *workflows: str) -> None:
    for workflow in workflows:
        run = await engine.start_run(workflow)
        await until_end(engine, run.id)


@asynccontextmanager
async def served(series: MetricSeries, socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the series on a socket, and yield a client of it."""
    service = MetricsService(series, MetricsConfig(listen=f"unix:{socket}"))
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
    finally:
        await asyncio.to_thread(service.close)


def finished(series: MetricSeries) -> dict[str, float]:
    [family] = list(series.ended.collect())
    return {
        each.labels["workflow"]: each.value
        for each in family.samples
        if each.name.endswith("_total") and each.labels["status"] == "succeeded"
    }


async def test_workflows_beyond_the_limit_share_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_series, "MOST_WORKFLOWS", 2)
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with engine_on(workspace(tmp_path, flows(4))) as engine:
        series = MetricSeries(engine)
        await asyncio.to_thread(series.refresh)
        await finish(engine, "w00", "w01", "w02", "w03")
        await engine.ask(Question(prompt="May I?"))
        await asyncio.to_thread(series.refresh)
        await asyncio.to_thread(series.refresh)  # nothing is counted twice
        assert finished(series) == {"w00": 1.0, "w01": 1.0, "other": 2.0}


async def test_what_was_committed_before_the_engine_started_is_not_counted(tmp_path: Path) -> None:
    root = workspace(tmp_path, flows(1))
    async with engine_on(root) as engine:
        await finish(engine, "w00")
    async with engine_on(root) as engine:
        series = MetricSeries(engine)
        await asyncio.to_thread(series.refresh)
        assert finished(series) == {"w00": 0.0}


async def test_the_counts_are_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_series, "PAGE", 3)
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with engine_on(workspace(tmp_path, flows(1))) as engine:
        series = MetricSeries(engine)
        await asyncio.to_thread(series.refresh)
        await finish(engine, *["w00"] * 5)
        await asyncio.to_thread(series.refresh)
        assert finished(series) == {"w00": 5.0}


async def test_the_end_of_a_run_that_was_retried_since_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with engine_on(workspace(tmp_path, ASKING)) as engine:
        series = MetricSeries(engine)
        await asyncio.to_thread(series.refresh)
        run = await engine.start_run("w")
        await question(engine, run.id)
        await engine.cancel_run(run.id)
        await until_end(engine, run.id)
        await engine.retry_run(run.id)  # it asks again, so it does not end
        await asyncio.to_thread(series.refresh)
        assert series.ended.labels("w", "cancelled")._value.get() == 1
        assert series.durations.labels("w")._sum.get() > 0


async def test_scrapes_keep_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with (
        engine_on(workspace(tmp_path, flows(1))) as engine,
        served(MetricSeries(engine), tmp_path / "m.sock") as client,
    ):
        await client.get("/metrics")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            assert (await client.get("/metrics")).status_code == 200
        assert len(os.listdir("/proc/self/fd")) < before + 10


async def test_each_failure_of_the_store_is_logged_when_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with engine_on(workspace(tmp_path, flows(1))) as engine:
        database = engine.store.path
        away = database.with_name("away")
        async with served(MetricSeries(engine), tmp_path / "m.sock") as client:
            await client.get("/metrics")
            for begun in (1, 2):
                database.rename(away)
                for _ in range(2):
                    assert (await client.get("/metrics")).status_code == 200
                assert caplog.text.count("the metrics cannot be read from the store") == begun
                away.rename(database)
                await client.get("/metrics")


async def test_scrapes_do_not_delay_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_series, "FRESH_SECONDS", 0.0)
    async with engine_on(workspace(tmp_path, flows(40))) as engine:
        series = MetricSeries(engine)

        def scrape() -> None:
            series.refresh()
            for number in range(200):  # as many workflows as have series
                series.durations.labels(f"w{number}").observe(1)
            for _ in range(10):
                generate_latest(series.registry)

        await asyncio.to_thread(series.refresh)
        task = asyncio.create_task(asyncio.to_thread(scrape))
        with turns() as found:
            while not task.done():
                await finish(engine, "w00")
        await task
        assert max(found) < LIMIT


async def test_the_queries_read_no_whole_table(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, flows(1))) as engine:
        await finish(engine, "w00")

        def plans() -> list[str]:
            connection = engine.store.reader()
            statements: list[str] = []
            connection.set_trace_callback(statements.append)
            stored.fires_after(connection, 0, 10)
            stored.ends_after(connection, 0, 10)
            stored.newest(connection)
            stored.workflows_in_force(connection, 10)
            connection.set_trace_callback(None)
            return [
                row[3]
                for statement in statements
                for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            ]

        found = await asyncio.to_thread(plans)
        assert found
        assert not [
            step
            for step in found
            if step.startswith("SCAN") and " INDEX " not in step and "CONSTANT" not in step
        ]
