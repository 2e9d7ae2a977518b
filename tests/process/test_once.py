"""Effects happen at least once and state changes exactly once, also if the engine is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon
from victor_engine.api import RunQuery

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": f"""
        handlers:
          charge: {{command: [{sys.executable}, charge.py]}}
        """,
    # Has one effect for its key; hangs after the effect in the first execution.
    "charge.py": """
        import json, os, pathlib, sys, time
        call = json.load(sys.stdin)
        key = os.environ["VICTOR_IDEMPOTENCY_KEY"]
        assert key == call["idempotency_key"]
        with open("calls.log", "a") as log:
            log.write(f"{call['attempt']} {key}\\n")
        mark = pathlib.Path("done-" + key.replace("/", "-"))
        try:
            with open(mark, "x") as file:
                file.write("receipt-1")
                with open("effects.log", "a") as effects:
                    effects.write(key + "\\n")
        except FileExistsError:
            pass  # done before: only report the result again
        if not pathlib.Path("charged").exists():
            pathlib.Path("charged").touch()
            time.sleep(1000)
        json.dump({"receipt": mark.read_text()}, sys.stdout)
        """,
    "workflows/shop.yaml": """
        workflows:
          shop:
            nodes:
              - {id: count, type: transform, transform: "count = default(get(state, 'count'), 0) + 1", next: [pay]}
              - {id: pay, type: workflow, workflow: payment, inputs: {n: $ctx.count}, next: [twice]}
              - {id: twice, type: condition, condition: count < 2, branches: {true: count, false: null}}
          payment:
            nodes:
              - {id: charge, type: compute, handler: charge, inputs: {n: $ctx.n}}
        """,
}


async def test_a_command_that_uses_its_key_has_one_effect_although_it_runs_twice(
    tmp_path: Path,
) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            run = await port.start_run("shop")
            async with asyncio.timeout(20):
                while not (root / "charged").exists():
                    await asyncio.sleep(0.01)
            info = await port.run(run.id)
            assert info.run.status == "waiting"
            (child,) = [attempt.child_run for attempt in info.attempts if attempt.child_run]
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()

    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            async with asyncio.timeout(30):
                async for event in port.subscribe(0):
                    if event.kind == "run.finished" and event.run_id == run.id:
                        break
            found = await port.run(run.id)
            assert found.run.status == "succeeded", found.run.error
            assert found.state["count"] == 2, "each visit has counted once"
            assert found.state["pay"]["receipt"] == "receipt-1"
            children = [attempt.child_run for attempt in found.attempts if attempt.child_run]
            assert children[0] == child, "the child that was started before is the one that was awaited"
            payments = await port.runs(RunQuery(workflow="payment"))
            assert sorted(info.id for info in payments) == sorted(set(children))
            assert len(children) == 2
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0
    calls = [line.split() for line in (root / "calls.log").read_text().splitlines()]
    first, again, second = calls
    assert [call[0] for call in calls] == ["1", "2", "1"]
    assert first[1] == again[1] != second[1], "one key for one visit, another for the next"
    effects = (root / "effects.log").read_text().split()
    assert effects == [first[1], second[1]], "what the key guards was done once for each visit"
