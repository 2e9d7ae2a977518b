"""Migrations of waiting runs: each type of step on a real run whose position the step affects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import msgspec
import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine import jsonio
from victor_engine.api import (
    Answer,
    EventQuery,
    MigrationSpec,
    RequestQuery,
    RunInfo,
    RunMove,
    RunQuery,
    ScheduleSpec,
)
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, NotFoundError, UntrustedError, VictorError
from victor_engine.store.state import run_state
from victor_engine.versioning import MigrationError
from victor_engine.work import migration_worker

V1 = """
  - {id: first, type: transform, transform: "a = 1", next: [ok]}
  - {id: ok, type: hitl, hitl_type: approval, prompt: "Ship {a}?", timeout: 4h, next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""


def file(version: str, nodes: str, *migrations: str, more: str = "") -> str:
    listed = "".join(f"\n      - {text}" for text in migrations)
    return (
        f"workflows:\n  w:\n    version: {version}\n"
        + (f"    {more}\n" if more else "")
        + (f"    migrations:{listed}\n" if migrations else "")
        + f"    nodes:\n{indent(nodes.strip(chr(10)), '    ')}\n"
    )


def to_2(*steps: str, reverse: tuple[str, ...] = ()) -> str:
    back = f", reverse: [{', '.join(reverse)}]" if reverse else ""
    return f"{{from_version: 1.0.0, to_version: 2.0.0, breaking: true, steps: [{', '.join(steps)}]{back}}}"


def two(tmp_path: Path, nodes: str, *migrations: str, old: str = V1, **more: str) -> Path:
    files = {"workflows/a.yaml": file("1.0.0", old), "workflows/b.yaml": file("2.0.0", nodes, *migrations)}
    return workspace(tmp_path, files | more)


async def waiting(engine: Engine, state: dict[str, Any] | None = None) -> tuple[str, Any]:
    run = await engine.start_run("w", "1.0.0", state or {})
    return run.id, await question(engine, run.id)


async def row(engine: Engine, run_id: str) -> Any:
    """Return all stored rows of a run, with its attempts and requests."""
    return await engine.store.read(
        lambda c: [
            c.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchall(),
            c.execute(
                "SELECT a.* FROM attempts a JOIN runs r ON r.key = a.run_key WHERE r.id = ?", (run_id,)
            ).fetchall(),
            c.execute(
                "SELECT q.* FROM requests q JOIN runs r ON r.key = q.run_key WHERE r.id = ?", (run_id,)
            ).fetchall(),
        ]
    )


async def move(engine: Engine, *run_ids: str, to: str = "2.0.0") -> list[RunMove]:
    """Do a dry run, check that it changes nothing, and return its prediction."""
    spec = MigrationSpec("w", to, run_ids=run_ids)
    before = [await row(engine, run_id) for run_id in run_ids]
    planned = await engine.plan_migration(spec)
    assert [await row(engine, run_id) for run_id in run_ids] == before
    done = await engine.migrate_runs(spec, "a note")
    for plan, did in zip(planned.runs, done.runs, strict=True):
        assert (plan.outcome == "ready") is (did.outcome == "migrated"), did
        assert (plan.reason, plan.steps, plan.goes_on_at) == (did.reason, did.steps, did.goes_on_at)
    return list(done.runs)


async def refused(engine: Engine, run_id: str) -> str:
    """Return the reason why a run is not moved, and check that its rows do not change."""
    before = await row(engine, run_id)
    (result,) = await move(engine, run_id)
    assert result.outcome == "refused"
    assert await row(engine, run_id) == before
    return result.reason


async def answer_and_end(engine: Engine, run_id: str, outcome: str = "approved") -> Any:
    async with asyncio.timeout(20):
        while not (asked := await engine.requests(RequestQuery(run_id=run_id, statuses=("open",)))):
            await question(engine, run_id)
    (request,) = asked
    await engine.answer(request.id, request.revision, Answer(outcome=outcome))
    found = await until_end(engine, run_id)
    assert (found.run.version, found.run.status) == ("2.0.0", "succeeded"), found.run
    return found


def path_of(found: Any) -> list[str]:
    return [
        attempt.node_id
        for attempt in found.attempts
        if attempt.status == "succeeded" and attempt.node_id[0] != "@"
    ]


# --- nodes -------------------------------------------------------------------------------------


async def test_add_node_before_the_current_node(tmp_path: Path) -> None:
    nodes = (
        V1.replace("next: [ok]", "next: [check]")
        + """
  - {id: check, type: transform, transform: "checked = 1", next: [ok]}
"""
    )
    async with engine_on(two(tmp_path, nodes, to_2("{type: add_node, node: check, before: ok}"))) as engine:
        run_id, asked = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert (result.stands_on, result.goes_on_at) == (("ok",), ("check",))
        assert result.steps[0].position == "is at ok: executes check first"
        assert (await engine.request(asked.id)).status == "withdrawn"
        found = await answer_and_end(engine, run_id)
        assert path_of(found) == ["first", "check", "ok", "out"]
        assert found.state["checked"] == 1


async def test_remove_node_needs_a_node_at_which_to_continue(tmp_path: Path) -> None:
    nodes = """
  - {id: first, type: transform, transform: "a = 1", next: [sign]}
  - {id: sign, type: hitl, hitl_type: confirmation, prompt: "Sign {a}", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
    root = two(tmp_path, nodes, to_2("{type: remove_node, node: ok, to: sign}"))
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.goes_on_at == ("sign",)
        assert result.questions == ("ok: withdrawn, because ok is not in the new position of the run",)
        assert "removed" in result.timers[0]
        assert path_of(await answer_and_end(engine, run_id, "confirmed")) == ["first", "sign", "out"]


async def test_remove_node_without_a_node_at_which_to_continue(tmp_path: Path) -> None:
    nodes = """
  - {id: first, type: transform, transform: "a = 1", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
    async with engine_on(two(tmp_path, nodes, to_2("{type: remove_node, node: ok}"))) as engine:
        run_id, asked = await waiting(engine)
        assert "the run is at 'ok', which is removed" in await refused(engine, run_id)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        found = await until_end(engine, run_id)
        assert (found.run.version, found.run.status) == ("1.0.0", "succeeded")


async def test_rename_node_keeps_the_request(tmp_path: Path) -> None:
    nodes = V1.replace("id: ok", "id: approve").replace("[ok]", "[approve]")
    async with engine_on(two(tmp_path, nodes, to_2("{type: rename_node, from: ok, to: approve}"))) as engine:
        run_id, asked = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.questions == ("ok: stays open",)
        assert "stays" in result.timers[0]
        still = await engine.request(asked.id)
        assert (still.status, still.node_id, still.deadline) == ("open", "approve", asked.deadline)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        found = await until_end(engine, run_id)
        assert (found.run.version, path_of(found)) == ("2.0.0", ["first", "approve", "out"])
        assert found.state["approve"] is True
        assert [a.version for a in found.attempts] == ["1.0.0", "2.0.0", "2.0.0"]


async def test_modify_node_opens_a_new_request_if_the_question_changes(tmp_path: Path) -> None:
    nodes = V1.replace("Ship {a}?", "Really ship {a}?")
    async with engine_on(two(tmp_path, nodes, to_2("{type: modify_node, node: ok}"))) as engine:
        run_id, asked = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.questions == ("ok: opened again, because its content is different",)
        assert (await engine.request(asked.id)).status == "withdrawn"
        found = await answer_and_end(engine, run_id)
        assert [request.prompt for request in found.requests] == ["Really ship 1?", "Ship 1?"]


async def test_a_node_of_another_type_withdraws_the_request(tmp_path: Path) -> None:
    nodes = V1.replace(
        'type: hitl, hitl_type: approval, prompt: "Ship {a}?", timeout: 4h',
        'type: transform, transform: "b = 2"',
    )
    async with engine_on(two(tmp_path, nodes, to_2("{type: modify_node, node: ok}"))) as engine:
        run_id, _ = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.questions == ("ok: opened again, because it is a transform node now",)
        found = await until_end(engine, run_id)
        assert (found.run.status, found.state["b"]) == ("succeeded", 2)


# --- edges and start ---------------------------------------------------------------------------


async def test_a_run_at_the_source_of_a_new_edge_takes_it(tmp_path: Path) -> None:
    nodes = (
        V1.replace("next: [out]", "next: [out, tell]")
        + """
  - {id: tell, type: transform, transform: "told = 1"}
"""
    )
    steps = to_2("{type: add_node, node: tell}", "{type: add_edge, from: ok, to: tell}")
    async with engine_on(two(tmp_path, nodes, steps)) as engine:
        run_id, _ = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.steps[1].position == "is at ok: may continue over the new edge to tell"
        assert (await answer_and_end(engine, run_id)).state["told"] == 1


async def test_an_edge_that_the_version_does_not_have_is_refused(tmp_path: Path) -> None:
    # Declared with the old version, where nothing is known yet of the one that it leads to.
    steps = to_2("{type: add_edge, from: first, to: out}")
    files = {"workflows/a.yaml": file("1.0.0", V1, steps), "workflows/b.yaml": file("2.0.0", V1 + "\n")}
    async with engine_on(workspace(tmp_path, files)) as engine:
        run_id, _ = await waiting(engine)
        assert "which has no edge from 'first' to 'out'" in await refused(engine, run_id)


CUT = """
  - {id: first, type: transform, transform: "a = 1", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""


async def test_remove_edge_needs_a_node_for_runs_that_are_cut_off(tmp_path: Path) -> None:
    files = {
        "workflows/c.yaml": file(
            "3.0.0",
            CUT,
            "{from: 1.0.0, to: 3.0.0, breaking: true, steps: [{type: remove_edge, from: first, to: ok, node: out}]}",
        )
    }
    root = two(tmp_path, CUT, to_2("{type: remove_edge, from: first, to: ok}"), **files)
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        assert "which cannot be reached without the edge from 'first'" in await refused(engine, run_id)
        (result,) = await move(engine, run_id, to="3.0.0")
        assert result.goes_on_at == ("out",)
        found = await until_end(engine, run_id)
        assert (found.run.version, path_of(found)) == ("3.0.0", ["first", "out"])


async def test_change_start_moves_a_run_that_has_not_executed_a_node(tmp_path: Path) -> None:
    old = """
  - {id: ok, type: hitl, hitl_type: approval, prompt: "Begin?", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
    nodes = """
  - {id: prepare, type: transform, transform: "a = 1", next: [ok]}
  - {id: ok, type: hitl, hitl_type: approval, prompt: "Begin?", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
    steps = to_2("{type: add_node, node: prepare}", "{type: change_start, node: prepare}")
    async with engine_on(two(tmp_path, nodes, steps, old=old)) as engine:
        run_id, _ = await waiting(engine)
        (result,) = await move(engine, run_id)
        assert result.goes_on_at == ("prepare",)
        assert path_of(await answer_and_end(engine, run_id)) == ["prepare", "ok", "out"]


# --- state -------------------------------------------------------------------------------------


async def test_fields_are_added_removed_and_renamed(tmp_path: Path) -> None:
    steps = to_2(
        "{type: add_field, field: opts.region, default: eu}",
        "{type: remove_field, field: old}",
        "{type: rename_field, from: a, to: opts.a}",
    )
    nodes = V1.replace("Ship {a}?", "Ship {opts.a}?")
    async with engine_on(two(tmp_path, nodes, steps)) as engine:
        run_id, asked = await waiting(engine, {"old": 1, "kept": [1]})
        (result,) = await move(engine, run_id)
        assert [step.changes for step in result.steps] == [
            ('+ opts = {"region":"eu"}',),
            ("- old = 1",),
            ("- a = 1", "+ opts.a = 1"),
        ]
        assert (await engine.request(asked.id)).status == "open"  # it reads the same
        found = await answer_and_end(engine, run_id)
        assert found.state["opts"] == {"region": "eu", "a": 1}
        assert (found.state["kept"], "old" in found.state, "a" in found.state) == ([1], False, False)


async def test_a_rename_to_an_existing_field_is_refused(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, V1 + "\n", to_2("{type: rename_field, from: a, to: b}"))) as engine:
        run_id, _ = await waiting(engine, {"b": 2})
        reason = await refused(engine, run_id)
        assert reason.startswith(
            "1.0.0->2.0.0, step 1 (rename field a to b): rename_field: 'a' cannot become 'b', because 'b' exists already"
        )


WORK = """
def double(state):
    state["a"] = state["a"] * 2
    return state

def fail(state):
    state.clear()
    raise RuntimeError("no")

def nothing(state):
    return None
"""


async def test_a_custom_step_gets_a_copy_and_its_failures_change_nothing(tmp_path: Path) -> None:
    files = {
        "moves.py": WORK,
        "workflows/c.yaml": file(
            "3.0.0",
            V1,
            "{from: 1.0.0, to: 3.0.0, breaking: true, steps: [{type: custom, handler: 'moves:fail'}]}",
        ),
        "workflows/d.yaml": file(
            "4.0.0",
            V1,
            "{from: 1.0.0, to: 4.0.0, breaking: true, steps: [{type: custom, handler: 'moves:nothing'}]}",
        ),
    }
    root = two(tmp_path, V1 + "\n", to_2("{type: custom, handler: 'moves:double'}"), **files)
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        for version, why in (("3.0.0", "RuntimeError: no"), ("4.0.0", "returned a value of type NoneType")):
            before = await row(engine, run_id)
            (result,) = await move(engine, run_id, to=version)
            assert result.outcome == "refused"
            assert why in result.reason
            assert await row(engine, run_id) == before
        await move(engine, run_id)
        assert (await answer_and_end(engine, run_id)).state["a"] == 2


async def test_a_dead_letter_is_redriven_on_another_version_through_a_custom_step(tmp_path: Path) -> None:
    """The function comes from the workspace there too, and a failure changes nothing."""
    failing = V1.replace('"done = 1"', '"done = nowhere"')
    broken = "{from: 1.0.0, to: 3.0.0, breaking: true, steps: [{type: custom, handler: 'moves:fail'}]}"
    files = {"moves.py": WORK, "workflows/c.yaml": file("3.0.0", V1, broken)}
    root = two(tmp_path, V1 + "\n", to_2("{type: custom, handler: 'moves:double'}"), old=failing, **files)
    async with engine_on(root) as engine:
        run_id, asked = await waiting(engine)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await until_end(engine, run_id)).run.status == "failed"
        before = await row(engine, run_id)
        with pytest.raises(MigrationError, match="RuntimeError: no"):
            await engine.redrive_run(run_id, version="3.0.0")
        assert await row(engine, run_id) == before
        await engine.redrive_run(run_id, version="2.0.0")
        found = await until_end(engine, run_id)
        assert (found.run.status, found.state["a"], found.state["done"]) == ("succeeded", 2, 1)


ENDLESS = """
import os
import time

def loop(state):
    while True:
        pass

def leave(state):
    os._exit(0)

def change(state):
    return state | {"a": 5}
"""


async def test_a_function_that_never_returns_or_ends_its_process_does_not_stop_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_worker, "SECONDS", 3)
    failing = V1.replace('"done = 1"', '"done = nowhere"')
    edges = {
        "c": ("3.0.0", "{type: custom, handler: 'moves:loop'}"),
        "d": ("4.0.0", "{type: custom, handler: 'moves:leave'}"),
    }
    files = {
        f"workflows/{name}.yaml": file(
            version, V1, f"{{from: 1.0.0, to: {version}, breaking: true, steps: [{step}]}}"
        )
        for name, (version, step) in edges.items()
    }
    root = two(tmp_path, V1, old=failing, **files, **{"moves.py": ENDLESS})
    async with engine_on(root) as engine:
        run_id, asked = await waiting(engine)
        before = await row(engine, run_id)
        slow = asyncio.ensure_future(engine.plan_migration(MigrationSpec("w", "3.0.0", run_ids=(run_id,))))
        assert await row(engine, run_id) == before  # the store answers meanwhile
        assert not slow.done()
        (moved,) = (await slow).runs
        assert moved.outcome == "refused"
        assert "1.0.0->3.0.0, step 1" in moved.reason
        assert "within 3 seconds" in moved.reason
        (moved,) = await move(engine, run_id, to="4.0.0")
        assert "step 1" in moved.reason
        assert "ended before the function returned" in moved.reason

        schedule = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="1.0.0"))
        spec = MigrationSpec("w", "4.0.0", schedule_ids=(schedule.id,))
        (kept,) = (await engine.migrate_runs(spec)).schedules
        assert (kept.outcome, "ended before the function returned" in kept.reason) == ("refused", True)

        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await until_end(engine, run_id)).run.status == "failed"
        before = await row(engine, run_id)
        with pytest.raises(MigrationError, match="ended before the function returned"):
            await engine.redrive_run(run_id, version="4.0.0")
        assert await row(engine, run_id) == before


async def test_a_function_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    root = two(tmp_path, V1 + "\n", to_2("{type: custom, handler: 'moves:change'}"), **{"moves.py": ENDLESS})
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        schedule = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="1.0.0"))
        spec = MigrationSpec("w", "2.0.0", run_ids=(run_id,), schedule_ids=(schedule.id,))
        assert "5" in str((await engine.plan_migration(spec)).runs[0].steps)
        (root / "moves.py").write_text(ENDLESS.replace("5", "6"))
        done = await engine.migrate_runs(spec)
        assert (done.runs[0].outcome, done.schedules[0].outcome) == ("migrated", "migrated")
        assert (await answer_and_end(engine, run_id)).state["a"] == 6
        changed = await engine.schedule(schedule.id)
        assert (changed.spec.version, changed.spec.initial_state) == ("2.0.0", {"a": 6})


async def test_a_custom_step_of_a_workspace_that_is_not_trusted_is_not_executed(tmp_path: Path) -> None:
    from victor_engine.service.connect import find
    from victor_engine.service.read_only import ReadOnlyPort

    root = two(tmp_path, V1 + "\n", to_2("{type: custom, handler: 'moves:double'}"), **{"moves.py": WORK})
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
    paths = find(root, root / ".state")
    port = ReadOnlyPort(paths.db_path, workspace=root)
    (result,) = (await port.plan_migration(MigrationSpec("w", "2.0.0", run_ids=(run_id,)))).runs
    assert "trust the workspace" in result.reason
    with pytest.raises(UntrustedError):
        await port.preview_migration("w", "1.0.0", "2.0.0", {"a": 1})
    await port.close()


# --- what else can be --------------------------------------------------------------------------


RENAME = to_2(
    "{type: rename_node, from: ok, to: approve}",
    "{type: add_field, field: region, default: eu}",
    reverse=("{type: remove_field, field: region}", "{type: rename_node, from: approve, to: ok}"),
)
RENAMED = V1.replace("id: ok", "id: approve").replace("[ok]", "[approve]")


async def test_undo_restores_the_run(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        run_id, asked = await waiting(engine, {"x": [1, {"y": None}]})
        before = await engine.run(run_id)
        await move(engine, run_id)
        assert (await engine.run(run_id)).state["region"] == "eu"
        back = await engine.unmigrate_run(run_id, "not yet")
        assert (back.version, back.current) == ("1.0.0", ("ok",))
        after = await engine.run(run_id)
        assert after.state == before.state
        assert (await engine.request(asked.id)).node_id == "ok"
        (entry,) = await engine.run_migrations(run_id=run_id)
        assert (entry.path, entry.by, entry.note, entry.undone_by) == (
            ("1.0.0->2.0.0",),
            "me",
            "a note",
            "me",
        )
        assert entry.digest_before == jsonio.digest(before.state) != entry.digest_after
        assert len(entry.checksums[0]) == 64
        with pytest.raises(ConflictError, match="nothing to undo"):
            await engine.unmigrate_run(run_id)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        found = await until_end(engine, run_id)
        assert (found.run.version, found.run.status, path_of(found)) == (
            "1.0.0", "succeeded", ["first", "ok", "out"],
        )  # fmt: skip
        kinds = [event.kind for event in await engine.events(EventQuery(run_id=run_id))]
        assert kinds.count("run.migrated") == kinds.count("run.unmigrated") == 1


async def test_a_run_that_has_continued_cannot_be_restored(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        run_id, _ = await waiting(engine)
        await move(engine, run_id)
        await answer_and_end(engine, run_id)
        with pytest.raises(ConflictError):
            await engine.unmigrate_run(run_id)


async def test_a_paused_run_a_dead_letter_and_a_finished_run(tmp_path: Path) -> None:
    failing = V1.replace('"done = 1"', '"done = nowhere"')
    async with engine_on(two(tmp_path, RENAMED, RENAME, old=failing)) as engine:
        paused, _ = await waiting(engine)
        await engine.pause_run(paused)
        dead, asked = await waiting(engine)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await until_end(engine, dead)).run.status == "failed"
        over, _ = await waiting(engine)
        await engine.cancel_run(over)
        results = await move(engine, paused, dead, over)
        assert [result.outcome for result in results] == ["migrated", "migrated", "refused"]
        assert results[2].reason == "it is cancelled, so it cannot be migrated"
        assert (await engine.run(paused)).run.status == "paused"
        assert (await engine.run(dead)).run.dead_letter
        await engine.resume_run(paused)
        await answer_and_end(engine, paused)
        await engine.retry_run(dead)
        found = await until_end(engine, dead)
        assert (found.run.version, found.run.status, found.state["done"]) == ("2.0.0", "succeeded", 1)


HELD = """
workflows:
  w:
    version: {version}
    nodes:
      - {{id: work, type: compute, handler: held, next: [out]}}
      - {{id: out, type: transform, transform: "done = 1"}}
"""


async def test_a_pausing_run_is_moved_once_it_is_paused(tmp_path: Path) -> None:
    files = {
        "victor.yaml": 'handlers: {held: {command: [sh, -c, "read line < go"]}}',
        "workflows/w1.yaml": HELD.format(version="1.0.0"),
        "workflows/w2.yaml": HELD.format(version="2.0.0")
        + "    migrations: [{from: 1.0.0, to: 2.0.0, steps: [{type: add_field, field: extra, default: 1}]}]\n",
    }
    root = workspace(tmp_path, files)
    os.mkfifo(root / "go")
    async with engine_on(root) as engine:
        run_id = (await engine.start_run("w", "1.0.0")).id

        async def until(done: Callable[[RunInfo], bool]) -> None:
            async with asyncio.timeout(20):
                while not done((await engine.run(run_id)).run):
                    await asyncio.sleep(0.01)

        await until(lambda run: run.current == ("work",))
        assert (await engine.pause_run(run_id)).status == "pausing"
        by_id = await engine.migrate_runs(MigrationSpec("w", "2.0.0", (run_id,)))
        all_of_them = await engine.migrate_runs(MigrationSpec("w", "2.0.0", from_version="1.0.0"))
        for report in (by_id, all_of_them):
            (result,) = report.runs
            assert (result.outcome, result.run_status) == ("refused", "pausing")
            assert result.reason == "it is pausing; wait until it is paused, then migrate it"
        assert (await engine.run(run_id)).run.status == "pausing"
        with pytest.raises(ConflictError, match="wait until it is paused"):
            await engine.unmigrate_run(run_id)
        await asyncio.to_thread((root / "go").write_text, "on\n")
        await until(lambda run: run.status == "paused")
        (result,) = (await engine.migrate_runs(MigrationSpec("w", "2.0.0", (run_id,)))).runs
        assert result.outcome == "migrated"
        await engine.resume_run(run_id)
        found = await until_end(engine, run_id)
        assert (found.run.version, found.run.status, found.state["extra"]) == ("2.0.0", "succeeded", 1)


async def test_a_run_inside_a_parallel_node_moves_only_if_that_node_is_unchanged(tmp_path: Path) -> None:
    old = """
  - {id: both, type: parallel, parallel_nodes: [x, y], join_strategy: all, next: [out]}
  - {id: x, type: transform, transform: "x1 = 1"}
  - {id: y, type: hitl, hitl_type: approval, prompt: "y?"}
  - {id: out, type: transform, transform: "done = 1"}
"""
    same = old.replace('"done = 1"', '"done = 2"')
    other = old.replace('"y?"', '"really?"')
    files = {
        "workflows/c.yaml": file(
            "3.0.0", other, "{from: 1.0.0, to: 3.0.0, breaking: true, steps: [{type: modify_node, node: y}]}"
        )
    }
    root = two(tmp_path, same, to_2("{type: modify_node, node: out}"), old=old, **files)
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        async with asyncio.timeout(20):
            while len(path_of(await engine.run(run_id))) < 1:  # x may be at work still
                await asyncio.sleep(0)
        (result,) = await move(engine, run_id, to="3.0.0")
        assert "the run is inside 'both', whose members have begun, and 'y' differs" in result.reason
        (result,) = await move(engine, run_id)
        assert result.questions == ("y (in both): stays open",)
        assert (await answer_and_end(engine, run_id)).state["done"] == 2


async def test_a_timer_continues_if_it_is_unchanged_and_restarts_otherwise(tmp_path: Path) -> None:
    old = """
  - {id: nap, type: wait, for: 4h, next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
    files = {
        "workflows/c.yaml": file(
            "3.0.0",
            old.replace("4h", "5h"),
            "{from: 2.0.0, to: 3.0.0, breaking: true, steps: [{type: modify_node, node: nap}]}",
        )
    }
    root = two(tmp_path, old.replace("= 1", "= 2"), to_2("{type: modify_node, node: out}"), old=old, **files)
    async with engine_on(root) as engine:
        run_id = (await engine.start_run("w", "1.0.0")).id
        async with asyncio.timeout(20):
            while (await engine.run(run_id)).run.status != "waiting":
                await asyncio.sleep(0)
        for version, words in (("2.0.0", "nap: its wait continues"), ("3.0.0", "nap: its wait starts again")):
            (result,) = (await engine.plan_migration(MigrationSpec("w", version, run_ids=(run_id,)))).runs
            assert (result.outcome, result.timers) == ("ready", (words,)), result
            (result,) = (await engine.migrate_runs(MigrationSpec("w", version, run_ids=(run_id,)))).runs
            assert result.outcome == "migrated"


async def test_unknown_names_and_missing_paths_are_refused(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED)) as engine:
        run_id, _ = await waiting(engine)
        assert "no migration leads from 1.0.0 to 2.0.0" in await refused(engine, run_id)
        (result,) = (await engine.plan_migration(MigrationSpec("w", "2.0.0", run_ids=("nope",)))).runs
        assert (result.outcome, result.run_id) == ("refused", "nope")
        with pytest.raises(NotFoundError):
            await engine.plan_migration(MigrationSpec("w", "9.0.0", run_ids=(run_id,)))
        (result,) = (await engine.migrate_runs(MigrationSpec("w", "1.0.0", run_ids=(run_id,)))).runs
        assert result.reason == "the run is already on 1.0.0"


async def test_a_preview_to_a_text_that_is_not_a_version_is_refused(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, V1)) as engine:
        for between in (("1.0.0", "newest\x1b[2J"), ("oldest", "2.0.0")):
            with pytest.raises(VictorError, match="Invalid version string"):
                await engine.preview_migration("w", *between, {})


async def test_a_target_without_the_current_node_of_the_run(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, to_2("{type: add_field, field: n, default: 1}"))) as engine:
        run_id, _ = await waiting(engine)
        assert "is at 'ok', a node that the target version does not have" in await refused(engine, run_id)


async def test_schedules_move_with_their_state(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        pinned = await engine.add_schedule(
            ScheduleSpec(workflow="w", cron="@daily", version="^1", initial_state={"k": 1})
        )
        await engine.set_alias("w", "stable", "1.0.0")
        named = await engine.add_schedule(ScheduleSpec(workflow="w", cron="@hourly", version="stable"))
        newest = await engine.add_schedule(ScheduleSpec(workflow="w", cron="@weekly"))
        spec = MigrationSpec("w", "2.0.0", from_version="1.0.0", schedules=True)
        planned = {move.schedule_id: move for move in (await engine.plan_migration(spec)).schedules}
        assert (planned[pinned.id].outcome, planned[pinned.id].changes) == ("ready", ("+ region = eu",))
        assert "uses alias 'stable'" in planned[named.id].reason
        assert newest.id not in planned
        report = await engine.migrate_runs(spec)
        found = (await engine.schedule(pinned.id)).spec
        assert (found.version, found.initial_state) == ("2.0.0", {"k": 1, "region": "eu"})
        assert (await engine.schedule(named.id)).spec.version == "stable"

        # The schedules go back with the runs of the command, unless they have changed since.
        await engine.edit_schedule(pinned.id, msgspec.structs.replace(found, max_active_runs=3))
        (stays,) = (await engine.unmigrate_runs(report.batch)).schedules
        assert (stays.outcome, "has changed since" in stays.reason) == ("refused", True)
        await engine.edit_schedule(pinned.id, found)
        (back,) = (await engine.unmigrate_runs(report.batch)).schedules
        assert (back.outcome, back.to_version) == ("migrated", "^1")
        found = (await engine.schedule(pinned.id)).spec
        assert (found.version, found.initial_state) == ("^1", {"k": 1})
        with pytest.raises(ConflictError, match="nothing to undo"):
            await engine.unmigrate_runs(report.batch)


async def test_the_migrations_of_one_command_are_undone_together(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        ids = [(await waiting(engine))[0] for _ in range(4)]
        states = [(await engine.run(run_id)).state for run_id in ids]
        alone = await engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=(ids[3],)))
        spec = MigrationSpec("w", "2.0.0", from_version="1.0.0")
        planned = await engine.plan_migration(spec)
        report = await engine.migrate_runs(spec, plan=planned.plan)
        assert (report.count("migrated"), bool(report.batch)) == (3, True)
        assert alone.batch not in ("", report.batch)
        assert {m.batch for m in await engine.run_migrations(run_id=ids[0])} == {report.batch}
        await answer_and_end(engine, ids[1])
        before = await row(engine, ids[1])

        back = await engine.unmigrate_runs(report.batch[:12], "too early")
        assert {move.run_id: move.outcome for move in back.runs} == {
            ids[0]: "migrated",
            ids[1]: "refused",
            ids[2]: "migrated",
        }
        assert await row(engine, ids[1]) == before
        (stays,) = (move for move in back.runs if move.outcome == "refused")
        assert (stays.from_version, "succeeded" in stays.reason) == ("2.0.0", True)
        assert (back.workflow, back.to_version, back.applied) == ("w", "1.0.0", True)
        versions = [(await engine.run(run_id)).run.version for run_id in ids]
        assert versions == ["1.0.0", "2.0.0", "1.0.0", "2.0.0"]
        assert [(await engine.run(ids[n])).state for n in (0, 2)] == [states[0], states[2]]
        undone = (await engine.events(EventQuery(kinds=("run.unmigrated",)))).__iter__()
        assert [event.data["note"] for event in undone] == ["too early"] * 2

        # A run that was migrated again stays, and so does one that another command migrated.
        again = await engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=(ids[0],)))
        left = await engine.unmigrate_runs(report.batch)
        assert [(move.run_id, move.outcome) for move in left.runs] == [(ids[1], "refused")]
        assert (await engine.run(ids[0])).run.version == "2.0.0"
        assert (await engine.unmigrate_runs(again.batch)).count("migrated") == 1
        with pytest.raises(ConflictError, match="nothing to undo"):
            await engine.unmigrate_runs(again.batch)
        with pytest.raises(NotFoundError, match="victor versions history"):
            await engine.unmigrate_runs("nothing")


