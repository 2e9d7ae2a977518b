"""Circuit breakers: after repeated failures of a node, in any run, its attempts stop for a time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from victor_engine.clock import FakeClock
from victor_engine.definition import definition_from_content, definition_to_content, load_workflow_from_yaml
from victor_engine.definition.limits import CircuitBreaker
from victor_engine.definition.loader import load_text
from victor_engine.errors import NodeError
from victor_engine.runs.transitions import RunRef

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FLOW = """
workflows:
  w:
    circuit_breaker: {failures: 3, reset_after: 60s}
    circuit_breaker_enabled: true
    nodes:
      - {id: call, type: compute, handler: h}
"""


class Service:
    """A service that is up or down."""

    def __init__(self) -> None:
        self.up = False
        self.calls = 0

    def __call__(self, call: Any) -> Any:
        self.calls += 1
        if not self.up:
            raise NodeError("connection refused", error_type="ConnectionError")
        return {"ok": True}


async def ends(bench: Bench, text: str = FLOW) -> tuple[str, RunRef]:
    run = await bench.start(text)
    return await bench.end(run), run


async def circuit_events(bench: Bench) -> list[tuple[str, Any]]:
    rows = await bench.all("SELECT kind, data FROM events WHERE kind GLOB 'circuit.*' ORDER BY seq")
    return [(kind.removeprefix("circuit."), json.loads(data) if data else {}) for kind, data in rows]


async def test_a_breaker_opens_after_failures_across_runs_and_gives_its_reason_and_time(
    tmp_path: Path,
) -> None:
    service, clock = Service(), FakeClock(NOW)
    async with Bench(tmp_path, Work(call=service), clock) as bench:
        for _ in range(3):
            assert (await ends(bench))[0] == "failed"
        assert service.calls == 3
        status, run = await ends(bench)
        assert (status, service.calls) == ("failed", 3)
        error = await bench.error(run)
        assert error["type"] == "CircuitOpenError"
        for words in (
            "open since 2026-05-01 12:00:00 UTC",
            "after 3 failures in a row",
            "ConnectionError: connection refused",
            "next attempt is possible at 2026-05-01 12:01:00 UTC",
        ):
            assert words in error["message"]
        ((kind, data),) = await circuit_events(bench)
        assert (kind, data["failures"], data["type"]) == ("opened", 3, "ConnectionError")


async def test_one_attempt_is_admitted_and_decides_also_after_a_restart(tmp_path: Path) -> None:
    service, clock = Service(), FakeClock(NOW)
    async with Bench(tmp_path, Work(call=service), clock) as bench:
        for _ in range(3):
            await ends(bench)
    async with Bench(tmp_path, Work(call=service), clock) as bench:
        await clock.advance(59)
        assert (await ends(bench))[0] == "failed"
        assert service.calls == 3
        await clock.advance(1)
        await ends(bench)
        assert service.calls == 4, "one was let through"
        await ends(bench)
        assert service.calls == 4, "it failed, so the circuit is open again"
        await clock.advance(60)
        service.up = True
        assert (await ends(bench))[0] == "succeeded"
        assert (await ends(bench))[0] == "succeeded"
        assert [kind for kind, _ in await circuit_events(bench)] == [
            "opened", "probed", "opened", "probed", "closed",
        ]  # fmt: skip


async def test_other_attempts_are_refused_during_the_admitted_one(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    gate, started = asyncio.Event(), asyncio.Event()
    service = Service()

    async def call(given: Any) -> Any:
        if service.calls < 3:
            return service(given)
        started.set()
        await gate.wait()
        return {}

    async with Bench(tmp_path, Work(call=call), clock) as bench:
        for _ in range(3):
            await ends(bench)
        await clock.advance(60)
        probe = await bench.start(FLOW)
        async with asyncio.timeout(10):
            await started.wait()
        status, other = await ends(bench)
        assert status == "failed"
        assert f"run {probe.id} is testing it now" in (await bench.error(other))["message"]
        gate.set()
        assert await bench.end(probe) == "succeeded"
        assert (await ends(bench))[0] == "succeeded"


async def test_a_success_resets_the_count(tmp_path: Path) -> None:
    service = Service()
    async with Bench(tmp_path, Work(call=service), FakeClock(NOW)) as bench:
        for up in (False, False, True, False, False):
            service.up = up
            await ends(bench)
        assert await circuit_events(bench) == []
        service.up = False
        await ends(bench)
        assert [kind for kind, _ in await circuit_events(bench)] == ["opened"]


async def test_refused_attempts_count_and_a_policy_may_wait_for_the_breaker(tmp_path: Path) -> None:
    text = FLOW.replace(
        "handler: h",
        "handler: h, retry_policy: {max_attempts: 5, initial_delay: 1, backoff: fixed,"
        " retryable_errors: [ConnectionError, CircuitOpenError]}",
    )
    service, clock = Service(), FakeClock(NOW)
    async with Bench(tmp_path, Work(call=service), clock) as bench:
        run = await bench.start(text)

        async def refused() -> bool:
            return bool(await bench.all("SELECT 1 FROM attempts WHERE number = 4 AND status = 'retrying'"))

        async with asyncio.timeout(20):
            while not await refused():
                await clock.advance(0.1)
        service.up = True
        due = await bench.one("SELECT retry_at FROM attempts WHERE number = 4")
        late = due - await bench.one("SELECT retry_at FROM breakers")
        assert 0 <= late < 30_000_000, "it waits until the circuit lets it"
        async with asyncio.timeout(20):
            while await bench.status(run) != "succeeded":
                await clock.advance(5)


async def test_on_error_handles_an_open_breaker(tmp_path: Path) -> None:
    text = FLOW.replace("handler: h}", "handler: h, on_error: plan_b}").replace("failures: 3", "failures: 1")
    text += "      - {id: plan_b, type: transform, transform: why = errors.call.type}\n"
    service = Service()
    async with Bench(tmp_path, Work(call=service), FakeClock(NOW)) as bench:
        _, first = await ends(bench, text)
        _, second = await ends(bench, text)
        assert (await bench.state(first))["why"] == "ConnectionError"
        assert (await bench.state(second))["why"] == "CircuitOpenError"
        assert service.calls == 1


@pytest.mark.parametrize(
    ("workflow", "node", "expected"),
    [
        ("", "", None),
        ("circuit_breaker_enabled: true", "", CircuitBreaker()),
        ("circuit_breaker: {failures: 2}", "", CircuitBreaker(failures=2)),
        ("circuit_breaker: {failures: 2}", "circuit_breaker_enabled: false", None),
        ("circuit_breaker: {failures: 2}", "circuit_breaker: {failure_threshold: 9, reset_timeout: 1m}",
         CircuitBreaker(failures=9, reset_after=60)),
        ("", "circuit_breaker_enabled: true", CircuitBreaker()),
        ("{circuit_breaker_enabled: false, circuit_breaker: {failures: 2}}"[1:-1], "", None),
        ("{circuit_breaker_enabled: false, circuit_breaker: {failures: 2}}"[1:-1],
         "circuit_breaker_enabled: true", CircuitBreaker(failures=2)),
    ],
)  # fmt: skip
def test_the_precedence_of_settings(workflow: str, node: str, expected: CircuitBreaker | None) -> None:
    keys = f"{workflow}, " if workflow else ""
    own = f", {node}" if node else ""
    text = f"workflows: {{w: {{{keys}nodes: [{{id: a, type: compute, handler: h{own}}}]}}}}"
    definition = load_workflow_from_yaml(text + "\n")["w"]
    assert definition.breaker_for(definition.nodes["a"]) == expected
    again = definition_from_content("w", definition_to_content(definition))
    assert again.breaker_for(again.nodes["a"]) == expected


@pytest.mark.parametrize(
    ("node", "severity", "words"),
    [
        ("type: compute, handler: h, circuit_breaker: {failures: 0}", "error", "at least 1"),
        ("type: compute, handler: h, circuit_breaker: {failurs: 1}", "error", "unknown key 'failurs'"),
        ("type: compute, handler: h, circuit_breaker_enabled: sometimes", "error", "true or false"),
        ("type: transform, transform: x = 1, circuit_breaker_enabled: true", "warning", "no effect here"),
    ],
)
def test_invalid_settings_are_reported(node: str, severity: str, words: str) -> None:
    problems = load_text(f"workflows:\n  w:\n    nodes:\n      - {{id: a, {node}}}\n").problems
    assert [p for p in problems if words in p.message and p.severity == severity and p.line == 4], problems
