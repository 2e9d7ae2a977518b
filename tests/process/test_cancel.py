"""Cancel a run whose command ignores SIGTERM: all its processes are killed after the grace period."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tests.engine.support import engine_on, until_end, workspace
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError
from victor_engine.work.process import group_members, start_ticks

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": f"""
        handlers:
          stubborn: {{command: [{sys.executable}, stubborn.py], grace: GRACE}}
        """,
    # Ignores SIGTERM, like its children and their children; records the signal.
    "stubborn.py": """
        import os, pathlib, signal, time
        def asked(*_):
            pathlib.Path("asked").touch()
        signal.signal(signal.SIGTERM, asked)
        for _ in range(2):
            if os.fork() == 0:
                os.fork()
                break
        pathlib.Path(f"up.{os.getpid()}").touch()
        while True:
            time.sleep(60)
        """,
    "workflows/w.yaml": """
        workflows:
          w:
            nodes:
              - {id: p, type: parallel, parallel_nodes: [one, two]}
              - {id: one, type: compute, handler: stubborn}
              - {id: two, type: compute, handler: stubborn}
        """,
}


def files(grace: float) -> dict[str, str]:
    return {name: text.replace("GRACE", str(grace)) for name, text in FILES.items()}


async def begun(engine: Engine, run_id: str) -> list[tuple[int, int]]:
    """Return process group and start of each command, when all five processes of each run."""
    root = engine.workspace_path
    async with asyncio.timeout(20):
        while len(list(root.glob("up.*"))) < 10:
            await asyncio.sleep(0.02)
    pids = [a.pid for a in (await engine.run(run_id)).attempts if a.pid is not None]
    assert len(pids) == 2
    groups = [(pid, start_ticks(pid)) for pid in pids]
    assert [len(group_members(*group)) for group in groups] == [5, 5]
    return groups


async def test_a_command_that_ignores_sigterm_and_forks_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, files(0.3))) as engine:
        run = await engine.start_run("w")
        groups = await begun(engine, run.id)
        cancelled = await engine.cancel_run(run.id, "enough")
        assert cancelled.status == "cancelled"
        assert [group_members(*group) for group in groups] == [[], []]
        assert (engine.workspace_path / "asked").exists()
        found = await until_end(engine, run.id)
        assert {a.node_id: a.status for a in found.attempts} == dict.fromkeys(
            ("p", "one", "two"), "cancelled"
        )


async def test_a_second_cancel_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, files(300))) as engine:
        run = await engine.start_run("w")
        groups = await begun(engine, run.id)
        first = asyncio.ensure_future(engine.cancel_run(run.id))
        async with asyncio.timeout(20):
            while not (engine.workspace_path / "asked").exists():
                await asyncio.sleep(0.02)
        assert (await engine.run(run.id)).run.status == "cancelling"
        before = time.monotonic()
        assert (await engine.cancel_run(run.id, "now")).status == "cancelled"
        assert time.monotonic() - before < 20
        assert (await first).status == "cancelled"
        assert [group_members(*group) for group in groups] == [[], []]
        with pytest.raises(ConflictError, match="is cancelled"):
            await engine.cancel_run(run.id)
