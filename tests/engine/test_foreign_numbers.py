"""Numbers from servers and programs are limited: none blocks a run or breaks the engine."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import FINAL, engine_on, workspace
from tests.runs.server import Server, plain
from victor_engine.api import EventQuery, RunDetail
from victor_engine.clock import FakeClock, from_us
from victor_engine.engine import Engine

FLOW = """
    workflows:
      call:
        WORKFLOW
        nodes:
          - id: ask
            type: compute
            handler: server
            NODE
            retry_policy: {max_attempts: 2, backoff: fixed, initial_delay: 2, max_delay: 40}
    """

BUSY = "429 Too Many Requests"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as found:
        yield found


def files(binding: str, node: str = "", flow: str = "description: x") -> dict[str, str]:
    text = FLOW.replace("NODE", node or "description: x").replace("WORKFLOW", flow)
    return {"workflows/w.yaml": text, "victor.yaml": f"handlers:\n  server:\n    {binding}\n"}


async def ended(engine: Engine, clock: FakeClock, run_id: str) -> tuple[RunDetail, list[float]]:
    """Let the time between attempts pass until the run has ended; return it and the waits in seconds.

    No time passes during an attempt, which asks a real server. A wait of a minute passes in steps, so that a limit that
    ends it earlier is recorded at its own time.
    """
    async with asyncio.timeout(60):
        while (found := await engine.run(run_id)).run.status not in FINAL:
            last = found.attempts[-1] if found.attempts else None
            left = (last.retry_at - clock.now()).total_seconds() if last and last.retry_at else 0.0
            if last is not None and last.status == "retrying":
                await clock.advance(5 if left > 40 else max(left, 1))
                # The next attempt, or the limit that ends the wait, is committed by another thread.
                await asyncio.sleep(0.02)
            await asyncio.sleep(0)
    retries = await engine.events(EventQuery(kinds=("node.retrying",)))
    return found, [(from_us(event.data["retry_at"]) - event.at).total_seconds() for event in retries]


async def run(root: Path, given: dict[str, str]) -> tuple[RunDetail, list[float]]:
    clock = FakeClock()
    async with engine_on(workspace(root, given), clock=clock) as engine:
        started = await engine.start_run("call")
        return await ended(engine, clock, started.id)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7),
        ("86400000", 40),
        ("9" * 400, 40),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 40),
        ("Thu, 01 Jan 99999999999 00:00:00 GMT", 2),
        ("Thu, 01 Jan 2026 00:00:00 +99999999", 2),
        ("-5", 2),
        ("NaN", 2),
        ("0", 2),
    ],
)
async def test_a_servers_retry_after_is_bounded_by_max_delay(
    tmp_path: Path, server: Server, asked: str, wait: float
) -> None:
    server.replies = [plain(b"busy", BUSY, f"Retry-After: {asked}"), plain(b"{}")]
    found, waits = await run(tmp_path, files(f"http: {{url: '{server.url}/'}}"))
    assert found.run.status == "succeeded"
    assert waits == pytest.approx([wait], abs=1)


@pytest.mark.parametrize(
    ("after", "wait"),
    [("1e300", 40), (str(10**400), 40), ("-1e300", 2), ('"soon"', 2), ("true", 2), ("null", 2), ("[1]", 2)],
)
async def test_a_commands_retry_after_is_bounded_as_well(tmp_path: Path, after: str, wait: float) -> None:
    report = f'{{"error": {{"type": "Busy", "retry_after": {after}}}}}'
    script = f"test -e {tmp_path}/done || {{ touch {tmp_path}/done; echo {shlex.quote(report)}; exit 1; }}"
    found, waits = await run(tmp_path, files(f"command: {json.dumps(['sh', '-c', script])}"))
    assert found.run.status == "succeeded"
    assert waits == pytest.approx([wait], abs=1)


async def test_a_nodes_time_limit_bounds_it(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"busy", BUSY, "Retry-After: 999999"), plain(b"{}")]
    found, waits = await run(tmp_path, files(f"http: {{url: '{server.url}/'}}", "timeout: 12"))
    assert found.run.status == "succeeded"
    assert waits == pytest.approx([12], abs=1)


async def test_a_runs_time_limit_ends_the_wait_and_the_run(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"busy", BUSY, "Retry-After: 999999")]
    flow = "max_execution_timeout_seconds: 10"
    found, waits = await run(tmp_path, files(f"http: {{url: '{server.url}/'}}", flow=flow))
    assert found.run.status == "failed"
    assert found.run.error is not None
    assert found.run.error.type == "ExecutionTimeoutError"
    assert waits == pytest.approx([10], abs=1)
    assert len(server.requests) == 1, "no attempt begins after the limit"


async def test_a_runs_time_limit_ends_a_wait_that_its_author_set(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"busy", "500 Internal Server Error")]
    given = files(f"http: {{url: '{server.url}/'}}", flow="max_execution_timeout_seconds: 10")
    given["workflows/w.yaml"] = given["workflows/w.yaml"].replace(
        "initial_delay: 2, max_delay: 40", "initial_delay: 90"
    )
    found, _ = await run(tmp_path, given)
    assert found.run.error is not None
    assert found.run.error.type == "ExecutionTimeoutError"
    assert found.run.finished_at is not None
    assert found.run.started_at is not None
    assert (found.run.finished_at - found.run.started_at).total_seconds() < 80


WAIT = """
    workflows:
      call:
        nodes:
          - {id: wait, type: wait, KEY: $ctx.it}
    """


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("for", 10**400), ("for", 1e300), ("for", "9" * 400 + "d"), ("for", -1),
        ("until", "9999-12-31T23:59:59-12:00"), ("until", "9999-12-31"), ("until", 10**30),
    ],
)  # fmt: skip
async def test_a_wait_that_is_too_long_fails_with_an_error_type(tmp_path: Path, key: str, value: Any) -> None:
    root = workspace(tmp_path, {"workflows/w.yaml": WAIT.replace("KEY", key)})
    clock = FakeClock()
    async with engine_on(root, clock=clock) as engine:
        started = await engine.start_run("call", state={"it": value})
        found, _ = await ended(engine, clock, started.id)
    assert found.run.error is not None
    assert found.run.error.type == "WaitError"


async def test_a_wait_until_the_year_one_is_over(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"workflows/w.yaml": WAIT.replace("KEY", "until")})
    clock = FakeClock()
    async with engine_on(root, clock=clock) as engine:
        started = await engine.start_run("call", state={"it": "0001-01-01T00:00:00Z"})
        found, _ = await ended(engine, clock, started.id)
    assert found.run.status == "succeeded"


DEEP = b"[" * 3000 + b"]" * 3000


async def test_a_deeply_nested_error_of_a_server_is_reduced_to_its_status(
    tmp_path: Path, server: Server
) -> None:
    server.replies = [plain(DEEP, "400 Bad Request"), plain(b"{}")]
    found, _ = await run(tmp_path, files(f"http: {{url: '{server.url}/'}}"))
    assert found.run.status == "succeeded"
    assert found.attempts[0].error is not None
    assert found.attempts[0].error.http_status == 400


@pytest.mark.parametrize("depth", [150, 3000])
async def test_a_deeply_nested_response_is_text(tmp_path: Path, server: Server, depth: int) -> None:
    server.replies = [plain(b"[" * depth + b"]" * depth)]
    found, _ = await run(tmp_path, files(f"http: {{url: '{server.url}/'}}"))
    assert found.run.status == "succeeded"
    assert found.state["ask"] == "[" * depth + "]" * depth


async def test_a_deeply_nested_response_of_a_model_is_malformed(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(DEEP), plain(DEEP)]
    given = files(f"chat: {{base_url: '{server.url}/v1', model: m}}")
    given["victor.yaml"] = given["victor.yaml"].replace("handlers:", "agents:")
    given["workflows/w.yaml"] = (
        given["workflows/w.yaml"].replace("compute", "agent").replace("handler:", "role:")
    )
    found, _ = await run(tmp_path, given)
    assert found.run.error is not None
    assert found.run.error.type == "MalformedAnswer"
