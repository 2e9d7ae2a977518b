"""A schedule is saved only if its version exists, by each way to save it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from textwrap import indent

import msgspec
import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import engine_on, workspace
from victor_engine.api import BackfillSpec, ScheduleSpec
from victor_engine.errors import NotFoundError, VictorError
from victor_engine.versioning.catalog import VersionRemovedError

NODES = "nodes: [{id: a, type: transform, transform: 'a = 1'}]\n"


def file(version: str, more: str = "") -> str:
    return f"workflows:\n  w:\n{indent(f'version: {version}{chr(10)}{more}{NODES}', '    ')}"


FILES = {"workflows/one.yaml": file("1.0.0"), "workflows/two.yaml": file("2.0.0")}


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    return Victor(workspace(tmp_path, FILES), capsys)


@pytest.mark.parametrize("version", ["9.9.9", "^3.0", "stable"])
async def test_an_edit_to_a_version_that_does_not_exist_is_refused(tmp_path: Path, version: str) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="^1.0"))
        before = await engine.schedule(added.id)
        last = (await engine.engine()).last_event
        edited = msgspec.structs.replace(before.spec, version=version)
        with pytest.raises(NotFoundError, match=r"ersions.*1\.0\.0, 2\.0\.0"):
            await engine.edit_schedule(added.id, edited)
        assert await engine.schedule(added.id) == before
        assert (await engine.engine()).last_event == last


async def test_an_edit_to_an_existing_version_is_saved(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily"))
        await engine.set_alias("w", "stable", "1.0.0")
        for version, resolved in (
            ("1.0.0", "1.0.0"),
            ("^2.0", "2.0.0"),
            ("stable", "1.0.0"),
            (None, "2.0.0"),
        ):
            edited = await engine.edit_schedule(added.id, ScheduleSpec("w", cron="@daily", version=version))
            assert edited.resolved_version == resolved


async def test_an_edit_to_a_removed_version_is_refused(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily"))
        await engine.remove_version("w", "1.0.0", "broken")
        with pytest.raises(VictorError, match=r"1\.0\.0 is removed"):
            await engine.edit_schedule(added.id, ScheduleSpec("w", cron="@daily", version="1.0.0"))


async def test_a_file_with_a_version_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    files = {"workflows/w.yaml": file("1.0.0", "schedule: {cron: '@daily', version: ^3.0}\n")}
    async with engine_on(workspace(tmp_path, files)) as engine:
        (problem,) = engine.workspace.problems
        assert "schedule.version: w has no version ^3.0; its versions are 1.0.0" in problem.message
        assert problem.line == 4


def test_the_command_line_refuses_a_missing_version_and_lists_the_versions(victor: Victor) -> None:
    assert victor("scheduler", "add", "w", "--cron", "@daily") == 0
    schedule = victor.out.split()[0]
    assert victor("scheduler", "edit", schedule, "--set", "version=9.9.9", "--yes") == 4
    assert "w has no version 9.9.9; its versions are 1.0.0, 2.0.0" in victor.err
    assert victor("scheduler", "edit", schedule, "--set", "version=1.0.0", "--yes") == 0


async def test_a_removed_version_is_a_problem_before_the_next_fire(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="2.0.0"))
        start = engine.clock.now() - timedelta(days=3)
        backfill = BackfillSpec(added.id, start, engine.clock.now())
        assert (await engine.schedule(added.id)).problem is None
        assert (await engine.preview_backfill(backfill)).problem is None
        await engine.remove_version("w", "2.0.0", "it loses rows")
        with pytest.raises(VersionRemovedError) as refused:
            await engine.start_backfill(backfill)
        preview = await engine.preview_backfill(backfill)
        assert (preview.problem, preview.plan) == (refused.value.message, "")
        (listed,) = await engine.schedules()
        assert (await engine.schedule(added.id)).problem == listed.problem == refused.value.message
        await engine.restore_version("w", "2.0.0")
        assert (await engine.schedule(added.id)).problem is None
        assert (await engine.preview_backfill(backfill)).problem is None


async def test_a_deprecated_version_is_not_a_problem(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="2.0.0"))
        await engine.deprecate("w", "2.0.0", "use 1.0.0")
        assert (await engine.schedule(added.id)).problem is None
