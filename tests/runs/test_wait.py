"""Wait nodes: durations, instants, files and HTTP responses, stored and visible."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, FINAL, Bench, Work
from tests.runs.server import Server, plain
from victor_engine.clock import FakeClock, to_us
from victor_engine.definition.model import WaitNode
from victor_engine.errors import NodeError
from victor_engine.graph_walk.waits import plan_wait
from victor_engine.runs.commands import Cancel, Pause, Resume
from victor_engine.store import queries

NOW = datetime(2026, 3, 28, 10, 0, tzinfo=UTC)


def flow(wait: str, more: str = "") -> str:
    return f"""
workflows:
  w:
    nodes:
      - {{id: w, type: wait, {wait}, next: [after]}}
      - {{id: after, type: transform, transform: 'went = w.outcome'}}
      {more}
"""


async def waits(bench: Bench, ref: Any) -> Any:
    """Wait until the node of the run waits, and return its stored wait."""

    async def found() -> Any:
        rows = await bench.all("SELECT wait FROM attempts WHERE run_key = ? AND status = 'waiting'", ref.key)
        return json.loads(rows[0][0]) if rows else None

    return await bench.until(found)


async def no_place(bench: Bench) -> None:
    """Wait until no run holds a slot."""
    async with asyncio.timeout(10):
        while bench.runtime.running or not bench.runtime.slots.live:
            await asyncio.sleep(0)


async def pass_until_end(bench: Bench, clock: FakeClock, ref: Any, step: float = 10) -> str:
    async with asyncio.timeout(30):
        while (status := await bench.status(ref)) not in FINAL:
            await clock.advance(step)
    return status


async def test_a_duration_passes_by_the_clock_and_is_reported(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(flow("for: 10m"))
        stored = await waits(bench, run)
        assert stored["due"] == to_us(NOW) + 600_000_000
        assert await bench.status(run) == "waiting"
        await clock.advance(60)
        info = await bench.store.read(lambda c: queries.run_info(c, run.id, clock.now()))
        assert info.waits_for == "w: 10 m to pass, 9 m left"
        assert info.current == ("w",)
        await clock.advance(539)
        assert await bench.status(run) == "waiting"
        assert await pass_until_end(bench, clock, run, 1) == "succeeded"
        state = await bench.state(run)
        assert state["went"] == "done"
        assert 600 <= state["w"]["seconds"] < 660
        assert state["w"]["since"] == "2026-03-28T10:00:00Z"
        assert "outcome" not in state, "the result of a wait stays under its own key"


async def test_a_restart_neither_extends_nor_loses_it(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(flow("for: 10m"))
        await waits(bench, run)
    clock.set_wall(datetime(2026, 3, 28, 10, 7, tzinfo=UTC))
    async with Bench(tmp_path, Work(), clock) as bench:
        assert (await waits(bench, run))["due"] == to_us(NOW) + 600_000_000
        assert await bench.status(run) == "waiting"
    clock.set_wall(datetime(2026, 3, 28, 12, 0, tzinfo=UTC))
    async with Bench(tmp_path, Work(), clock) as bench:
        assert await bench.end(run) == "succeeded"
        rows = await bench.all("SELECT number, status FROM attempts WHERE node_id = 'w'")
        assert rows == [(1, "succeeded")]


@pytest.mark.parametrize(
    ("until", "zone", "due"),
    [
        ("2026-03-31T09:00", None, datetime(2026, 3, 31, 9, tzinfo=UTC)),
        ("2026-03-31T09:00", "Europe/Berlin", datetime(2026, 3, 31, 7, tzinfo=UTC)),
        ("2026-03-31T09:00+05:00", "Europe/Berlin", datetime(2026, 3, 31, 4, tzinfo=UTC)),
        ("12:30", None, datetime(2026, 3, 28, 12, 30, tzinfo=UTC)),
        ("10:00", None, datetime(2026, 3, 29, 10, tzinfo=UTC)),
        ("09:00", "Europe/Berlin", datetime(2026, 3, 29, 7, tzinfo=UTC)),
        # 02:30 does not exist in Berlin on 29 March: the first instant after the gap
        ("02:30", "Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("$ctx.at", None, datetime(2026, 4, 1, tzinfo=UTC)),
        ("{day}T06:00:00Z", None, datetime(2026, 4, 2, 6, tzinfo=UTC)),
    ],
)
def test_instants(until: str, zone: str | None, due: datetime) -> None:
    node = WaitNode(id="w", until=until, timezone=zone)
    state = {"at": "2026-04-01", "day": "2026-04-02"}
    assert plan_wait(node, state, NOW, "UTC").due == due


@pytest.mark.parametrize("until", ["$ctx.number", "$ctx.word", "$ctx.nothing", "{nothing}"])
def test_an_invalid_instant_is_a_typed_failure(until: str) -> None:
    with pytest.raises(NodeError) as caught:
        plan_wait(WaitNode(id="w", until=until), {"number": 5, "word": "soon"}, NOW, "UTC")
    assert caught.value.error_type in ("WaitError", "MissingInputError")
    assert caught.value.retryable is False


def test_an_optional_value_that_is_missing_is_left_out_or_refused() -> None:
    probe = {"url": "http://x/", "headers": {"A": "$ctx.no?", "B": "b$ctx.no?"}}
    wait = plan_wait(WaitNode(id="w", http=probe), {}, NOW, "UTC")
    assert wait.http is not None
    assert wait.http.headers == {"B": "b"}
    with pytest.raises(NodeError, match=r"w: file is \$ctx\.no\?, which is not in the state"):
        plan_wait(WaitNode(id="w", file="$ctx.no?"), {}, NOW, "UTC")


async def test_a_timeout_fails_or_continues_as_timed_out(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        bench.work.workspace = tmp_path
        run = await bench.start(flow("file: ready, timeout: 60"))
        await waits(bench, run)
        assert await pass_until_end(bench, clock, run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "WaitTimeoutError"
        assert "of waiting for file ready (its timeout is 1 m)" in error["message"]
    async with Bench(tmp_path / "2", Work(), clock) as bench:
        run = await bench.start(flow("file: ready, timeout: 60, on_timeout: continue"))
        await waits(bench, run)
        assert await pass_until_end(bench, clock, run) == "succeeded"
        assert (await bench.state(run))["went"] == "timed_out"


async def test_outcomes_have_their_own_successors(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: w, type: wait, file: ready, timeout: 60, next: {done: there, timed_out: late}}
      - {id: there, type: transform, transform: "went = 'there'"}
      - {id: late, type: transform, transform: "went = 'late'"}
"""
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        bench.work.workspace = tmp_path
        run = await bench.start(text)
        await waits(bench, run)
        assert await pass_until_end(bench, clock, run) == "succeeded"
        assert (await bench.state(run))["went"] == "late"
        (tmp_path / "ready").write_text("x")
        other = await bench.start(text)
        assert await bench.end(other) == "succeeded"
        assert (await bench.state(other))["went"] == "there"