async def test_the_statistics_of_versions_and_aliases_follow_migrated_runs(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        await engine.set_alias("w", "stable", "1.0.0", "2.0.0", 50)
        runs = [await engine.start_run("w", "stable") for _ in range(4)]
        while not any(run.version == "1.0.0" for run in runs):
            runs.append(await engine.start_run("w", "stable"))
        for run in runs:
            await question(engine, run.id)
        await engine.migrate_runs(MigrationSpec("w", "2.0.0", from_version="1.0.0"))
        (alias,) = await engine.aliases("w")
        assert {side.version: side.runs for side in alias.sides} == {"1.0.0": 0, "2.0.0": len(runs)}
        (workflow,) = await engine.workflows("w")
        assert {each.version: each.total_runs for each in workflow.versions} == {
            "1.0.0": 0,
            "2.0.0": len(runs),
        }


async def test_after_a_crash_during_a_move_the_run_continues_from_the_store(tmp_path: Path) -> None:
    """The run was released and not moved yet: nothing of that is stored, so the next engine recovers the run."""
    root = two(tmp_path, RENAMED, RENAME)
    async with engine_on(root) as engine:
        run_id, asked = await waiting(engine)
        (key,) = await engine.store.read(
            lambda c: c.execute("SELECT key FROM runs WHERE id = ?", (run_id,)).fetchone()
        )
        assert await engine.runtime.control.detach(key)
        assert (await engine.run(run_id)).run.status == "waiting"
    async with engine_on(root) as engine:
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await until_end(engine, run_id)).run.status == "succeeded"


