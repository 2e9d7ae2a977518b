"""The end of a run locks the affected schedules before it locks the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.support import engine_on, until_end, workspace
from tests.locking import LockedTx
from victor_engine.api import RunQuery
from victor_engine.store.db import Store
from victor_engine.store.locks import Root

FILES = {
    "victor.yaml": "handlers: {fails: {command: ['false']}}",
    "workflows/w.yaml": """
        workflows:
          computes:
            nodes: [{id: a, type: transform, transform: "n = 1"}]
          breaks:
            nodes: [{id: a, type: compute, handler: fails}]
          next:
            schedule: {after: {workflows: [computes, breaks], require: any, "on": completion}}
            nodes: [{id: a, type: transform, transform: "n = 1"}]
        """,
}


class Recording(LockedTx):
    """A transaction that records the locks of each transition."""

    transitions: list[list[tuple[Root, int | str]]] = []

    def begin(self) -> None:
        super().begin()
        self.transitions.append([])

    def lock(self, root: Root, key: int | str) -> None:
        super().lock(root, key)
        self.transitions[-1].append((root, key))


@pytest.mark.parametrize("workflow", ["computes", "breaks"])
async def test_schedules_are_locked_before_a_run_that_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workflow: str
) -> None:
    monkeypatch.setattr(Store, "transaction", Recording)
    monkeypatch.setattr(Recording, "transitions", [])
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        run = await engine.start_run(workflow)
        await until_end(engine, run.id)
        key = await engine.store.read(
            lambda c: c.execute("SELECT key FROM runs WHERE id = ?", (run.id,)).fetchone()[0]
        )
        followers = [each.workflow for each in await engine.runs(RunQuery()) if each.workflow == "next"]
        assert followers == ["next"]
    both = [
        locks
        for locks in Recording.transitions
        if (Root.RUN, key) in locks and any(root is Root.SCHEDULE for root, _ in locks)
    ]
    assert both, "the end of the run locks no schedule"
    for locks in both:
        first_run = next(place for place, (root, _) in enumerate(locks) if root is Root.RUN)
        first_schedule = next(place for place, (root, _) in enumerate(locks) if root is Root.SCHEDULE)
        assert first_schedule < first_run