async def test_a_file_counts_once_it_is_stable(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    path = tmp_path / "data.csv"
    async with Bench(tmp_path, Work(), clock) as bench:
        bench.work.workspace = tmp_path
        run = await bench.start(flow("file: data.csv, stable_for: 20s, poll: 5s"))
        await waits(bench, run)
        path.write_text("a")
        for size in range(2, 6):  # it grows at every look
            await looked(clock, 5)
            path.write_text("a" * size)
        assert await bench.status(run) == "waiting"
        assert await pass_until_end(bench, clock, run, 5) == "succeeded"
        assert (await bench.state(run))["w"]["size"] == 5


async def looked(clock: FakeClock, seconds: float) -> None:
    """Advance the clock, and wait for the poll in its thread."""
    await clock.advance(seconds)
    async with asyncio.timeout(10):
        while clock.sleeping == 0:
            await asyncio.sleep(0)


async def test_an_http_response_counts_when_it_matches(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Server() as server, Bench(tmp_path, Work(), clock) as bench:
        os.environ["VICTOR_SECRET_WAIT_TOKEN"] = "hush-hush"
        server.replies = [
            plain(b"no", "503 Busy"),
            plain(b"not json"),
            plain(b'{"job": {}}'),
            plain(b'{"job": {"state": "running"}}'),
            plain(b'{"job": {"state": "done"}, "echo": "hush-hush"}'),
        ]
        run = await bench.start(
            f"""
workflows:
  w:
    nodes:
      - id: w
        type: wait
        poll: 2
        http:
          url: "{server.url}/job/{{number}}"
          headers: {{Authorization: "Bearer $secret.wait_token"}}
          status: [200, 204]
          json: json.job.state == "done"
        next: [after]
      - {{id: after, type: transform, transform: 'went = w.body.job.state'}}
""",
            {"number": 7},
        )
        try:
            assert await pass_until_end(bench, clock, run, 2) == "succeeded"
        finally:
            del os.environ["VICTOR_SECRET_WAIT_TOKEN"]
        assert len(server.requests) == 5
        first, headers, _ = server.requests[0]
        assert first == "GET /job/7 HTTP/1.1"
        assert headers["authorization"] == "Bearer hush-hush"
        state = await bench.state(run)
        assert state["went"] == "done"
        assert state["w"]["body"]["echo"] == "***"
        await bench.runtime.log_writer.flush()
        lines = [row[0] for row in await bench.all("SELECT text FROM logs ORDER BY id")]
        assert lines[0] == "not yet: status 503, not 200 or 204"
        assert lines[1] == "not yet: the response is not JSON"
        assert lines[3] == 'not yet: json.job.state == "done" is false'
        everything = await bench.all(
            "SELECT group_concat(text) FROM logs UNION SELECT group_concat(wait) FROM attempts"
        )
        assert "hush-hush" not in str(everything)


async def test_an_unreachable_server_is_polled_and_an_invalid_url_fails(
    tmp_path: Path,
) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(flow('http: "http://127.0.0.1:9/x", timeout: 10'))
        assert await pass_until_end(bench, clock, run) == "failed"
        assert (await bench.error(run))["type"] == "WaitTimeoutError"
        run = await bench.start(flow('http: "nonsense://x"').replace("  w:\n", "  other:\n", 1))
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["type"] == "ConnectionError"


async def test_it_can_be_cancelled_and_paused(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(flow("for: 1h"))
        await waits(bench, run)
        await bench.runtime.command(Pause(run.id), ALICE)
        assert await bench.status(run) == "paused"
        await clock.advance(600)
        await bench.runtime.command(Resume(run.id), ALICE)
        await bench.until_status(run, "waiting")
        assert (await waits(bench, run))["due"] == to_us(NOW) + 3_600_000_000
        await bench.runtime.command(Cancel(run.id), ALICE)
        assert await bench.status(run) == "cancelled"
        rows = await bench.all("SELECT number, status FROM attempts WHERE node_id = 'w'")
        assert rows == [(1, "cancelled")]


async def test_a_wait_holds_no_slot_and_acquires_one_again(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    gate = asyncio.Event()

    async def busy(call: Any) -> Any:
        await gate.wait()

    work = Work(busy=busy)
    async with Bench(tmp_path, work, clock, max_concurrent_runs=1) as bench:
        first = await bench.start(flow("for: 60"))
        await no_place(bench)
        second = await bench.start("workflows: {b: {nodes: [{id: busy, type: compute, handler: h}]}}")
        await bench.until_status(second, "running")
        for _ in range(10):
            await clock.advance(10)
        assert await bench.status(first) == "waiting", "the only slot is taken"
        gate.set()
        assert await bench.end(first) == "succeeded"
        assert await bench.end(second) == "succeeded"


async def test_time_spent_waiting_counts_towards_no_limit(tmp_path: Path) -> None:
    text = flow("for: 2h").replace(
        "  w:\n", "  w:\n    max_execution_timeout_seconds: 60\n    default_node_timeout_seconds: 30\n", 1
    )
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(text)
        await waits(bench, run)
        assert await pass_until_end(bench, clock, run, 600) == "succeeded"


async def test_in_a_parallel_the_run_waits_once_the_others_are_done(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [cool, work], next: [after]}
      - {id: cool, type: wait, for: 1h}
      - {id: work, type: compute, handler: h}
      - {id: after, type: compute, handler: h}
"""
    gate = asyncio.Event()

    async def hold(call: Any) -> Any:
        await gate.wait()
        return {"x": 1}

    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(work=hold), clock, max_concurrent_runs=1) as bench:
        run = await bench.start(text)
        await waits(bench, run)
        assert await bench.status(run) == "running"
        assert bench.runtime.running == 1
        gate.set()
        await bench.until_status(run, "waiting")
        await no_place(bench)
        assert await pass_until_end(bench, clock, run, 600) == "succeeded"
        assert (await bench.state(run))["x"] == 1


async def test_a_retry_starts_the_wait_again(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    async with Bench(tmp_path, Work(), clock) as bench:
        bench.work.workspace = tmp_path
        run = await bench.start(
            flow("file: never, timeout: 60, retry_policy: {max_attempts: 2, initial_delay: 0}")
        )
        await waits(bench, run)
        assert await pass_until_end(bench, clock, run) == "failed"
        rows = await bench.all("SELECT number, status FROM attempts WHERE node_id = 'w' ORDER BY id")
        assert rows == [(1, "failed"), (2, "failed")]


async def test_waits_that_end_together_acquire_slots_one_after_another(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [w1, w2], next: [after]}
      - {id: w1, type: wait, for: 60}
      - {id: w2, type: wait, for: 60}
      - {id: after, type: compute, handler: h}
"""
    clock = FakeClock(NOW)
    at_work: set[str] = set()
    most = 0

    async def work(call: Any) -> Any:
        nonlocal most
        at_work.add(call.run_id)
        most = max(most, len(at_work))
        await asyncio.sleep(0)
        at_work.discard(call.run_id)

    async with Bench(tmp_path, Work(after=work), clock, max_concurrent_runs=2) as bench:
        runs = [await bench.start(text) for _ in range(12)]

        async def all_wait() -> bool:
            count = await bench.one("SELECT COUNT(*) FROM attempts WHERE status = 'waiting'")
            return bool(count == 24)

        await bench.until(all_wait)
        await no_place(bench)
        await clock.advance(60)
        for run in runs:
            assert await bench.end(run) == "succeeded"
        assert 1 <= most <= 2
        await no_runs(bench)
        assert bench.runtime.running == 0


async def no_runs(bench: Bench) -> None:
    async with asyncio.timeout(10):
        while bench.runtime.slots.live:
            await asyncio.sleep(0)