async def test_many_move_once_each_while_people_answer(tmp_path: Path) -> None:
    """Answers and moves of the same runs at the same time: each run is answered once and ends once."""
    count = 60
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        runs = [(await engine.start_run("w", "1.0.0", {"n": n})).id for n in range(count)]
        for run_id in runs:
            await question(engine, run_id)
        requests = {r.run_id: r for r in await engine.requests(RequestQuery(limit=1000))}

        async def answer(run_id: str) -> None:
            await asyncio.sleep(0)
            request = requests[run_id]
            await engine.answer(request.id, request.revision, Answer(outcome="approved"))

        answering = asyncio.gather(*(answer(run_id) for run_id in runs[::2]))
        first = asyncio.ensure_future(engine.migrate_runs(MigrationSpec("w", "2.0.0", from_version="1.0.0")))
        second = asyncio.ensure_future(engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=tuple(runs))))
        results = [*(await first).runs, *(await second).runs]
        await answering
        moved = [result.run_id for result in results if result.outcome == "migrated"]
        assert len(moved) == len(set(moved))
        assert set(runs[1::2]) <= set(moved)
        for run_id in runs[1::2]:
            await answer(run_id)
        for run_id in runs:
            found = await until_end(engine, run_id)
            assert found.run.status == "succeeded"
            assert found.run.version == ("2.0.0" if run_id in moved else "1.0.0")
            assert (
                len([a for a in found.attempts if a.node_id in ("ok", "approve") and a.status == "succeeded"])
                == 1
            )
            assert len(await engine.run_migrations(run_id=run_id)) == (run_id in moved)
        assert await engine.runs(RunQuery(statuses=("waiting",))) == []


