"""The handling of failures: retries by name, code and status, on_error, error_strategy, time limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from victor_engine.clock import FakeClock
from victor_engine.definition import load_workflow_from_yaml
from victor_engine.definition.limits import RetryPolicy
from victor_engine.definition.loader import load_text
from victor_engine.definition.model import ComputeNode
from victor_engine.errors import ConfigError, NodeError, VictorError
from victor_engine.work.retry import delay_before_retry, matches

EXIT_3 = NodeError("x", error_type="CommandError", exit_code=3)
HTTP_429 = NodeError("x", error_type="HTTP429", bases=("HTTPError", "Exception"), http_status=429)
HTTP_503 = NodeError("x", error_type="HTTP503", bases=("HTTPError", "Exception"), http_status=503)
TIMEOUT = NodeError("x", error_type="TimeoutError", bases=("OSError", "Exception"))


@pytest.mark.parametrize(
    ("error", "words", "hit"),
    [
        (EXIT_3, ("exit:3",), True),
        (EXIT_3, ("exit 3",), True),
        (EXIT_3, ("exit_code:3",), True),
        (EXIT_3, ("3",), True),
        (EXIT_3, ("exit:4", "http:3"), False),
        (HTTP_429, ("429",), True),
        (HTTP_429, ("http:429",), True),
        (HTTP_429, ("4xx",), True),
        (HTTP_429, ("HTTP429",), True),
        (HTTP_429, ("HTTPError",), True),
        (HTTP_429, ("5xx", "exit:429"), False),
        (HTTP_503, ("5XX",), True),
        (TIMEOUT, ("Timeout",), True),
        (TIMEOUT, ("timeouterror",), True),
        (TIMEOUT, ("OSError",), True),
        (TIMEOUT, ("ValueError",), False),
    ],
)
def test_the_names_of_an_error_in_a_policy(error: VictorError, words: tuple[str, ...], hit: bool) -> None:
    assert matches(error, words) is hit


def test_numbers_in_yaml_are_statuses_and_codes() -> None:
    text = (
        "workflows: {w: {nodes: [{id: a, type: compute, handler: h, retry_policy:"
        " {max_attempts: 2, retryable_errors: [429, 'exit:3'], non_retryable_errors: 5xx}}]}}\n"
    )
    policy = load_workflow_from_yaml(text)["w"].nodes["a"].retry_policy
    assert policy is not None
    assert policy.retryable_errors == ("429", "exit:3")
    node = ComputeNode(id="a", retry_policy=policy)
    assert delay_before_retry(node, HTTP_429, 1, 0.0) is not None
    assert delay_before_retry(node, EXIT_3, 1, 0.0) is not None
    assert delay_before_retry(node, HTTP_503, 1, 0.0) is None
    assert delay_before_retry(node, TIMEOUT, 1, 0.0) is None


def test_errors_that_are_never_retried() -> None:
    node = ComputeNode(id="a", retry_policy=RetryPolicy(max_attempts=9))
    assert delay_before_retry(node, TIMEOUT, 1, 0.0) is not None
    assert delay_before_retry(node, NodeError("x", retryable=False), 1, 0.0) is None
    assert delay_before_retry(node, ConfigError("x"), 1, 0.0) is None
    assert delay_before_retry(node, TIMEOUT, 9, 0.0) is None


def test_the_delays_of_a_policy() -> None:
    def delays(**more: Any) -> list[float]:
        node = ComputeNode(id="a", retry_policy=RetryPolicy(max_attempts=9, initial_delay=2, **more))
        found = [delay_before_retry(node, TIMEOUT, failed, 0.5) for failed in (1, 2, 3, 4)]
        return [delay.total_seconds() for delay in found if delay is not None]

    assert delays(backoff="fixed") == [2, 2, 2, 2]
    assert delays(backoff="linear") == [2, 4, 6, 8]
    assert delays(backoff="exponential") == [2, 4, 8, 16]
    assert delays(backoff="exponential", max_delay=5) == [2, 4, 5, 5]
    assert delays(backoff="fixed", jitter=0.2) == pytest.approx([2.2] * 4)
    asked = NodeError("x", http_status=429, retry_after=30)
    node = ComputeNode(id="a", retry_policy=RetryPolicy(max_attempts=2))
    delay = delay_before_retry(node, asked, 1, 0.0)
    assert delay is not None
    assert delay.total_seconds() == 30, "a server's Retry-After is the least"
    bounded = [delay_before_retry(node, NodeError("x", retry_after=1e18), 1, 0.0, most) for most in (None, 7)]
    assert [delay.total_seconds() for delay in bounded if delay is not None] == [300, 7]
    steep = RetryPolicy(max_attempts=99, multiplier=1e9, max_delay=60)
    assert steep.delay_after(90) == 60


FLOW = """
workflows:
  w:
    WORKFLOW
    nodes:
      - {id: a, type: compute, handler: h, NODE next: [b]}
      - {id: b, type: compute, handler: h}
      - {id: plan_b, type: transform, transform: why = errors.a.type}
