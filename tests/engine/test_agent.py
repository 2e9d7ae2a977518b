"""An agent in a run, with a server that implements the protocol and fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import FINAL, engine_on, workspace
from tests.runs.server import Server, delta, plain, stream
from victor_engine.api import EventQuery, RunDetail, UsageInfo
from victor_engine.clock import FakeClock, from_us
from victor_engine.engine import Engine

FLOW = """
    workflows:
      review:
        nodes:
          - id: read
            type: agent
            role: reviewer
            goal: Review {what}
            tools: [count, hidden]
            tool_budget: 3
            timeout: 30
            output: verdict
            input_mapping: {change: what}
            llm_config: {temperature: 0.5}
            retry_policy: {max_attempts: 9, backoff: fixed, initial_delay: 2, jitter: 0}
    """


def files(server: Server) -> dict[str, str]:
    return {
        "workflows/w.yaml": FLOW,
        "victor.yaml": f"""
            agents:
              reviewer:
                chat: {{base_url: "{server.url}/v1", model: m1, input_cost: 2, output_cost: 10}}
            tools:
              count: {{command: [sh, -c, 'echo {{\\"lines\\": 3}}'], description: Counts lines}}
            """,
    }


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as found:
        yield found


def call(arguments: str) -> dict[str, Any]:
    said = {"index": 0, "id": "c1", "function": {"name": "count", "arguments": arguments}}
    return delta("", "tool_calls", tool_calls=[said])


def tokens(taken: int, given: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": taken, "completion_tokens": given}}


async def ended(engine: Engine, clock: FakeClock, run_id: str) -> RunDetail:
    """Let the time between attempts pass until the run has finished."""
    async with asyncio.timeout(30):
        while (found := await engine.run(run_id)).run.status not in FINAL:
            if found.run.retries and found.attempts[-1].status == "retrying":
                await clock.advance(1)
            await asyncio.sleep(0)
        return found


@pytest.mark.process
async def test_every_error_is_an_attempt_and_its_usage_is_counted(
    tmp_path: Path, server: Server, capsys: Capture
) -> None:
    server.replies = [
        plain(b'{"error": {"message": "slow down"}}', "429 Too Many Requests", "Retry-After: 20"),
        plain(b"oops", "500 Internal Server Error"),
        stream(delta("half a sen"), done=False),
        stream("{broken"),
        stream(call('{"path": "a.py"}'), tokens(100, 10)),
        stream(delta("it is\n"), delta("fine", "stop"), tokens(150, 20)),
    ]
    root, clock = workspace(tmp_path, files(server)), FakeClock()
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("review", state={"what": "the change"})
        found = await ended(engine, clock, run.id)
        retries = await engine.events(EventQuery(kinds=("node.retrying",)))
        said = [(line.attempt, line.text) for line in await engine.run_log(run.id) if line.stream == "stdout"]
    assert found.run.status == "succeeded"
    assert found.state["verdict"] == "it is\nfine"
    errors = [attempt.error for attempt in found.attempts[:4]]
    assert [error and (error.type, error.http_status) for error in errors] == [
        ("HTTP429", 429), ("HTTP500", 500), ("IncompleteAnswer", None), ("MalformedAnswer", None),
    ]  # fmt: skip
    # The clock may have advanced between the retry time and the record of its event.
    waits = [(from_us(event.data["retry_at"]) - event.at).total_seconds() for event in reversed(retries)]
    assert len(waits) == 4
    assert 10 < waits[0] <= 20, "the server's Retry-After is kept"
    assert max(waits[1:]) <= 2
    assert found.attempts[-1].usage == UsageInfo("m1", 250, 30, 1, 0.0008)
    assert [attempt.usage for attempt in found.attempts[:4]] == [None] * 4
    assert said == [(3, "half a sen"), (5, "it is"), (5, "fine")]
    asked = [body for _, _, body in server.requests]
    assert asked[-2]["temperature"] == 0.5
    assert (
        asked[-2]["messages"][-1]["content"] == 'Review the change\n\nInputs (JSON):\n{"change":"the change"}'
    )
    assert [tool["function"]["name"] for tool in asked[-2]["tools"]] == ["count"]
    assert asked[-1]["messages"][-1] == {"role": "tool", "tool_call_id": "c1", "content": '{"lines":3}'}
    victor = Victor(root, capsys)
    assert await asyncio.to_thread(victor, "runs", "show", run.id) == 0
    rows = [line.split() for line in victor.out.splitlines()]
    assert ["read", "5", "m1", "250", "30", "1", "0.000800"] in rows
    assert "total: 250 tokens in, 30 out, cost 0.000800" in victor.out


async def test_a_slow_response_is_stopped_by_the_time_limit_of_the_node(
    tmp_path: Path, server: Server
) -> None:
    server.replies = [stream(delta("slow\n"), hold=server.hold), stream(delta("done", "stop"))]
    root, clock = workspace(tmp_path, files(server)), FakeClock()
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("review", state={"what": "x"})
        async with asyncio.timeout(20):
            while not await engine.run_log(run.id):
                await clock.advance(0.1)
                await asyncio.sleep(0)
        await clock.advance(30)
        found = await ended(engine, clock, run.id)
    assert [(a.status, a.error.type if a.error else None) for a in found.attempts] == [
        ("failed", "TimeoutError"),
        ("succeeded", None),
    ]


async def test_an_exceeded_budget_fails_the_attempt_and_its_cost_is_recorded(
    tmp_path: Path, server: Server
) -> None:
    server.replies = [stream(call("{}"), tokens(10, 1)) for _ in range(4)]
    root, clock = workspace(tmp_path, files(server)), FakeClock()
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("review", state={"what": "x"})
        found = await ended(engine, clock, run.id)
    (attempt,) = found.attempts
    assert attempt.error is not None
    assert attempt.error.type == "ToolBudgetExceeded"
    assert attempt.usage == UsageInfo("m1", 40, 4, 3, 0.00012)
    assert "tools" not in server.requests[-1][2]
