"""An engine that is killed while `finally` of a failed run is executed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon, until

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": """
        handlers:
          fail: {command: [sh, -c, 'exit 3']}
          note: {command: [sh, -c, 'echo "$VICTOR_IDEMPOTENCY_KEY $VICTOR_STATUS $VICTOR_ERROR_NODE" >> done; echo {}']}
          hang: {command: [sh, -c, 'echo "$VICTOR_IDEMPOTENCY_KEY" >>tried; until [ -e go ]; do sleep 0.05; done; echo {}']}
        """,
    "workflows/w.yaml": """
        workflows:
          w:
            nodes:
              - {id: work, type: compute, handler: fail}
            on_failure:
              - {id: tell, type: compute, handler: note}
            finally:
              - {id: unlock, type: compute, handler: hang, next: [last]}
              - {id: last, type: compute, handler: note}
        """,
}


async def test_a_killed_engine_continues_finally_and_repeats_no_finished_handler(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            run_id = (await port.start_run("w")).id
            async with asyncio.timeout(30):
                while not (root / "tried").exists():
                    await asyncio.sleep(0.02)
            run = (await port.run(run_id)).run
            assert (run.status, run.ends_as, run.handler) == ("running", "failed", "finally")
    finally:
        daemon.kill()
        daemon.wait()
    (root / "go").touch()
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            await until(port, "run.finished")
            run = (await port.run(run_id)).run
            assert (run.status, run.ends_as, run.handler, run.dead_letter) == ("failed", "", "", True)
            assert run.error is not None
            assert run.error.node_id == "work"
    finally:
        daemon.kill()
        daemon.wait()
    assert (root / "done").read_text() == f"{run_id}/tell/1 failed work\n{run_id}/last/1 failed work\n"
    assert (root / "tried").read_text() == f"{run_id}/unlock/1\n" * 2
