"""The shell commands that the console lists for its actions: each does on a copy of the store what the action did."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tests.engine.support import ME, workspace
from victor_engine.api import (
    After,
    Answer,
    BackfillSpec,
    Expect,
    MigrationSpec,
    Port,
    RequestQuery,
    RunQuery,
    ScheduleSpec,
)
from victor_engine.cli.main import cli
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_engine.scheduling.declarations import changed_spec
from victor_engine.service.connect import find, open_engine
from victor_tui.inverses import changed_since
from victor_tui.journal import Session
from victor_tui.shell_commands import changed_settings

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)
FLOW = """
    workflows:
      job:
        version: {version}
        nodes:
          - {{id: ok, type: hitl, hitl_type: choice, choices: [red, blue], prompt: "Which?", next: [out]}}
          - {{id: out, type: transform, transform: "n = {n}"}}
"""
FILES = {
    "victor.yaml": "console: {undo: 0s}\nhitl: {unknown_assignees: warn}\n",
    "workflows/a.yaml": FLOW.format(version="1.0.0", n=1),
    "workflows/b.yaml": FLOW.format(version="1.1.0", n=2) + "        migrations: [{from: 1.0.0}]\n",
    "workflows/quick.yaml": "workflows: {quick: {nodes: [{id: a, type: transform, transform: x = 1}]}}",
    "workflows/bad.yaml": "workflows: {bad: {nodes: [{id: a, type: transform, transform: x = y.z}]}}",
}


async def until(condition: Any) -> Any:
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


async def prepare(engine: Engine) -> dict[str, Any]:
    """Make the runs, questions, schedules and aliases on which the actions act."""
    ids: dict[str, Any] = {}
    for name in ("answered", "moved", "cancelled", "reassigned"):
        ids[name] = (await engine.start_run("job", "1.0.0", {}, name)).id
    for name in ("bad", "worse"):
        ids[name] = (await engine.start_run("bad", None, {}, name)).id
    ids["schedule"] = (await engine.add_schedule(ScheduleSpec("quick", cron="0 4 * * *"))).id
    ids["paused"] = (await engine.add_schedule(ScheduleSpec("quick", cron="0 5 * * *"))).id
    ids["gone"] = (await engine.add_schedule(ScheduleSpec("quick", cron="0 6 * * *"))).id
    await engine.set_alias("job", "canary", "1.0.0", "1.1.0", 10)
    await engine.set_alias("job", "old", "1.0.0")

    async def ready() -> bool:
        waiting = await engine.runs(RunQuery(statuses=("waiting",)))
        failed = await engine.runs(RunQuery(statuses=("failed",)))
        return len(waiting) == 4 and len(failed) == 2

    await until(ready)
    for each in await engine.requests(RequestQuery()):
        ids[f"q {next(name for name, id in ids.items() if id == each.run_id)}"] = each
    return ids


async def act(port: Port, ids: dict[str, Any]) -> None:
    """Take an action of each kind, as the dialogs of the console do."""
    spec = (await port.schedule(ids["schedule"])).spec
    changed = msgspec.structs.replace(
        spec, cron=None, every_seconds=172800.0, every_at="09:30", timezone="Europe/Berlin", description="5",
        initial_state={"a": "é 'x'"}, overlap="allow", max_active_runs=2, end_date=NOW + timedelta(days=9000),
    )  # fmt: skip
    await port.edit_schedule(ids["schedule"], changed, "a note")
    await port.add_schedule(
        ScheduleSpec("quick", after=After(("job",), on="failure", within=60.0), jitter=1.5), "new"
    )
    await port.pause_schedule(ids["paused"], "until then", datetime(2990, 1, 1, 12, tzinfo=UTC))
    await port.skip_next(ids["schedule"], "")
    await port.remove_schedule(ids["gone"], "no more")
    await port.set_alias("job", "stable", "1.0.0", "1.1.0", 25, "a quarter")
    await port.promote_alias("job", "canary", None, "good")
    await port.remove_alias("job", "old", "")
    await port.deprecate("job", "1.0.0", "too old", "1.1.0", datetime(2990, 1, 1, tzinfo=UTC))
    await port.migrate_runs(MigrationSpec("job", "1.1.0", run_ids=(ids["moved"],)), "a move")
    await port.redrive_run(ids["bad"], "a", {"y": {"z": 3}}, None, None, "with a state")
    await port.rerun(ids["worse"], None, {"y": {"z": 4}}, "again")
    await port.discard_run(ids["worse"], "not needed")
    await port.trigger_schedule(ids["paused"], {"by": "hand"}, "")
    question = ids["q answered"]
    await port.answer(
        question.id, question.revision, Answer(outcome="answered", value="blue", comment="it's blue")
    )
    question = ids["q reassigned"]
    await port.reassign(question.id, question.revision, ["ana", "@ops"], "to others")
    await port.cancel_run(ids["cancelled"], "wrong")
    await port.start_run("quick", None, {"b": [1]}, "from here")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    await port.start_backfill(
        BackfillSpec(ids["paused"], start, start + timedelta(days=2), concurrency=2), "past"
    )


async def picture(engine: Engine) -> dict[str, Any]:
    """Return what the actions can change, without new ids and instants."""
    await until(lambda: settled(engine))
    aliases = await engine.aliases()
    return {
        "schedules": sorted(
            (each.id, repr(each.spec), each.paused and (each.paused.note, each.paused.until), each.skip_next)
            for each in await engine.schedules()
        ),
        "aliases": {each.name: [(side.version, side.weight) for side in each.sides] for each in aliases},
        "versions": sorted(
            (version.workflow, version.version, version.deprecated, version.successor)
            for workflow in await engine.workflows()
            for version in workflow.versions
        ),
        "runs": sorted(
            (run.workflow, run.version, run.status, run.trigger, run.note, run.dead_letter)
            for run in await engine.runs(RunQuery(limit=500))
        ),
        "requests": sorted(
            (each.run_id, each.status, str(each.answer), each.comment, each.assignees)
            for each in await engine.requests(RequestQuery(statuses=("open", "answered", "cancelled")))
        ),
        "backfills": [
            (each.spec.start, each.spec.concurrency, each.spec.redo, each.total)
            for each in await engine.backfills()
        ],
    }


async def settled(engine: Engine) -> bool:
    at_work = ("queued", "running", "pausing", "cancelling")
    busy = await engine.runs(RunQuery(statuses=at_work))
    return not busy


async def test_each_listed_command_does_what_the_action_did(tmp_path: Path) -> None:
    first = workspace(tmp_path, FILES)
    second = tmp_path / "copy"
    with acting_as(ME):
        engine = await open_engine(find(first, first / ".state"), fire=False)
        ids = await prepare(engine)
        await engine.close()
        shutil.copytree(first, second)
        trust(second)
        engine = await open_engine(find(first, first / ".state"), fire=False)
        session = Session(lambda: NOW)
        await act(session.recorded(engine), ids)
        expected = await picture(engine)
        await engine.close()
        commands = [each.command for each in reversed(session.done)]
        assert len(commands) == 19
        engine = await open_engine(find(second, second / ".state"), fire=False)
        try:
            for done, command in zip(reversed(session.done), commands, strict=True):
                assert command is not None, done.words
                words = [
                    "--workspace",
                    str(second),
                    "--state-dir",
                    str(second / ".state"),
                    *shlex.split(command)[1:],
                ]
                ended = await asyncio.to_thread(CliRunner().invoke, cli, words)
                assert ended.exit_code == 0, (command, ended.output, ended.exception)
            found = await picture(engine)
        finally:
            await engine.close()
    for part, value in expected.items():
        assert found[part] == value, part


async def test_what_was_done_is_undone_unless_it_changed_since(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await open_engine(find(root, root / ".state"), fire=False)
        try:
            ids = await prepare(engine)
            session = Session(lambda: NOW)
            port: Any = session.recorded(engine)
            before = (await picture(engine))["schedules"], (await engine.aliases())
            spec = (await port.schedule(ids["schedule"])).spec
            await port.edit_schedule(ids["schedule"], msgspec.structs.replace(spec, cron="7 7 * * *"))
            await port.add_schedule(ScheduleSpec("quick", cron="8 8 * * *"))
            await port.set_alias("job", "stable", "1.0.0")
            await port.promote_alias("job", "canary")
            await port.remove_alias("job", "old")
            await port.migrate_runs(MigrationSpec("job", "1.1.0", run_ids=(ids["moved"],)))
            assert (await engine.run(ids["moved"])).run.version == "1.1.0"
            for done in list(session.done):
                assert done.inverse is not None, done.words
                assert await changed_since(engine, done.name, done.arguments, done.result) is None
                name, arguments = done.inverse
                await getattr(engine, name)(**arguments)
            assert (await engine.run(ids["moved"])).run.version == "1.0.0"
            sides = [[(each.name, each.sides[0].version, len(each.sides)) for each in found]
                     for found in (before[1], await engine.aliases())]  # fmt: skip
            assert sides[0] == sides[1]
            assert (await picture(engine))["schedules"] == before[0]
            edit, alias = session.done[-1], session.done[-3]
            await engine.set_alias("job", "stable", "1.1.0")
            for done in (edit, alias):
                changed = await changed_since(engine, done.name, done.arguments, done.result)
                assert changed is not None
                assert "changed again" in changed
        finally:
            await engine.close()


SPECS = {
    "cron": ScheduleSpec("w", cron="0 4 * * *", version="^1.0", enabled=False, catchup="latest", catchup_window=60.0),
    "interval": ScheduleSpec("w", every_seconds=5400.0, anchor=NOW, max_runs=3, priority=-2, jitter=0.5),
    "days": ScheduleSpec("w", every_seconds=604800.0, every_at="08:15", timezone="America/New_York"),
    "once": ScheduleSpec("w", at=datetime(2030, 1, 1, 2, 30, tzinfo=UTC), description='"quoted" \\ é'),
    "after": ScheduleSpec("w", after=After(("a", "b"), "all", "completion", 30.0, "day", {"x": "a.y?"})),
    "expect": ScheduleSpec("w", cron="1 1 * * *", expect=Expect(10.0, None, "07:30"), pause_after_failures=3),
    "calendar": ScheduleSpec("w", cron="1 1 * * *", exclude=("holidays",), on_excluded="next_day", misfire_grace=1.0),
    "policies": ScheduleSpec("w", cron="1 1 * * *", overlap="buffer_all", wait_for_previous="success",
                             initial_state={"n": None, "t": "1"}, start_date=NOW, end_date=NOW + timedelta(days=1)),
}  # fmt: skip


@pytest.mark.parametrize("new", SPECS)
@pytest.mark.parametrize("old", SPECS)
def test_the_settings_of_a_command_turn_a_schedule_into_the_other(old: str, new: str) -> None:
    from victor_engine.cli.state_changes import read_settings

    words = changed_settings(SPECS[old], SPECS[new])
    found, problems = (
        changed_spec(SPECS[old], dict(read_settings(words[1::2]))) if words else (SPECS[old], [])
    )
    assert problems == []
    assert found == SPECS[new]
