"""Buffered fires in an engine that is restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.engine.support import engine_on, question, workspace
from victor_engine.api import Answer, RunQuery
from victor_engine.clock import FakeClock

FILES = {
    "workflows/ask.yaml": """
        workflows:
          ask:
            schedule: {cron: "0 * * * *", overlap: buffer_all}
            nodes:
              - {id: ok, type: hitl, hitl_type: approval, prompt: "Go on?", next: {approved: out, rejected: out}}
              - {id: out, type: transform, transform: "done = ok"}
        """
}
START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)


async def test_a_buffered_fire_is_kept_over_a_restart(tmp_path: Path) -> None:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    async with engine_on(root, clock=clock) as engine:
        await engine.scheduler.refresh()
        for hours in (1, 2):
            clock.set_wall(START + timedelta(hours=hours, minutes=-29))
            await engine.scheduler.fire_due()
        second, first = await engine.runs(RunQuery())
        await question(engine, first.id)
        assert (await engine.run(second.id)).run.status == "queued"
    async with engine_on(root, clock=clock) as engine:
        # A later run of another schedule has the slot, which the second run would get if it were released.
        other = await engine.start_run("ask")
        await question(engine, other.id)
        assert (await engine.run(second.id)).run.status == "queued"
        asked = await question(engine, first.id)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await question(engine, second.id)).run_id == second.id
