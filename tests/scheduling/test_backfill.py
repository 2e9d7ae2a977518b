"""Backfills: preview, recorded fires, pause, resume and cancel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scheduling.test_loop import ALICE, START, World, world
from victor_engine.api import BackfillInfo, BackfillSpec
from victor_engine.clock import to_us
from victor_engine.domain.statuses import BackfillStatus
from victor_engine.domain.transitions import BACKFILL_TRANSITIONS, BackfillCommand
from victor_engine.errors import ConflictError, UsageError
from victor_engine.exclusion import nothing_excluded
from victor_engine.scheduling import backfill, run_endings
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.store.db import Tx
from victor_engine.store.queries import backfills


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2026, 4, number, hour, tzinfo=UTC)


async def begin(w: World, spec: BackfillSpec) -> int:
    def write(tx: Tx) -> tuple[int, Any]:
        firing = w.loop.firing(tx)
        return backfill.start(firing, spec, actor=ALICE), firing

    number, firing = await w.store.write(write)
    w.loop.committed(firing)
    return number


async def end(w: World, key: int, status: str = "succeeded") -> None:
    def write(tx: Tx) -> Any:
        tx.execute("UPDATE runs SET status = ?, finished_at = ? WHERE key = ?", (status, tx.now_us, key))
        firing = w.loop.firing(tx)
        run_endings.run_ended(firing, key, status)
        return firing

    w.loop.committed(await w.store.write(write))


async def do(w: World, action: Any, number: int) -> None:
    def write(tx: Tx) -> Any:
        firing = w.loop.firing(tx)
        action(firing, number, actor=ALICE)
        return firing

    w.loop.committed(await w.store.write(write))


async def info(w: World, number: int) -> BackfillInfo:
    return await w.store.read(lambda c: backfills.info(c, number))


async def preview(w: World, spec: BackfillSpec) -> Any:
    return await w.store.read(
        lambda c: backfill.preview(
            c, spec, w.clock.now(), nothing_excluded, lambda *_: "1.0.0", lambda *_: None
        )
    )


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_fires_run_in_order_up_to_the_concurrency(tmp_path: Path, order: Any) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *", initial_state={"k": 1}, priority=5)
        spec = BackfillSpec(schedule, day(1), day(5, 23), order=order, concurrency=2)
        said = await preview(w, spec)
        assert (said.count, said.left_out, said.problem) == (5, 0, None)
        number = await begin(w, spec)
        assert len(w.started) == 2
        for _ in range(5):
            await end(w, w.started[-1] if len(w.started) == 5 else w.started.pop(0))
        nominal = [row[0] for row in await w.rows("SELECT nominal FROM runs ORDER BY key")]
        assert nominal == sorted(nominal, reverse=order == "newest")
        assert len(nominal) == 5
        keys = await w.rows("SELECT key FROM runs WHERE status = 'queued'")
        for (key,) in keys:
            await end(w, key)
        found = await info(w, number)
        assert (found.status, found.succeeded, found.running) == ("finished", 5, 0)
        fires = await w.fires()
        assert {outcome for _, outcome, _ in fires} == {"backfilled"}
        assert fires[0][2] == f"backfill {number} by alice"
        runs = await w.rows(
            "SELECT trigger, state, priority, schedule_id, nominal FROM runs"
            " JOIN run_states ON run_key = key AND after_attempt = 0"
        )
        for trigger, text, priority, of, at in runs:
            state = json.loads(text)
            instant = state.pop("_run")
            assert (trigger, state, priority, of) == ("backfill", {"k": 1}, 4, schedule)
            assert to_us(datetime.fromisoformat(instant["nominal_time"])) == at


async def test_what_was_missed_becomes_backfilled_and_keeps_its_story(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        await w.at(datetime(2026, 5, 4, 11, 30, tzinfo=UTC))
        assert await w.outcomes() == ["missed", "missed", "missed"]
        await begin(w, BackfillSpec(schedule, START, w.clock.now(), concurrency=10))
        fires = await w.fires()
        assert [outcome for _, outcome, _ in fires] == ["backfilled"] * 3
        assert "before that missed: the schedule was not checked" in fires[0][2]
        decided = await w.rows("SELECT COUNT(*) FROM events WHERE kind = 'fire.decided'")
        assert decided == [(6,)]


async def test_what_has_run_is_left_out_unless_it_is_wanted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        for hour, status in ((9, "succeeded"), (10, "failed")):
            await w.at(datetime(2026, 5, 4, hour, 0, 1, tzinfo=UTC))
            await end(w, w.started[-1], status)
        w.clock.set_wall(datetime(2026, 5, 4, 10, 30, tzinfo=UTC))
        counts = {}
        for redo in ("missing", "failed", "all"):
            spec = BackfillSpec(schedule, day(1).replace(month=5, day=4, hour=8), w.clock.now(), redo=redo)  # type: ignore[arg-type]
            found = await preview(w, spec)
            counts[redo] = (found.count, found.left_out)
        assert counts == {"missing": (1, 2), "failed": (2, 1), "all": (3, 0)}


async def test_it_is_apart_from_the_schedules_own_overlap(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        await begin(w, BackfillSpec(schedule, day(1), day(1, 5)))
        await w.at(datetime(2026, 5, 4, 9, 0, 1, tzinfo=UTC))
        assert (await w.fires())[-1][1:] == ("started", "due")


async def test_pause_resume_cancel(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *")
        number = await begin(w, BackfillSpec(schedule, day(1), day(5, 23)))
        with pytest.raises(ConflictError, match="not finished"):
            await begin(w, BackfillSpec(schedule, day(1), day(5, 23)))
        await do(w, backfill.pause, number)
        await end(w, w.started[-1])
        assert len(w.started) == 1
        await do(w, backfill.resume, number)
        assert len(w.started) == 2
        await do(w, backfill.cancel, number)
        await end(w, w.started[-1], "failed")
        assert len(w.started) == 2
        found = await info(w, number)
        assert (found.status, found.succeeded, found.failed) == ("cancelled", 1, 1)
        with pytest.raises(ConflictError, match="is cancelled"):
            await do(w, backfill.resume, number)
        kinds = [
            row[0]
            for row in await w.rows("SELECT kind FROM events WHERE kind LIKE 'backfill.%' ORDER BY seq")
        ]
        assert kinds == ["backfill.started", "backfill.paused", "backfill.resumed", "backfill.cancelled"]


async def test_a_drain_holds_a_backfill_until_it_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *")
        await begin(w, BackfillSpec(schedule, day(1), day(3, 23)))
        await w.store.write(lambda tx: ops.drain(tx, actor=ALICE, note="upgrade"))
        await end(w, w.started[-1])
        assert len(w.started) == 1
        await w.at(datetime(2026, 5, 5, 6, 0, 1, tzinfo=UTC))
        assert "draining since" in (await w.fires())[-1][2]
        with pytest.raises(ConflictError, match="draining"):
            await w.store.write(lambda tx: ops.trigger(tx, schedule, w.resolve, actor=ALICE))
        await w.store.write(lambda tx: ops.undrain(tx, actor=ALICE))
        await w.loop.advance_backfills()
        assert len(w.started) == 2


async def test_a_workflow_that_is_gone_holds_it_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *")
        number = await begin(w, BackfillSpec(schedule, day(1), day(3, 23)))
        w.known = False
        await end(w, w.started[-1])
        found = await info(w, number)
        assert (found.status, found.running) == ("paused", 0)
        assert found.problem is not None
        assert "no workflow" in found.problem


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": day(5), "end": day(1)}, "ends .* before it starts"),
        (
            {"start": datetime(2027, 1, 1, tzinfo=UTC), "end": datetime(2027, 1, 2, tzinfo=UTC)},
            "in the future",
        ),
        ({"concurrency": 0}, "concurrency must be"),
        (
            {"start": datetime(2016, 1, 1, tzinfo=UTC), "end": datetime(2025, 12, 31, tzinfo=UTC)},
            "has 87,649 fires",
        ),
    ],
)
async def test_what_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        spec = BackfillSpec(**{"schedule_id": schedule, "start": day(1), "end": day(2), **fields})
        with pytest.raises(UsageError, match=words):
            await begin(w, spec)
        assert (await preview(w, spec)).problem is not None
        assert await w.rows("SELECT 1 FROM backfills") == []


async def test_ten_years_of_minutes_are_refused_with_their_count(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="* * * * *")
        start = datetime(2016, 1, 1, tzinfo=UTC)
        found = await preview(w, BackfillSpec(schedule, start, start + timedelta(days=3653)))
        assert found.problem is not None
        assert found.problem.startswith("the range has 5,260,321 fires (every minute)")


@pytest.mark.parametrize("command", BackfillCommand)
async def test_a_command_follows_the_table(tmp_path: Path, command: BackfillCommand) -> None:
    action = {
        BackfillCommand.PAUSE: backfill.pause,
        BackfillCommand.RESUME: backfill.resume,
        BackfillCommand.CANCEL: backfill.cancel,
    }[command]
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *")
        number = await begin(w, BackfillSpec(schedule, day(1), day(3), concurrency=1))
        for status in BackfillStatus:
            await w.store.write(
                lambda tx, status=status: tx.execute("UPDATE backfills SET status = ?", (status,))
            )
            following = BACKFILL_TRANSITIONS[command].get(status)
            if following is None:
                with pytest.raises(ConflictError, match=f"backfill {number} is {status}; only a backfill"):
                    await do(w, action, number)
            else:
                await do(w, action, number)
            assert (await info(w, number)).status == (following or status)


async def test_a_backfill_without_fires_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 6 * * *")
        spec = BackfillSpec(schedule, day(1, 7), day(1, 8))
        assert "the range has no fires" in (await preview(w, spec)).problem
        with pytest.raises(UsageError, match="nothing to run"):
            await begin(w, spec)
