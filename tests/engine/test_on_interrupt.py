"""`on_interrupt: ask`: after an interruption people decide whether the attempt is repeated, done or failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer, MigrationSpec, RequestInfo, RequestQuery
from victor_engine.definition.loader import load_text
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, InvalidAnswerError

# The command hangs until the file `go` exists, so that its engine can stop while it runs.
COMMAND = (
    'command: [sh, -c, \'echo "$VICTOR_IDEMPOTENCY_KEY" >> effects; until [ -e go ]; do sleep 0.02; done; '
    'echo "{\\"paid\\": 1}"\']'
)
WORK = f"""
handlers:
  pay: {{{COMMAND}}}
agents:
  payer: {{{COMMAND}}}
hitl: {{default_timeout: 1s}}
"""
PAY = "{id: pay, type: compute, handler: pay, on_interrupt: ask, next: [after]}"
AFTER = "{id: after, type: transform, transform: 'after = 1'}"


def files(*nodes: str, version: str = "1.0.0", more: str = "") -> dict[str, str]:
    listed = "".join(f"\n      - {node}" for node in nodes)
    text = f"workflows:\n  w:\n    version: {version}\n{more}    nodes:{listed}\n"
    return {f"workflows/{version}.yaml": text, "victor.yaml": WORK}


def effects(root: Path) -> list[str]:
    path = root / "effects"
    return path.read_text().split() if path.exists() else []


async def interrupted(root: Path, version: str | None = None) -> str:
    """Start a run whose engine stops while its command runs."""
    async with engine_on(root) as engine:
        run = await engine.start_run("w", version)
        async with asyncio.timeout(30):
            while not effects(root):
                await asyncio.sleep(0.01)
    (root / "go").touch()
    return run.id


async def answered(engine: Engine, run_id: str, value: Any, comment: str = "") -> RequestInfo:
    asked = await question(engine, run_id)
    return await engine.answer(
        asked.id, asked.revision, Answer(outcome="answered", value=value, comment=comment)
    )


async def test_no_attempt_starts_before_the_answer(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(PAY, AFTER))
    run_id = await interrupted(root)
    first: RequestInfo | None = None
    for _ in range(3):  # the request is kept by each engine
        async with engine_on(root) as engine:
            asked = await question(engine, run_id)
            assert first is None or (asked.id, asked.revision) == (first.id, first.revision)
            first = asked
            assert asked.deadline is None, "silence decides nothing, whatever the configuration says"
            assert asked.title == "Interrupted: pay"
            assert asked.context["idempotency_key"] == effects(root)[0]
            assert len(effects(root)) == 1
            (attempt,) = (await engine.run(run_id)).attempts
            assert attempt.status == "waiting"
            assert (await engine.run(run_id)).run.status == "waiting"


async def test_retry_starts_an_attempt_with_the_same_key(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(PAY, AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        await answered(engine, run_id, "retry")
        found = await until_end(engine, run_id)
        assert (found.run.status, found.state["paid"]) == ("succeeded", 1)
        assert [(a.number, a.status) for a in found.attempts if a.node_id == "pay"] == [
            (1, "interrupted"),
            (2, "succeeded"),
        ]
        assert len(effects(root)) == 2
        assert len(set(effects(root))) == 1


async def test_done_uses_the_given_result(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(PAY, AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        with pytest.raises(InvalidAnswerError, match="give the result"):
            await answered(engine, run_id, {"action": "done"})
        with pytest.raises(InvalidAnswerError, match="takes no result"):
            await answered(engine, run_id, {"action": "retry", "result": {}})
        with pytest.raises(InvalidAnswerError):
            await answered(engine, run_id, "whatever")
        await answered(engine, run_id, {"action": "done", "result": {"paid": 7}})
        found = await until_end(engine, run_id)
        assert found.run.status == "succeeded"
        assert found.state == {"pay": {"paid": 7}, "paid": 7, "after": 1}
        assert len(effects(root)) == 1


@pytest.mark.parametrize("more", ["", ", on_error: after"])
async def test_fail_fails_the_node(tmp_path: Path, more: str) -> None:
    root = workspace(tmp_path, files(PAY.replace(", next", f"{more}, next"), AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        await answered(engine, run_id, {"action": "fail"}, "the bank says no")
        found = await until_end(engine, run_id)
        assert found.run.status == ("succeeded" if more else "failed")
        (attempt, *_) = found.attempts
        assert attempt.status == "failed"
        assert attempt.error is not None
        assert attempt.error.type == "InterruptedError"
        assert "me decided that it fails: the bank says no" in attempt.error.message
        assert len(effects(root)) == 1


async def test_an_answer_without_an_engine_is_used_by_the_next_engine(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(PAY, AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        await question(engine, run_id)
        await engine.pause_run(run_id)
        await answered(engine, run_id, {"action": "done", "result": {"paid": 7}})
    async with engine_on(root) as engine:
        await engine.resume_run(run_id)
        assert (await until_end(engine, run_id)).state["paid"] == 7
        assert len(effects(root)) == 1


@pytest.mark.parametrize(
    "nodes",
    [
        ("{id: p, type: parallel, parallel_nodes: [pay], next: [after]}", PAY.replace(", next: [after]", "")),
        (
            "{id: pay, type: team, goal: g, members: [{id: m, role: payer}], on_interrupt: ask, next: [after]}",
        ),
    ],
)
async def test_members_of_a_parallel_and_of_a_team_open_a_request(
    tmp_path: Path, nodes: tuple[str, ...]
) -> None:
    root = workspace(tmp_path, files(*nodes, AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        await question(engine, run_id)
    async with engine_on(root) as engine:
        await answered(engine, run_id, {"action": "done", "result": {"paid": 7}})
        found = await until_end(engine, run_id)
        assert (found.run.status, found.state["paid"], found.state["after"]) == ("succeeded", 7, 1)
        assert len(effects(root)) == 1


async def test_a_cancelled_run_withdraws_the_request(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(PAY, AFTER))
    run_id = await interrupted(root)
    async with engine_on(root) as engine:
        asked = await question(engine, run_id)
        with pytest.raises(ConflictError, match="cannot send its run back"):
            await engine.push_back(asked.id, asked.revision, "pay", "again")
        await engine.cancel_run(run_id)
        assert (await engine.request(asked.id)).status == "withdrawn"
        assert [a.status for a in (await engine.run(run_id)).attempts] == ["cancelled"]


@pytest.mark.parametrize("changed", [False, True])
async def test_a_migrated_run_keeps_the_request_or_is_refused(tmp_path: Path, changed: bool) -> None:
    way = "    migrations:\n      - {from_version: 1.0.0, to_version: 1.1.0, steps: []}\n"
    pay = PAY.replace("ask,", "ask, inputs: {n: 1},") if changed else PAY
    root = workspace(tmp_path, files(PAY, AFTER) | files(pay, AFTER, version="1.1.0", more=way))
    run_id = await interrupted(root, "1.0.0")
    async with engine_on(root) as engine:
        asked = await question(engine, run_id)
        (moved,) = (await engine.migrate_runs(MigrationSpec("w", "1.1.0", run_ids=(run_id,)))).runs
        if changed:
            assert moved.outcome == "refused"
            assert "pay was interrupted and waits for a decision" in moved.reason
        else:
            assert moved.outcome == "migrated", moved.reason
        assert [r.id for r in await engine.requests(RequestQuery(run_id=run_id))] == [asked.id]
        await answered(engine, run_id, {"action": "done", "result": {"paid": 7}})
        assert (await until_end(engine, run_id)).state["paid"] == 7
        assert len(effects(root)) == 1


def test_validation_warns_of_a_setting_without_effect() -> None:
    text = "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1', on_interrupt: ask}]}}"
    (problem,) = load_text(text).problems
    assert (problem.severity, "on_interrupt has no effect here" in problem.message) == ("warning", True)