"""


def flow(node: str = "", workflow: str = "description: x") -> str:
    text = FLOW.replace("WORKFLOW", workflow).replace("NODE", f"{node}," if node else "")
    return text if "on_error" in node else text[: text.index("      - {id: plan_b")]


def bad(call: Any) -> Any:
    raise NodeError("no", error_type="Boom")


@pytest.mark.parametrize(
    ("node", "workflow", "status", "done"),
    [
        ("", "description: x", "failed", []),
        ("error_strategy: stop", "description: x", "failed", []),
        ("error_strategy: continue", "description: x", "succeeded", ["b"]),
        ("on_error: plan_b", "description: x", "succeeded", ["plan_b"]),
        ("on_error: plan_b, error_strategy: continue", "description: x", "succeeded", ["plan_b"]),
        ("", "error_strategy: continue", "succeeded", ["b"]),
        ("", "execution: {error_strategy: continue}", "succeeded", ["b"]),
        ("error_strategy: stop", "error_strategy: continue", "failed", []),
    ],
)
async def test_the_successor_of_a_failure(
    tmp_path: Path, node: str, workflow: str, status: str, done: list[str]
) -> None:
    async with Bench(tmp_path, Work(a=bad, b={})) as bench:
        run = await bench.start(flow(node, workflow))
        assert await bench.end(run) == status
        rows = await bench.all("SELECT node_id FROM attempts WHERE status = 'succeeded'")
        assert [row[0] for row in rows] == done
        assert await bench.one("SELECT status FROM attempts WHERE node_id = 'a'") == "failed"
        if status == "succeeded":
            assert (await bench.state(run))["errors"]["a"] == {"type": "Boom", "message": "no"}


async def test_the_failure_of_a_node_goes_when_the_node_succeeds_later(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, on_error: note, next: [done]}
      - {id: note, type: transform, transform: "why = errors.a.type", next: [other]}
      - {id: other, type: compute, handler: h, error_strategy: continue, next: [a]}
      - {id: done, type: transform, transform: "left = keys(errors)"}
"""
    tries = 0

    def flaky(call: Any) -> Any:
        nonlocal tries
        tries += 1
        return bad(call) if tries == 1 else {"ok": tries}

    async with Bench(tmp_path, Work(a=flaky, other=bad)) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert (state["why"], state["left"]) == ("Boom", ["other"])
        assert set(state["errors"]) == {"other"}


async def test_error_strategy_retry_tries_three_times(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Bench(tmp_path, Work(a=bad), clock) as bench:
        run = await bench.start(flow("error_strategy: retry"))
        async with asyncio.timeout(20):
            while await bench.status(run) != "failed":
                await clock.advance(1)
        assert [call.attempt for call in bench.work.calls] == [1, 2, 3]


def test_an_invalid_error_strategy_is_reported() -> None:
    problems = load_text(flow(workflow="error_strategy: ignore")).problems
    assert [p for p in problems if "error_strategy cannot be 'ignore'" in p.message and p.line == 4]


@pytest.mark.parametrize(
    ("node", "workflow", "limit"),
    [
        ("timeout: 30", "default_node_timeout: 60", 30),
        ("timeout_seconds: 20", "description: x", 20),
        ("constraints: {timeout: 10}", "default_node_timeout: 60", 10),
        ("", "default_node_timeout: 60", 60),
        ("", "execution: {default_node_timeout_seconds: 50}", 50),
        ("timeout: 5", "execution: {max_timeout_seconds: 500}", 5),
    ],
)
async def test_the_precedence_of_time_limits(tmp_path: Path, node: str, workflow: str, limit: int) -> None:
    started = asyncio.Event()

    async def hang(call: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    clock = FakeClock()
    async with Bench(tmp_path, Work(a=hang), clock) as bench:
        run = await bench.start(flow(node, workflow))
        async with asyncio.timeout(20):
            await started.wait()
        await clock.advance(limit - 1)
        assert await bench.status(run) == "running"
        await clock.advance(1)
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "TimeoutError"
        assert f"limit of {limit} s" in error["message"]


async def test_the_runs_own_limit_is_not_retried(tmp_path: Path) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    clock = FakeClock()
    async with Bench(tmp_path, Work(a=hang), clock) as bench:
        run = await bench.start(
            flow(
                "retry_policy: 5",
                "{max_execution_timeout_seconds: 40, max_retries: 3}"[1:-1].replace(", ", "\n    "),
            )
        )
        async with asyncio.timeout(20):
            while await bench.status(run) != "failed":
                await clock.advance(10)
        assert (await bench.error(run))["type"] == "ExecutionTimeoutError"
        assert len(bench.work.calls) == 1
