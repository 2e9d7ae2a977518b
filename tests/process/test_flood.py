"""Commands and functions with endless output: the engine stays responsive, and cancel stops them."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.engine.turns import LIMIT, turns
from victor_engine.api import Answer
from victor_engine.work import attempt_log
from victor_engine.work.process import group_members, start_ticks

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": """
        handlers:
          errors: {command: [sh, -c, "yes >&2"], grace: 2}
          output: {command: [sh, -c, "yes talks on"], grace: 2}
          function: {python: "endless:talk", grace: 2}
        """,
    "endless.py": """
        def talk(payload):
            while True:
                print("y")
        """,
    "workflows/w.yaml": """
        workflows:
          errors: {nodes: [{id: work, type: compute, handler: errors}]}
          output: {nodes: [{id: work, type: compute, handler: output}]}
          function: {nodes: [{id: work, type: compute, handler: function}]}
          ask:
            nodes: [{id: gate, type: hitl, hitl_type: approval}]
        """,
}
QUICK = 5.0
"""Seconds, for what takes some hundredths on a quiet machine."""


@pytest.mark.parametrize("workflow", ["errors", "output", "function"])
async def test_control_does_not_wait_for_a_flood_of_lines(
    tmp_path: Path, workflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first part of a log is stored line by line.
    monkeypatch.setattr(attempt_log, "HEAD_CHARS", 10_000_000)
    most = 0
    write = attempt_log.AttemptLog.write

    def watched(log: attempt_log.AttemptLog, stream: str, text: str) -> None:
        nonlocal most
        write(log, stream, text)
        most = max(most, log.unwritten)

    monkeypatch.setattr(attempt_log.AttemptLog, "write", watched)
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        run = await engine.start_run(workflow)
        async with asyncio.timeout(60):
            while not await engine.run_log(run.id, 20_000):
                await asyncio.sleep(0.05)
        (attempt,) = (await engine.run(run.id)).attempts
        assert attempt.pid is not None
        group = attempt.pid, start_ticks(attempt.pid)

        before = time.monotonic()
        asked = await question(engine, (await engine.start_run("ask")).id)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert time.monotonic() - before < QUICK

        # One read of a pipe is in addition: at most as many lines as bytes.
        assert most < attempt_log.MAX_WAITING + 16_384 * (attempt_log.LINE_WEIGHT + 2)

        before = time.monotonic()
        assert (await engine.cancel_run(run.id)).status == "cancelled"
        assert time.monotonic() - before < 2 + QUICK
        assert group_members(*group) == []


FULL_SPEED = {
    "victor.yaml": """
        handlers:
          command: {command: [sh, -c, "yes 'a line of a flood' | head -c 200000000 >&2; echo >&2; echo the end >&2"]}
          function: {python: "long:talk"}
        """,
    "long.py": """
        import sys
        def talk(payload):
            for number in range(120_000):
                print("a line of a flood")
            print("the end")
            return {"said": number + 1}
        """,
    "workflows/w.yaml": """
        workflows:
          command: {nodes: [{id: work, type: compute, handler: command}]}
          function: {nodes: [{id: work, type: compute, handler: function}]}
        """,
}


@pytest.mark.parametrize(("workflow", "lines"), [("command", 200_000_000 // 18 + 2), ("function", 120_001)])
async def test_a_command_whose_log_is_capped_runs_at_full_speed(
    tmp_path: Path, workflow: str, lines: int
) -> None:
    async with engine_on(workspace(tmp_path, FULL_SPEED)) as engine:
        before = time.monotonic()
        run = await engine.start_run(workflow)
        with turns() as found:
            assert (await until_end(engine, run.id)).run.status == "succeeded"
        # Line by line, it would take minutes.
        assert time.monotonic() - before < 60
        assert max(found) < LIMIT
        log = await engine.run_log(run.id, 0, 100_000)
        assert log[0].text == "a line of a flood"
        assert log[-1].text == "the end"
        (marker,) = [line.text for line in log if line.stream == "engine"]
        cut, dropped = re.fullmatch(
            r"… (\d+) lines were cut here; (\d+) of them, \d+\.\d MB, came faster than a long log is read …",
            marker,
        ).groups()  # type: ignore[union-attr]
        assert int(dropped) <= int(cut)
        assert int(cut) + len(log) - len([marker]) == lines
