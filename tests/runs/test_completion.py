"""The start and the completion of runs that only compute, with the number of their transactions."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.api import FINAL_RUN_STATUSES, EventInfo
from victor_engine.runs.commands import Retry
from victor_engine.runs.completion import withdrawal_reason
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.runs import Created, NewRun

FLOW = """
workflows:
  w:
    nodes:
      - {id: a, type: transform, transform: "n = n + 1", next: [b]}
      - {id: b, type: transform, transform: "n = n + 1"}
"""


WORKS = FLOW.replace('{id: b, type: transform, transform: "n = n + 1"}', "{id: b, type: compute, handler: h}")
"""The last step does not only compute, so the end of the run is a separate transition."""


async def create(bench: Bench, text: str = FLOW) -> Created:
    definition_id, name, first = await bench.define(text)
    new = NewRun(workflow=name, definition_id=definition_id, start_node=first, state={"n": 1}, actor=ALICE)
    return await bench.runtime.create(lambda tx: new)


def ref(created: Created) -> RunRef:
    new = created.new
    return RunRef(created.key, created.id, new.workflow, new.definition_id, new.schedule_id)


async def test_a_run_begins_in_one_transition_and_ends_with_its_last_step(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work()) as bench:
        commits: list[list[str]] = []

        def heard(events: list[EventInfo]) -> None:
            commits.append([f"{event.kind} {event.node_id or ''}".strip() for event in events])

        bench.store.listen(heard)
        created = await create(bench)
        assert await bench.end(ref(created)) == "succeeded"
        assert await bench.state(ref(created)) == {"n": 3}
        assert commits == [
            ["run.created"],
            ["run.started"],
            ["node.completed a"],
            ["node.completed b", "run.finished"],
        ]
        stored = await bench.all("SELECT revision, nodes_done, started_at >= created_at, error FROM runs")
        assert stored == [(2, 2, 1, None)]


async def test_the_slot_is_free_when_the_end_is_published(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(), max_concurrent_runs=1) as bench:
        heard: asyncio.Queue[str] = asyncio.Queue()

        def listen(events: list[EventInfo]) -> None:
            for event in events:
                if event.kind == "run.finished":
                    heard.put_nowait(event.run_id or "")

        bench.store.listen(listen)
        for _ in range(5):
            created = await create(bench)
            assert await asyncio.wait_for(heard.get(), 20) == created.id
        assert (await bench.all("SELECT COUNT(*) FROM runs WHERE status = 'succeeded'")) == [(5,)]


@pytest.mark.parametrize("flow", [FLOW, WORKS], ids=["with its last step", "by itself"])
async def test_a_cancellation_during_the_commit_of_the_end_has_no_effect(tmp_path: Path, flow: str) -> None:
    told: list[Any] = []
    at_the_end, go = threading.Event(), threading.Event()

    def on_ending(tx: Tx, run: RunRef, status: str) -> str:
        at_the_end.set()
        assert go.wait(20)
        return status

    options = {"on_completion": on_ending, "on_finished": lambda schedule, ending: told.append(ending)}
    async with Bench(tmp_path, Work(), **options) as bench:
        created = await create(bench, flow)
        assert await asyncio.to_thread(at_the_end.wait, 20)
        live = bench.runtime.slots.live[created.key]
        live.cancelling = True
        live.interrupt()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait_for(asyncio.wait({live.task}), 20)
        assert await bench.status(ref(created)) == "succeeded"
        assert told == ["succeeded"]
        kinds = await bench.all("SELECT kind FROM events ORDER BY seq DESC LIMIT 1")
        assert kinds == [("run.finished",)]


async def test_a_last_step_is_not_recorded_if_the_run_cannot_end_with_it(tmp_path: Path) -> None:
    refused: list[str] = []

    def on_ending(tx: Tx, run: RunRef, status: str) -> None:
        if not refused:
            refused.append(status)
            raise RuntimeError("the completion is broken")

    async with Bench(tmp_path, Work(), on_completion=on_ending) as bench:
        created = await create(bench)
        # An internal error ends the run as failed, and the last step is not recorded.
        assert await bench.end(ref(created)) == "failed"
        assert await bench.state(ref(created)) == {"n": 2}
        assert await bench.one("SELECT COUNT(*) FROM attempts") == 1
        await bench.runtime.command(Retry(ref(created).id), ALICE)
        assert await bench.end(ref(created)) == "succeeded"
        assert await bench.state(ref(created)) == {"n": 3}


def test_the_reason_of_withdrawn_requests_names_each_end_of_a_run() -> None:
    assert {withdrawal_reason(status) for status in FINAL_RUN_STATUSES} == {
        "the run has succeeded",
        "the run has failed",
        "the run was rejected",
        "the run was cancelled",
    }
