"""Schedules that come after other workflows: fired in the transition in which an upstream run ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scheduling.test_loop import ALICE, START, World, world
from victor_engine.api import After, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.errors import UsageError
from victor_engine.scheduling import dependency_fires, run_endings
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling.spec_clauses import read_after
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, insert_run


async def define(w: World, *names: str) -> None:
    def write(tx: Tx) -> None:
        for name in names:
            tx.execute(
                "INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)"
                " VALUES (?, '1.0.0', '', '{}', '', 0)",
                (name,),
            )

    await w.store.write(write)


async def after(w: World, workflow: str, what: Any, **fields: Any) -> str:
    return await w.add(workflow=workflow, after=read_after(what), **fields)


async def ends(
    w: World,
    workflow: str,
    status: str = "succeeded",
    state: dict[str, Any] | None = None,
    nominal: datetime | None = None,
) -> str:
    """A run of `workflow` that ends now; returns its id. What it starts is told to the world."""

    def write(tx: Tx) -> tuple[str, Any]:
        new = NewRun(
            workflow=workflow,
            definition_id=1,
            start_node="a",
            state=state or {},
            nominal_us=None if nominal is None else to_us(nominal),
        )
        key, run_id = insert_run(tx, new)
        tx.execute("UPDATE runs SET status = ?, finished_at = ? WHERE key = ?", (status, tx.now_us, key))
        firing = w.loop.firing(tx)
        run_endings.run_ended(firing, key, status)
        return run_id, firing

    run_id, firing = await w.store.write(write)
    w.loop.committed(firing)
    return run_id


async def test_one_after_another_takes_what_it_wants_from_the_final_state(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "ingest")
        block = {"workflows": ["ingest"], "take": {"rows": "ingest.report.rows", "day": "day", "why": "why?"}}
        schedule = await after(w, "w", block, initial_state={"region": "eu", "rows": 0})
        first = await ends(w, "ingest", state={"report": {"rows": 7}, "day": "mon"})
        assert w.started
        ((local, outcome, reason),) = await w.fires()
        assert (local, outcome) == (f"run:{first}", "started")
        assert reason == f"after ingest succeeded (run {first})"
        trigger, state, parent = (
            await w.rows(
                "SELECT trigger, state, parent_key FROM runs"
                " JOIN run_states ON run_key = key AND after_attempt = 0 WHERE workflow = 'w'"
            )
        )[0]
        assert trigger == "upstream"
        found = json.loads(state)
        assert found.pop("_run")["trigger"] == "upstream"
        assert found == {"region": "eu", "rows": 7, "day": "mon"}
        assert parent is not None
        assert (await w.rows(f"SELECT runs_started FROM schedules WHERE id = '{schedule}'")) == [(1,)]


async def test_a_missing_key_starts_no_run_and_is_reported(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "ingest")
        await after(w, "w", {"workflows": ["ingest"], "take": ["rows"]})
        await ends(w, "ingest", state={})
        assert w.started == []
        ((_, outcome, reason),) = await w.fires()
        assert outcome == "skipped"
        assert "cannot start: ingest ended without the key 'rows'" in reason


@pytest.mark.parametrize(
    ("on", "fired"),
    [
        ("success", ["succeeded"]),
        ("failure", ["failed", "rejected"]),
        ("completion", ["succeeded", "failed", "rejected", "cancelled"]),
    ],
)
async def test_which_ends_count(tmp_path: Path, on: str, fired: list[str]) -> None:
    async with world(tmp_path) as w:
        await define(w, "up")
        await after(w, "w", {"workflows": ["up"], "on": on}, overlap="allow")
        for status in ("succeeded", "failed", "rejected", "cancelled"):
            before = len(w.started)
            await ends(w, "up", status)
            assert (len(w.started) > before) == (status in fired), status


async def test_all_of_several_fire_once_each_time_all_have_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a", "b")
        schedule = await after(w, "w", ["a", "b"], overlap="allow")
        await ends(w, "a")
        await ends(w, "a")
        assert w.started == []
        found = await w.store.read(
            lambda c: dependency_fires.upstream_states(
                c, schedule, ScheduleSpec("w", after=After(("a", "b"))), w.clock.now()
            )
        )
        assert [(state.workflow, state.met) for state in found] == [("a", True), ("b", False)]
        await ends(w, "b")
        assert len(w.started) == 1
        await ends(w, "b")
        assert len(w.started) == 1
        await ends(w, "a")
        assert len(w.started) == 2


async def test_any_of_several_fires_for_each(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a", "b")
        await after(w, "w", {"workflows": ["a", "b"], "require": "any"}, overlap="allow")
        await ends(w, "a")
        await ends(w, "b")
        assert len(w.started) == 2


async def test_within_a_window(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a", "b")
        await after(w, "w", {"workflows": ["a", "b"], "within": "1h"}, overlap="allow")
        await ends(w, "a")
        w.clock.set_wall(START + timedelta(hours=2))
        await ends(w, "b")
        assert w.started == []
        w.clock.set_wall(START + timedelta(hours=2, minutes=59))
        await ends(w, "a")
        assert len(w.started) == 1


async def test_the_same_period_by_nominal_time_in_the_zone_of_the_schedule(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a", "b")
        block = {"workflows": ["a", "b"], "period": "day"}
        await after(w, "w", block, timezone="Asia/Tokyo", overlap="allow")
        evening = datetime(2026, 5, 3, 22, 0, tzinfo=UTC)  # 4 May in Tokyo
        await ends(w, "a", nominal=evening)
        await ends(w, "b", nominal=datetime(2026, 5, 3, 10, 0, tzinfo=UTC))
        assert w.started == []
        await ends(w, "b", nominal=datetime(2026, 5, 4, 10, 0, tzinfo=UTC))
        assert len(w.started) == 1
        assert [local for local, _, _ in await w.fires()] == ["2026-05-04"]
        # The same period does not fire again, whatever is run once more.
        await ends(w, "a", nominal=evening)
        await ends(w, "b", nominal=evening)
        assert len(w.started) == 1
        nominal = await w.rows("SELECT nominal FROM runs WHERE workflow = 'w'")
        assert nominal == [(to_us(datetime(2026, 5, 4, 10, 0, tzinfo=UTC)),)]


async def test_a_pause_and_an_overlap_leave_a_visible_outcome(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a")
        schedule = await after(w, "w", "a")
        await ends(w, "a")
        await ends(w, "a")
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, note="freeze"))
        await ends(w, "a")
        outcomes = await w.fires()
        assert [outcome for _, outcome, _ in outcomes] == ["started", "skipped", "skipped"]
        assert "overlap is skip" in outcomes[1][2]
        assert outcomes[2][2].endswith("freeze")


async def test_a_cycle_is_refused_with_its_path(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a", "b", "c")
        await after(w, "b", "a")
        schedule = await after(w, "c", "b")
        with pytest.raises(UsageError, match="cycle: a -> b -> c -> a"):
            await after(w, "a", "c")
        with pytest.raises(UsageError, match="cannot depend on itself"):
            await after(w, "a", "a")
        with pytest.raises(UsageError, match="the workflow 'bb' does not exist"):
            await after(w, "c", "bb")
        await w.store.write(lambda tx: ops.remove(tx, schedule, actor=ALICE))
        await after(w, "a", "c")


async def test_a_run_that_is_retried_and_ends_again_does_not_fire_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a")
        await after(w, "w", {"workflows": ["a"], "on": "completion"}, overlap="allow")
        run = await ends(w, "a", "failed")

        def again(tx: Tx) -> None:
            (key,) = tx.execute("SELECT key FROM runs WHERE id = ?", (run,)).fetchone()
            tx.execute("UPDATE runs SET status = 'succeeded' WHERE key = ?", (key,))
            run_endings.run_ended(w.loop.firing(tx), key, "succeeded")

        await w.store.write(again)
        assert len(await w.fires()) == 1


async def test_nothing_comes_after_outside_start_and_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await define(w, "a")
        await after(w, "w", "a", start_date=START + timedelta(hours=1), end_date=START + timedelta(hours=2))
        await ends(w, "a")
        assert await w.fires() == []
        w.clock.set_wall(START + timedelta(minutes=90))
        await ends(w, "a")
        assert len(await w.fires()) == 1


async def test_failures_in_a_row_pause_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *", pause_after_failures=2, overlap="allow")

        async def one(status: str, minute: int) -> None:
            await w.at(datetime(2026, 5, 4, 8, minute, 1, tzinfo=UTC))
            key = w.started[-1]

            def end(tx: Tx) -> None:
                error = '{"type":"Boom","message":"disk is full"}' if status == "failed" else None
                tx.execute("UPDATE runs SET status = ?, error = ? WHERE key = ?", (status, error, key))
                run_endings.run_ended(w.loop.firing(tx), key, status)

            await w.store.write(end)
            await w.loop.refresh(schedule)

        for status, minute in (("failed", 5), ("succeeded", 10), ("failed", 15), ("cancelled", 20)):
            await one(status, minute)
        assert (await w.rows("SELECT failures, paused FROM schedules")) == [(1, None)]
        await one("failed", 25)
        ((failures, paused),) = await w.rows("SELECT failures, paused FROM schedules")
        assert failures == 2
        assert "paused after 2 failures in a row" in paused
        assert "disk is full" in paused
        await w.at(datetime(2026, 5, 4, 8, 30, 1, tzinfo=UTC))
        assert len(w.started) == 5
        await w.store.write(lambda tx: ops.resume(tx, schedule, actor=ALICE))
        assert (await w.rows("SELECT failures FROM schedules")) == [(0,)]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"workflow": "a"}, "unknown key 'workflow'"),
        ({"workflows": []}, "name of a workflow"),
        ({"require": "all"}, "workflows is missing"),
        ({"workflows": ["a"], "on": "sucess"}, "Did you mean 'success'"),
        ({"workflows": ["a"], "require": "one"}, "not a value of require"),
        ({"workflows": ["a"], "within": "soon"}, "not a duration"),
        ({"workflows": ["a"], "period": "decade"}, "not a value of period"),
        ({"workflows": ["a"], "take": 3}, "take must be"),
    ],
)
def test_what_is_wrong_with_after(block: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_after(block)


def test_a_bare_on_in_yaml_is_read() -> None:
    import yaml

    assert read_after(yaml.safe_load("{workflows: [a], on: failure}")).on == "failure"
