"""The lifecycle of versions (deprecation, removal, restoration) and aliases (split, promotion, rollback)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import EventQuery, MigrationSpec, RunQuery, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, NotFoundError, UsageError
from victor_engine.versioning.aliases import AliasTarget, check_name, is_alias_name
from victor_engine.versioning.catalog import VersionRemovedError

REMOVAL = datetime(2027, 1, 31, tzinfo=UTC)


def flow(version: str, *, gate: bool = False, more: str = "") -> str:
    first = (
        "{id: ok, type: hitl, hitl_type: approval, prompt: 'go on?', next: [out]}"
        if gate
        else "{id: ok, type: transform, transform: 'n = 1', next: [out]}"
    )
    return f"""
workflows:
  w:
    version: {version}
    {more}
    nodes:
      - {first}
      - {{id: out, type: transform, transform: "v = '{version}'"}}
"""


FILES = {
    "workflows/w1.yaml": flow("1.0.0"),
    "workflows/w1_1.yaml": flow("1.1.0"),
    "workflows/w2.yaml": flow("2.0.0"),
}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with engine_on(workspace(tmp_path, FILES)) as found:
        yield found


async def statuses(engine: Engine) -> dict[str, str]:
    (workflow,) = await engine.workflows()
    return {version.version: version.status for version in workflow.versions}


async def events(engine: Engine, kind: str) -> list[Any]:
    return await engine.events(EventQuery(kinds=(kind,)))


async def test_a_new_run_on_a_deprecated_version_is_an_event(engine: Engine) -> None:
    info = await engine.deprecate("w", "1.0", "reads the old feed", "2.0.0", REMOVAL)
    assert (info.status, info.removal_at, info.successor) == ("deprecated", REMOVAL, "2.0.0")
    assert (await engine.start_run("w", "2.0.0")).version == "2.0.0"
    assert await events(engine, "version.notice") == []
    run = await engine.start_run("w", "1.0.0")
    (event,) = await events(engine, "version.notice")
    assert (event.run_id, event.data) == (
        run.id,
        {"version": "1.0.0", "message": "reads the old feed", "successor": "2.0.0"},
    )
    assert event.actor.user == "me"


async def test_uses_of_a_deprecated_version_are_reported(tmp_path: Path) -> None:
    files = {"workflows/a.yaml": flow("1.0.0", gate=True), "workflows/b.yaml": flow("2.0.0", gate=True)}
    async with engine_on(workspace(tmp_path, files)) as engine:
        run = await engine.start_run("w", "1.0.0")
        schedule = await engine.add_schedule(ScheduleSpec(workflow="w", cron="@daily", version="1.0.0"))
        assert (run.deprecated, (await engine.schedule(schedule.id)).deprecated) == (None, None)
        await engine.deprecate("w", "1.0.0", "reads the old feed", "2.0.0")
        told = "reads the old feed; use 2.0.0"
        assert (await engine.start_run("w", "1.0.0")).deprecated == told
        assert {found.deprecated for found in await engine.runs(RunQuery())} == {told}
        assert (await engine.schedule(schedule.id)).deprecated == told
        await engine.remove_version("w", "1.0.0", "gone")
        assert (await engine.schedule(schedule.id)).deprecated == "gone; use 2.0.0"
        await engine.cancel_run(run.id)
        await until_end(engine, run.id)
        assert (await engine.run(run.id)).run.deprecated is None


async def test_runs_cannot_start_on_a_removed_version_and_active_runs_continue(tmp_path: Path) -> None:
    files = {"workflows/w1.yaml": flow("1.0.0", gate=True), "workflows/w2.yaml": flow("2.0.0")}
    async with engine_on(workspace(tmp_path, files)) as engine:
        old = await engine.start_run("w", "1.0.0")
        await engine.deprecate("w", "1.0.0", "reads the old feed", "2.0.0")
        info = await engine.remove_version("w", "1.0.0")
        assert (info.status, info.removed, info.active_runs) == ("removed", "reads the old feed", 1)
        for start in (
            engine.start_run("w", "1.0.0"),
            engine.rerun(old.id),
            engine.start_run("w", "^1"),
            engine.add_schedule(ScheduleSpec(workflow="w", cron="@daily", version="1.0.0")),
        ):
            with pytest.raises(VersionRemovedError, match=r"is removed.*reads the old feed\. Use 2\.0\.0"):
                await start
        assert (await engine.start_run("w")).version == "2.0.0"
        assert (await engine.cancel_run(old.id)).status == "cancelled"
        assert (await engine.restore_version("w", "1.0.0")).status == "drained"
        assert (await engine.start_run("w", "1.0.0")).version == "1.0.0"


async def test_a_fire_on_a_removed_version_is_skipped_with_the_message(engine: Engine) -> None:
    added = await engine.add_schedule(ScheduleSpec(workflow="w", cron="0 9 * * *", version="1.0.0"))
    await engine.remove_version("w", "1.0.0", "gone for good")
    with pytest.raises(VersionRemovedError, match="gone for good"):
        await engine.trigger_schedule(added.id)

    def fire(tx: Any) -> None:
        from victor_engine.scheduling import stored_schedules
        from victor_engine.scheduling.timing import Nominal

        row = stored_schedules.get(tx, added.id)
        engine.scheduler.firing(tx).fire(row, Nominal(tx.now, "2026-01-01T09:00", 0))

    await engine.store.write(fire)
    (decided,) = await engine.fires(added.id)
    assert decided.outcome == "skipped"
    assert (
        decided.reason == "cannot start: w 1.0.0 is removed, and new runs cannot start on it: gone for good"
    )


async def test_each_status(tmp_path: Path) -> None:
    files = {
        "workflows/w1.yaml": flow("1.0.0", gate=True),
        "workflows/w1_1.yaml": flow("1.1.0"),
        "workflows/w1_2.yaml": flow("1.2.0"),
        "workflows/w2.yaml": flow("2.0.0"),
        "workflows/w3.yaml": flow("3.0.0-rc.1"),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        await engine.start_run("w", "1.0.0")
        done = await engine.start_run("w", "1.1.0")
        await until_end(engine, done.id)
        await engine.set_alias("w", "canary", "2.0.0", "3.0.0-rc.1", 10)
        assert await statuses(engine) == {
            "3.0.0-rc.1": "ramping",
            "2.0.0": "current",
            "1.2.0": "unused",
            "1.1.0": "drained",
            "1.0.0": "draining",
        }
        await engine.add_schedule(ScheduleSpec(workflow="w", cron="@daily", version="~1.2"))
        await engine.deprecate("w", "1.1.0", "old")
        await engine.remove_version("w", "1.0.0", "older")
        found = await statuses(engine)
        assert (found["1.2.0"], found["1.1.0"], found["1.0.0"]) == ("current", "deprecated", "removed")


async def test_a_file_declares_message_successor_and_removal(tmp_path: Path) -> None:
    more = "deprecated: {message: reads the old feed, successor: 2.0.0, removal: 2027-01-31}"
    root = workspace(tmp_path, {"workflows/w1.yaml": flow("1.0.0", more=more)})
    for _ in range(2):
        async with engine_on(root) as engine:
            ((info,),) = [found.versions for found in await engine.workflows()]
            assert (info.deprecated, info.successor, info.removal_at) == (
                "reads the old feed",
                "2.0.0",
                REMOVAL,
            )
            assert len(await events(engine, "version.deprecated")) == 1


# --- aliases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1", "1.2", "v1", "^1.2", "1.x", "x", "*", "latest", "Stable", "a b", ""])
def test_the_name_of_an_alias_must_not_be_a_version_or_a_range(name: str) -> None:
    assert not is_alias_name(name) or name == "v1"
    with pytest.raises(UsageError, match="cannot name an alias"):
        check_name(name)


def test_the_choice_depends_on_the_seed_and_follows_the_weight() -> None:
    pointing = AliasTarget(7, "1.0.0", "2.0.0", 20)
    seeds = [f"run{n}" for n in range(5000)]
    first = [pointing.choose(seed) for seed in seeds]
    assert first == [pointing.choose(seed) for seed in seeds]
    assert 0.17 < Counter(first)["2.0.0"] / len(seeds) < 0.23
    assert pointing.choose(None) == "1.0.0"
    wider = AliasTarget(7, "1.0.0", "2.0.0", 60)
    assert all(wider.choose(s) == "2.0.0" for s, c in zip(seeds, first, strict=True) if c == "2.0.0")


async def test_an_alias_works_as_a_version_and_counts_the_results_of_each_side(
    engine: Engine,
) -> None:
    await engine.set_alias("w", "stable", "1.1")
    assert (await engine.definition("w", "stable")).version == "1.1.0"
    added = await engine.add_schedule(ScheduleSpec(workflow="w", cron="@daily", version="stable"))
    assert (await engine.schedule(added.id)).resolved_version == "1.1.0"
    assert (await engine.trigger_schedule(added.id)).version == "1.1.0"
    await engine.set_alias("w", "stable", "1.1.0", "2.0.0", 50, "half")
    runs = [await engine.start_run("w", "stable") for _ in range(24)]
    for run in runs:
        await until_end(engine, run.id)
    (info,) = await engine.aliases("w")
    assert (info.set_by, info.note, info.schedules, info.rolls_back_to) == ("me", "half", 1, "1.1.0")
    counts = Counter(run.version for run in runs)
    assert {side.version: side.runs for side in info.sides if side.runs} == counts
    assert len(counts) == 2
    for side in info.sides:
        assert (side.weight, side.succeeded, side.failed, side.active) == (50, side.runs, 0, 0)
        assert side.success_rate == 1.0
        assert side.p50_seconds is not None
    pointing = AliasTarget((await _pointing(engine)), "1.1.0", "2.0.0", 50)
    assert [pointing.choose(run.id) for run in runs] == [run.version for run in runs]


async def _pointing(engine: Engine) -> int:
    return int(await engine.store.read(lambda c: c.execute("SELECT pointing_id FROM aliases").fetchone()[0]))


async def test_promote_and_roll_back_keep_the_history(engine: Engine) -> None:
    await engine.set_alias("w", "stable", "1.0.0")
    await engine.set_alias("w", "stable", "1.0.0", "1.1.0", 10)
    assert (await engine.promote_alias("w", "stable", note="good")).version == "1.1.0"
    await engine.set_alias("w", "stable", "1.1.0", "2.0.0", 10)
    assert (await engine.roll_back_alias("w", "stable")).version == "1.1.0"
    with pytest.raises(ConflictError, match="not split"):
        await engine.promote_alias("w", "stable")
    back = await engine.roll_back_alias("w", "stable", "bad")
    assert (back.version, back.rolls_back_to) == ("1.0.0", None)
    with pytest.raises(ConflictError, match="cannot be rolled back"):
        await engine.roll_back_alias("w", "stable")
    await engine.set_alias("w", "canary", "2.0.0")
    assert (await engine.promote_alias("w", "canary", "stable")).version == "2.0.0"
    assert [entry.action for entry in await engine.alias_history("w", "stable")] == [
        "promote", "roll_back", "roll_back", "set", "promote", "set", "set",
    ]  # fmt: skip
    changed = await events(engine, "alias.changed")
    assert changed[-3].data == {
        "alias": "stable", "to": "1.1.0", "was": "1.0.0 90% / 1.1.0 10%", "action": "promote", "note": "good",
    }  # fmt: skip
    assert all(event.actor.user == "me" for event in changed)


async def test_invalid_aliases_are_refused(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match=r"has no version 9\.0\.0"):
        await engine.set_alias("w", "stable", "9.0.0")
    with pytest.raises(UsageError, match="1 to 99"):
        await engine.set_alias("w", "stable", "1.0.0", "2.0.0", 100)
    with pytest.raises(UsageError, match="must differ"):
        await engine.set_alias("w", "stable", "1.0.0", "1.0", 10)
    with pytest.raises(NotFoundError, match="no alias 'stabel'"):
        await engine.start_run("w", "stabel")
    await engine.set_alias("w", "stable", "1.0.0")
    with pytest.raises(ConflictError, match="alias stable of w points at 1"):
        await engine.remove_version("w", "1.0.0")
    added = await engine.add_schedule(ScheduleSpec(workflow="w", cron="@daily", version="stable"))
    with pytest.raises(ConflictError, match="is used by"):
        await engine.remove_alias("w", "stable")
    await engine.remove_schedule(added.id)
    await engine.remove_alias("w", "stable")
    assert await engine.aliases() == []
    await engine.remove_version("w", "1.0.0")
    with pytest.raises(ConflictError, match="is removed"):
        await engine.set_alias("w", "stable", "1.0.0")


async def test_the_difference_shows_nodes_that_a_migration_renames(tmp_path: Path) -> None:
    def nodes(version: str, *names: str, more: str = "") -> str:
        listed = "".join(
            f"          - {{id: {name}, type: transform, transform: 'n{number} = 1', next: [{following}]}}\n"
            for number, (name, following) in enumerate(pairwise(names))
        )
        return f"""
    workflows:
      w:
        version: {version}
{more}        nodes:
{listed}          - {{id: {names[-1]}, type: transform, transform: "end = 1"}}
    """

    def rename(start: str, old: str, new: str) -> str:
        return f"        migrations: [{{from: {start}, steps: [{{type: rename_node, from: {old}, to: {new}}}]}}]\n"

    files = {
        "workflows/a.yaml": nodes("1.0.0", "ok", "mid", "out"),
        "workflows/b.yaml": nodes("1.1.0", "ok", "middle", "out", more=rename("1.0.0", "mid", "middle")),
        "workflows/c.yaml": nodes(
            "1.2.0", "ok", "center", "out", more=rename("1.1.0", "middle", "center")
        ).replace("n1 = 1", "n1 = 2"),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        found = await engine.diff_versions("w", "1.0.0", "1.2.0")
        texts = [line.text for line in found.lines]
        assert texts == [
            "~ node mid is renamed to center",
            "~ node center.transform: n1 = 1 -> n1 = 2",
        ]
        assert found.marks == {"mid": "changed", "center": "changed"}
        back = await engine.diff_versions("w", "1.1.0", "1.0.0")
        assert [line.text for line in back.lines] == ["~ node middle is renamed to mid"]


async def test_the_difference_lists_nodes_edges_and_limits(tmp_path: Path) -> None:
    new = """
    workflows:
      w:
        version: 2.0.0
        max_iterations: 7
        nodes:
          - {id: ok, type: transform, transform: "n = 2", next: [mid]}
          - {id: mid, type: transform, transform: "m = 1", next: [out]}
          - {id: out, type: transform, transform: "v = '1.0.0'"}
    """
    root = workspace(tmp_path, {"workflows/a.yaml": flow("1.0.0"), "workflows/b.yaml": new})
    async with engine_on(root) as engine:
        found = await engine.diff_versions("w", "1.0", "latest")
        assert (found.old, found.new) == ("1.0.0", "2.0.0")
        assert [line.text for line in found.lines if line.section in ("limits", "nodes", "edges")] == [
            "+ max_iterations = 7",
            "~ node ok.transform: n = 1 -> n = 2",
            "+ node mid = transform",
            "- ok -> out",
            "+ ok -> mid",
            "+ mid -> out",
        ]
        assert found.marks == {"ok": "changed", "mid": "added"}


async def test_latest_is_a_prerelease_only_if_all_versions_are(tmp_path: Path) -> None:
    files = {"workflows/a.yaml": flow("1.0.0"), "workflows/b.yaml": flow("2.0.0-rc.1")}
    async with engine_on(workspace(tmp_path, files)) as engine:
        assert (await engine.start_run("w")).version == "1.0.0"
        await engine.deprecate("w", "1.0.0", "old")
        assert (await engine.start_run("w")).version == "1.0.0"
        assert [v.version for v in (await engine.workflows())[0].versions if v.current] == ["1.0.0"]
        await engine.remove_version("w", "1.0.0", "gone")
        assert (await engine.start_run("w")).version == "2.0.0-rc.1"


async def test_a_registered_migration_never_changes(tmp_path: Path) -> None:
    """Neither an edited file nor another migration that contradicts its reverse changes it."""

    def migration(default: int) -> str:
        return (
            f"migrations: [{{from: 1.0.0, breaking: true, steps: [{{type: add_field, field: n, default: {default}}}],"
            " reverse: [{type: remove_field, field: n}]}]"
        )

    root = workspace(
        tmp_path,
        {"workflows/w1.yaml": flow("1.0.0"), "workflows/w2.yaml": flow("2.0.0", more=migration(1))},
    )
    async with engine_on(root) as engine:
        assert (await engine.preview_migration("w", "1.0.0", "2.0.0", {})).after == {"n": 1}
    (root / "workflows" / "w2.yaml").write_text(flow("2.0.0", more=migration(2)))
    back = "migrations: [{from: 2.0.0, to: 1.0.0, downgrade: true, breaking: true}]"
    (root / "workflows" / "w3.yaml").write_text(flow("2.1.0", more=back))
    async with engine_on(root) as engine:
        assert (await engine.preview_migration("w", "1.0.0", "2.0.0", {})).after == {"n": 1}
        (workflow,) = await engine.workflows()
        assert [version.version for version in workflow.versions] == ["2.0.0", "1.0.0"]
        messages = " ".join(problem.message for problem in workflow.problems)
        assert "migration 1.0.0->2.0.0 is registered with different steps" in messages
        assert "a different migration 2.0.0->1.0.0 exists already" in messages


async def test_the_registration_of_a_migration_is_one_event(tmp_path: Path) -> None:
    way = "migrations: [{from: 1.0.0, steps: [{type: add_field, field: size, default: 3}]}]"
    root = workspace(
        tmp_path, {"workflows/w1.yaml": flow("1.0.0"), "workflows/w2.yaml": flow("1.1.0", more=way)}
    )
    for _ in range(2):
        async with engine_on(root) as engine:
            (event,) = await events(engine, "version.migration")
            (edge,) = await engine.migration_graph("w")
    assert event.workflow == "w"
    assert event.data == {
        "from_version": edge.from_version, "to_version": edge.to_version, "steps": 1, "checksum": edge.checksum,
    }  # fmt: skip
    assert (edge.from_version, edge.to_version) == ("1.0.0", "1.1.0")


async def test_a_removal_acts_when_its_date_passes(tmp_path: Path) -> None:
    """At once for new runs, and stored by the engine, also if an alias points at the version."""
    clock = FakeClock(datetime(2027, 1, 30, tzinfo=UTC))
    async with engine_on(workspace(tmp_path, FILES), clock=clock) as engine:
        await engine.set_alias("w", "stable", "1.0.0")
        await engine.deprecate("w", "1.0.0", "use 2", "2.0.0", REMOVAL)
        assert (await engine.start_run("w", "1.0.0")).version == "1.0.0"
        await clock.advance(86_400)
        for version in ("1.0.0", "stable"):
            with pytest.raises(VersionRemovedError, match="use 2"):
                await engine.start_run("w", version)
        while not await events(engine, "version.removed"):
            await asyncio.sleep(0)
        assert (await statuses(engine))["1.0.0"] == "removed"


async def test_a_removal_whose_date_passed_without_an_engine(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_on(root, clock=FakeClock(datetime(2027, 1, 30, tzinfo=UTC))) as engine:
        await engine.deprecate("w", "1.0.0", "use 2", "2.0.0", REMOVAL)
    async with engine_on(root, clock=FakeClock(datetime(2027, 2, 2, tzinfo=UTC))) as engine:
        assert (await statuses(engine))["1.0.0"] == "removed"
        (event,) = await events(engine, "version.removed")
        assert event.data["message"] == "use 2"


async def test_a_promotion_of_the_first_split_can_be_rolled_back(engine: Engine) -> None:
    await engine.set_alias("w", "stable", "1.0.0", "2.0.0", 10)
    (before,) = await engine.aliases("w")
    assert before.rolls_back_to == "1.0.0"
    promoted = await engine.promote_alias("w", "stable")
    assert promoted.rolls_back_to == "1.0.0"
    back = await engine.roll_back_alias("w", "stable")
    assert [(side.version, side.weight) for side in back.sides] == [("1.0.0", 100)]
    with pytest.raises(ConflictError, match="the only version"):
        await engine.roll_back_alias("w", "stable")


async def test_a_version_whose_runs_moved_away_is_drained(tmp_path: Path) -> None:
    files = {
        "workflows/w1.yaml": flow("1.0.0", gate=True),
        "workflows/w2.yaml": flow("2.0.0", gate=True, more="migrations: [{from: 1.0.0, steps: []}]"),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        run = await engine.start_run("w", "1.0.0")
        await question(engine, run.id)
        report = await engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=(run.id,)))
        assert [move.outcome for move in report.runs] == ["migrated"]
        assert (await statuses(engine))["1.0.0"] == "drained"


async def test_the_short_form_of_a_version_is_the_same_version(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"workflows/w.yaml": flow("1.0.0")})
    async with engine_on(root) as engine:
        (root / "workflows/w.yaml").write_text(flow("1.0.0").replace("version: 1.0.0", "version: '1.0'"))
        assert await engine.reload() == []
        (known,) = await engine.workflows()
        assert [version.version for version in known.versions] == ["1.0.0"]