async def test_the_stored_state_is_the_sum_of_what_the_attempts_changed(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        run_id, _ = await waiting(engine)
        await move(engine, run_id)
        (entry,) = await engine.run_migrations("w")
        key = await engine.store.read(lambda c: c.execute("SELECT key FROM runs").fetchone()[0])
        assert jsonio.digest(await engine.store.read(lambda c: run_state(c, key))) == entry.digest_after


def _answered_then_waiting(version: str, first: str, more: str = "") -> str:
    return f"""
workflows:
  w:
    version: {version}
    {more}
    nodes:
      - {{id: {first}, type: hitl, prompt: first, next: {{approved: hold, rejected: hold}}}}
      - {{id: hold, type: hitl, prompt: go, next: {{approved: c, rejected: c}}}}
      - {{id: c, type: condition, condition: {first}, branches: {{true: good, false: bad}}}}
      - {{id: good, type: transform, transform: "end = 'good'"}}
      - {{id: bad, type: transform, transform: "end = 'bad'"}}
"""


RENAME_OF_FIRST = (
    "migrations: [{from: 1.0.0, breaking: true, steps: [{type: rename_node, from: first, to: early}]}]"
)


async def test_a_renamed_node_takes_its_answer_along(tmp_path: Path) -> None:
    files = {
        "workflows/1.yaml": _answered_then_waiting("1.0.0", "first"),
        "workflows/2.yaml": _answered_then_waiting("2.0.0", "early", RENAME_OF_FIRST),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        run = await engine.start_run("w", "1.0.0")
        asked = await question(engine, run.id)
        await engine.answer(asked.id, asked.revision, Answer("approved"))
        while (asked := await question(engine, run.id)).node_id != "hold":
            await asyncio.sleep(0)
        await engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=(run.id,)))
        asked = await question(engine, run.id)
        await engine.answer(asked.id, asked.revision, Answer("approved"))
        done = await until_end(engine, run.id)
        assert (done.run.status, done.state["end"], done.state["early"]) == ("succeeded", "good", True)
        assert "first" not in done.state


