"""Statuses and transitions: each value has a sentence, the table is complete, and the documentation matches it."""

from __future__ import annotations

import ast
from enum import StrEnum
from pathlib import Path

import pytest

from tests.runs.harness import BOB, Bench, Work
from tests.write_statuses import PAGE, page
from victor_engine.domain import statuses
from victor_engine.domain.statuses import ACTIVE_RUN_STATUSES, FINAL_RUN_STATUSES, RunStatus
from victor_engine.domain.transitions import RUN_TRANSITIONS, RunCommand, next_status, refusal
from victor_engine.errors import ConflictError
from victor_engine.runs.commands import Cancel, Pause, Resume

ENUMS = [each for each in vars(statuses).values() if isinstance(each, type) and each.__base__ is StrEnum]


def test_every_status_has_a_sentence() -> None:
    for module in ("statuses", "transitions"):
        path = Path(statuses.__file__).with_name(f"{module}.py")
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            for value, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(value, ast.Assign):
                    described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    assert described, f"{node.name}.{ast.unparse(value.targets[0])} has no sentence"


def test_a_run_is_active_or_has_ended() -> None:
    assert set(RunStatus) == ACTIVE_RUN_STATUSES | FINAL_RUN_STATUSES
    assert not ACTIVE_RUN_STATUSES & FINAL_RUN_STATUSES


@pytest.mark.parametrize("command", RunCommand)
@pytest.mark.parametrize("status", RunStatus)
def test_each_command_leads_to_a_status_or_gives_a_reason(status: RunStatus, command: RunCommand) -> None:
    if status in RUN_TRANSITIONS[command]:
        assert refusal(status, command) is None
        assert next_status("r1", status, command) is RUN_TRANSITIONS[command][status]
    else:
        with pytest.raises(ConflictError, match=f"run r1 is {status}"):
            next_status("r1", status, command)


@pytest.mark.parametrize("command", [RunCommand.PAUSE, RunCommand.RESUME, RunCommand.CANCEL])
async def test_the_store_has_the_status_of_the_table(tmp_path: Path, command: RunCommand) -> None:
    commands: dict[RunCommand, type[Pause | Resume | Cancel]] = {
        RunCommand.PAUSE: Pause,
        RunCommand.RESUME: Resume,
        RunCommand.CANCEL: Cancel,
    }
    async with Bench(tmp_path, Work(), max_concurrent_runs=0) as bench:
        run = await bench.start("workflows: {w: {nodes: [{id: a, type: compute, handler: h}]}}")
        for status in RunStatus:
            await bench.store.write(
                lambda tx, status=status: tx.execute(
                    "UPDATE runs SET status = ? WHERE key = ?", (status, run.key)
                )
            )
            events = await bench.one("SELECT COUNT(*) FROM events")
            change = bench.store.write(
                lambda tx: bench.runtime.control._handler.commit(tx, commands[command](run.id), BOB)
            )
            if status in RUN_TRANSITIONS[command]:
                await change
                assert await bench.status(run) == RUN_TRANSITIONS[command][status]
                assert await bench.one("SELECT COUNT(*) FROM events") == events + 1
            else:
                with pytest.raises(ConflictError, match=f"is {status}"):
                    await change
                assert await bench.status(run) == status
                assert await bench.one("SELECT COUNT(*) FROM events") == events


def test_the_page_of_the_documentation_is_the_table() -> None:
    assert PAGE.read_text("utf-8") == page(), "generate it: python -m tests.write_statuses"
