"""Workflows that were removed from the files: their schedules are disabled until the workflows return."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.engine.support import ME, workspace
from victor_engine.api import EventQuery, FireInfo, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import ConfigError
from victor_engine.identity import acting_as

START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)
GONE = """
    workflows:
      gone:
        schedule: {every: 10m, overlap: allow}
        nodes: [{id: a, type: transform, transform: "a = 1"}]
    """
OTHER = """
    workflows:
      other:
        nodes: [{id: a, type: transform, transform: "a = 1"}]
    """
FILES = {
    "victor.yaml": "workflows: [flows/*.yaml]\n",
    "flows/gone.yaml": GONE,
    "flows/other.yaml": OTHER,
}


@asynccontextmanager
async def engine_at(root: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    with acting_as(ME):
        engine = await Engine.open(root, root.parent / "state", clock=clock)
        try:
            yield engine
        finally:
            await engine.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return workspace(tmp_path, FILES)


async def fires(engine: Engine, clock: FakeClock, minutes: int) -> list[FireInfo]:
    """Let time pass, and return the fires of the workflow `gone` in that time."""
    since = clock.now()
    for _ in range(minutes):
        clock.set_wall(clock.now() + timedelta(minutes=1))
        await engine.scheduler.fire_due()
    return [fire for fire in await engine.fires(None, 100) if fire.decided_at > since]


async def notes(engine: Engine, kind: str) -> list[str]:
    events = await engine.events(EventQuery(kinds=(kind,)))
    return [str(event.data.get("note", "")) for event in events]


async def arrange(engine: Engine) -> dict[str, object]:
    """Edit the schedule of the file, and add one that is paused; return the schedules."""
    (declared,) = await engine.schedules()
    edited = msgspec.structs.replace(declared.spec, initial_state={"by": "edit"})
    await engine.edit_schedule(declared.id, edited)
    added = await engine.add_schedule(ScheduleSpec("gone", cron="0 * * * *"))
    await engine.pause_schedule(added.id, "at rest")
    return await standing(engine)


async def standing(engine: Engine) -> dict[str, object]:
    return {
        each.id: (each.spec, each.overridden, each.paused, each.origin, each.path)
        for each in await engine.schedules()
    }


async def test_a_deleted_file_disables_its_schedules_at_the_next_start(root: Path) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        before = await arrange(engine)
        assert [fire.outcome for fire in await fires(engine, clock, 20)] == ["started", "started"]
    (root / "flows/gone.yaml").rename(root / "flows/gone.kept")
    async with engine_at(root, clock) as engine:
        assert await engine.schedules() == []
        assert await fires(engine, clock, 30) == []
        found = await notes(engine, "schedule.removed")
        assert len(found) == 2
        assert all("flows/gone.yaml, the file of workflow gone, was removed" in note for note in found)
        (problem,) = (await engine.engine()).problems
        assert problem.severity == "warning"
        assert "its 2 schedules are disabled" in problem.message
        (schedule, *_) = before
        assert "is disabled" in str(await engine.explain_schedule(schedule))
    async with engine_at(root, clock) as engine:
        assert (await engine.engine()).problems == ()
        assert len(await notes(engine, "schedule.removed")) == 2
    (root / "flows/gone.kept").rename(root / "flows/gone.yaml")
    async with engine_at(root, clock) as engine:
        assert await standing(engine) == before
        skipped = [fire for fire in await engine.fires(None, 100) if "flows/gone.yaml" in fire.reason]
        assert [fire.outcome for fire in skipped] == ["skipped"] * 3
        (fire,) = await fires(engine, clock, 10)
        assert fire.run_id is not None
        assert (await engine.run(fire.run_id)).state["by"] == "edit"


async def test_a_workflow_that_is_renamed_in_its_file_fires_only_with_its_new_name(root: Path) -> None:
    clock = FakeClock(START)
    file = root / "flows/gone.yaml"
    async with engine_at(root, clock) as engine:
        before = await arrange(engine)
        file.write_text(file.read_text().replace("gone:", "gone2:"))
        (problem,) = await engine.reload()
        assert "flows/gone.yaml does not contain workflow gone any more" in problem.message
        assert [each.spec.workflow for each in await engine.schedules()] == ["gone2"]
        assert {fire.workflow for fire in await fires(engine, clock, 20)} == {"gone2"}
        file.write_text(file.read_text().replace("gone2:", "gone:"))
        await engine.reload()
        assert await standing(engine) == before
        assert {fire.workflow for fire in await fires(engine, clock, 10)} == {"gone"}


async def test_a_schedule_block_that_is_removed_and_restored_keeps_its_settings(root: Path) -> None:
    clock = FakeClock(START)
    file = root / "flows/gone.yaml"
    text = file.read_text()
    async with engine_at(root, clock) as engine:
        (declared,) = await engine.schedules()
        await engine.pause_schedule(declared.id, "at rest")
        before = await standing(engine)
        file.write_text(text.replace("schedule: {every: 10m, overlap: allow}", ""))
        await engine.reload()
        assert await engine.schedules() == []
        file.write_text(text)
        await engine.reload()
        assert await standing(engine) == before


async def test_a_schedule_that_a_user_removed_is_not_restored(root: Path) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        added = await engine.add_schedule(ScheduleSpec("gone", cron="0 * * * *"))
        await engine.remove_schedule(added.id)
        (root / "flows/gone.yaml").rename(root / "flows/gone.kept")
        await engine.reload()
        (root / "flows/gone.kept").rename(root / "flows/gone.yaml")
        await engine.reload()
        assert added.id not in await standing(engine)


def broken_yaml(root: Path) -> None:
    (root / "flows/gone.yaml").write_text("workflows: {gone: [\n")


def moved_to_a_broken_file(root: Path) -> None:
    (root / "flows/gone.yaml").unlink()
    (root / "flows/new.yaml").write_text("workflows: {gone: [\n")


def dangling_link(root: Path) -> None:
    (root / "flows/gone.yaml").unlink()
    (root / "flows/gone.yaml").symlink_to(root / "nowhere")


def folder_that_cannot_be_read(root: Path) -> None:
    shutil.rmtree(root / "flows")
    (root / "flows").symlink_to("flows")


def no_victor_yaml(root: Path) -> None:
    (root / "victor.yaml").unlink()


def empty_folder(root: Path) -> None:
    shutil.rmtree(root / "flows")
    (root / "victor.yaml").unlink()


FAULTS = [
    broken_yaml,
    moved_to_a_broken_file,
    dangling_link,
    folder_that_cannot_be_read,
    no_victor_yaml,
    empty_folder,
]


@pytest.mark.parametrize("damage", FAULTS)
async def test_an_error_in_a_file_disables_nothing(root: Path, damage: Callable[[Path], None]) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        before = await arrange(engine)
        damage(root)
        problems = await engine.reload()
        assert any("Its schedules do not change" in problem.message for problem in problems), problems
        assert await standing(engine) == before
        assert [fire.outcome for fire in await fires(engine, clock, 20)] == ["started", "started"]
    async with engine_at(root, clock) as engine:
        assert await standing(engine) == before


async def test_a_victor_yaml_that_cannot_be_read_disables_nothing(root: Path) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        before = await arrange(engine)
        (root / "victor.yaml").write_text("workflows: [\n")
        with pytest.raises(ConfigError):
            await engine.reload()
        assert await standing(engine) == before
        assert [fire.outcome for fire in await fires(engine, clock, 20)] == ["started", "started"]