async def test_a_result_does_not_replace_another_key(tmp_path: Path) -> None:
    files = {
        "workflows/1.yaml": _answered_then_waiting("1.0.0", "first"),
        "workflows/2.yaml": _answered_then_waiting("2.0.0", "early", RENAME_OF_FIRST),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        run = await engine.start_run("w", "1.0.0", {"first": 1, "early": 2})
        await question(engine, run.id)
        (move,) = (await engine.plan_migration(MigrationSpec("w", "2.0.0", run_ids=(run.id,)))).runs
        assert move.outcome == "refused"
        assert "the state has 'early' already" in (move.reason or "")


BRANCH_IN_SECOND = {
    "workflows/1.yaml": """
workflows:
  w:
    version: 1.0.0
    nodes:
      - {id: a, type: transform, transform: "x = 1", next: [b]}
      - {id: b, type: transform, transform: "y = nope", next: [c]}
      - {id: c, type: transform, transform: "shipped = y"}
""",
    "workflows/2.yaml": """
workflows:
  w:
    version: 1.1.0
    nodes:
      - {id: a, type: transform, transform: "x = 1", next: [p]}
      - {id: p, type: parallel, parallel_nodes: [b, b2], next: [c]}
      - {id: b, type: transform, transform: "y = 5"}
      - {id: b2, type: transform, transform: "z = 6"}
      - {id: c, type: transform, transform: "shipped = y"}
""",
}


async def test_a_redrive_obeys_the_position_rules_of_a_migration(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, BRANCH_IN_SECOND)) as engine:
        run = await engine.start_run("w", "1.0.0")
        assert (await until_end(engine, run.id)).run.status == "failed"
        with pytest.raises(VictorError, match="a member of a parallel node"):
            await engine.redrive_run(run.id, version="1.1.0")
        await engine.redrive_run(run.id, from_node="b", version="1.1.0")
        done = await until_end(engine, run.id)
        assert (done.run.status, done.state["shipped"], done.state["z"]) == ("succeeded", 5, 6)


async def test_a_dry_run_refuses_a_version_that_cannot_run_here(tmp_path: Path) -> None:
    files = {
        "workflows/1.yaml": _answered_then_waiting("1.0.0", "first"),
        "workflows/2.yaml": """
workflows:
  w:
    version: 2.0.0
    migrations: [{from: 1.0.0, steps: []}]
    nodes:
      - {id: first, type: hitl, prompt: first, next: [work]}
      - {id: work, type: compute, handler: nothing}
""",
    }
    root = workspace(tmp_path, {**files, "victor.yaml": "handlers: {nothing: {command: [cat]}}"})
    async with engine_on(root):
        pass
    (root / "victor.yaml").write_text("")  # the version stays in the store
    async with engine_on(root) as engine:
        run = await engine.start_run("w", "1.0.0")
        await question(engine, run.id)
        spec = MigrationSpec("w", "2.0.0", run_ids=(run.id,))
        for call in (engine.plan_migration, engine.migrate_runs):
            with pytest.raises(VictorError, match="cannot run here"):
                await call(spec)
