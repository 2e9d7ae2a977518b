"""The metrics of a real daemon, scraped over loopback and a Unix socket and parsed by the official parser."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon
from victor_engine.api import Answer, Port, RequestQuery

prometheus = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
pytestmark = pytest.mark.process

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

FILES = {
    "victor.yaml": "",
    "w.yaml": """
        workflows:
          quick:
            schedule: {every: 1s}
            nodes: [{id: a, type: transform, transform: "n = 1"}]
          broken:
            nodes: [{id: a, type: fail, message: no}]
          ask:
            nodes:
              - {id: gate, type: hitl, hitl_type: approval, next: {approved: last, rejected: last}}
              - {id: last, type: transform, transform: "n = 1"}
        """,
}


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in prometheus.text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(**options: str) -> Samples:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=options.get("uds"))) as client:
        answer = await client.get(options.get("url", "http://localhost/metrics"), timeout=10)
    assert answer.status_code == 200
    return samples(answer.text)


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


async def until(condition: Callable[[Samples], bool], **options: str) -> Samples:
    """Return the first scrape that meets a condition."""
    found: Samples = {}
    async with asyncio.timeout(60):
        while True:
            try:
                found = await scrape(**options)
            except httpx.TransportError:
                found = {}
            if found and condition(found):
                return found
            await asyncio.sleep(0.1)


async def answered(port: Port) -> None:
    async with asyncio.timeout(30):
        while not (found := await port.requests(RequestQuery())):
            await asyncio.sleep(0.05)
    await port.answer(found[0].id, found[0].revision, Answer(outcome="approved"))


async def test_the_metrics_of_a_daemon(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    textfile, unix = tmp_path / "victor.prom", tmp_path / "metrics.sock"
    settings = Path(os.environ["HOME"]) / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"metrics": {"listen": address, "textfile": str(textfile)}}))
    url = f"http://{address}/metrics"
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            found = await until(lambda found: value(found, "victor_slots") == 100, url=url)
            assert value(found, "victor_runs_finished_total", workflow="broken", status="failed") == 0
            await port.start_run("broken")
            await port.start_run("ask")
            found = await until(lambda found: value(found, "victor_open_requests") == 1, url=url)
            assert value(found, "victor_oldest_request_age_seconds") > 0
            await answered(port)

            def everything(found: Samples) -> bool:
                return bool(
                    value(found, "victor_requests_closed_total", status="answered")
                    and value(found, "victor_runs_finished_total", workflow="broken", status="failed")
                    and value(found, "victor_fires_total", workflow="quick", outcome="started") >= 2
                    and value(found, "victor_run_duration_seconds_count", workflow="quick") >= 2
                )

            found = await until(everything, url=url)
            assert value(found, "victor_request_answer_seconds_count") == 1
            assert value(found, "victor_request_answer_seconds_sum") > 0
            assert value(found, "victor_fire_lateness_seconds_count") >= 2
            assert value(found, "victor_dead_letters") == 1
            assert value(found, "victor_open_requests") == 0
            assert value(found, "victor_store_commit_seconds_count") > 0
            assert value(found, "victor_event_loop_lag_seconds_count") > 0
            assert value(found, "victor_call_seconds_count") > 2
            assert value(found, "victor_disk_free_bytes") > 0
            assert value(found, "victor_store_bytes", file="database") > 0
            assert value(found, "process_resident_memory_bytes") > 0
            assert "victor_slots 100.0" in textfile.read_text()
            assert stat.S_IMODE(textfile.stat().st_mode) == 0o644

            # Clients that send nothing keep neither others nor the engine waiting.
            host, number = address.split(":")
            idle = [socket.create_connection((host, int(number))) for _ in range(4)]
            assert value(await scrape(url=url), "victor_slots") == 100
            assert (await port.whoami()).user
            for each in idle:
                each.close()

            settings.write_text(json.dumps({"metrics": {"listen": f"unix:{unix}"}}))
            daemon.send_signal(signal.SIGHUP)
            await until(lambda found: value(found, "victor_slots") == 100, uds=str(unix))
            assert stat.S_IMODE(unix.stat().st_mode) == 0o660
            with pytest.raises(httpx.TransportError):
                await scrape(url=url)
            daemon.terminate()
        assert daemon.wait(60) == 0
        assert not unix.exists()
    finally:
        daemon.kill()
        daemon.wait()
