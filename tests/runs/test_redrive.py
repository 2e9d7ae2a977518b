"""Redrive: the same run continues from another node, with another state, on another version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, BOB, Bench, Work
from tests.runs.test_children import CHILD, child_of, parent
from victor_engine import jsonio
from victor_engine.api import Answer, AttemptInfo, RunDetail
from victor_engine.definition.loader import load_text
from victor_engine.definition.problem_messages import raise_for
from victor_engine.errors import ConflictError, NodeError, UsageError
from victor_engine.runs.commands import Discard, Pause, Redrive
from victor_engine.runs.transitions import RunRef
from victor_engine.store import queries
from victor_engine.store.state import run_state
from victor_engine.versioning.stored_migrations import register_migrations

CHAIN = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: compute, handler: h, next: [c]}
      - {id: c, type: compute, handler: h}
"""


def boom(call: Any) -> Any:
    raise NodeError("it is broken", error_type="Boom")


def needs(key: str) -> Any:
    """Work that fails until the state has the key."""

    def work(call: Any) -> Any:
        if key not in call.state:
            raise NodeError(f"there is no {key}", error_type="Missing")
        return {"got": call.state[key]}

    return work


async def detail(bench: Bench, run: RunRef) -> RunDetail:
    return await bench.store.read(lambda c: queries.run_detail(c, run.id, bench.clock.now()))


async def tries(bench: Bench, run: RunRef) -> list[tuple[str, int, int, str]]:
    found: tuple[AttemptInfo, ...] = (await detail(bench, run)).attempts
    return [(a.node_id, a.iteration, a.number, a.status) for a in found]


async def event(bench: Bench, run: RunRef, kind: str) -> Any:
    rows = await bench.all(
        "SELECT actor, node_id, data FROM events WHERE run_key = ? AND kind = ? ORDER BY seq", run.key, kind
    )
    actor, node, data = rows[-1]
    return jsonio.loads(actor)["user"], node, jsonio.loads(data)


async def add_version(bench: Bench, text: str, version: str) -> int:
    result = load_text(text)
    raise_for(result.problems)
    ((name, definition),) = result.workflows.items()

    def insert(tx: Any) -> int:
        cursor = tx.execute(
            "INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)"
            " VALUES (?,?,?,?,?,0)",
            (name, version, version, jsonio.dumps_text(definition.content), text),
        )
        return int(cursor.lastrowid)

    return await bench.store.write(insert)


async def failed(bench: Bench, text: str = CHAIN, state: dict[str, Any] | None = None) -> RunRef:
    run = await bench.start(text, state)
    assert await bench.end(run) == "failed"
    return run


async def settled(bench: Bench, run: RunRef, status: str) -> None:
    async def there() -> bool:
        return await bench.status(run) == status

    await bench.until(there)


async def test_a_run_continues_from_the_failed_node_with_a_corrected_value(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1, "old": 2}, b=needs("key"), c={"z": 3})) as bench:
        run = await failed(bench, state={"given": 1})
        assert await bench.one("SELECT COUNT(*) FROM dead_letters") == 1
        edited = {"given": 1, "x": 5, "a": {"x": 1, "old": 2}, "key": "k"}
        await bench.runtime.command(Redrive(run.id, state=edited, note="corrected"), BOB)
        await settled(bench, run, "succeeded")
        assert await bench.one("SELECT COUNT(*) FROM dead_letters") == 0
        state = await bench.state(run)
        assert {"given": 1, "x": 5, "key": "k", "got": "k", "z": 3}.items() <= state.items()
        assert "old" not in state
        # Attempts are kept; with another state the node's visit is a new one, with a key of its own.
        assert await tries(bench, run) == [
            ("a", 1, 1, "succeeded"),
            ("b", 1, 1, "failed"),
            ("@edit", 1, 1, "succeeded"),
            ("b", 2, 1, "succeeded"),
            ("c", 1, 1, "succeeded"),
        ]
        keys = [call.idempotency_key for call in bench.work.calls if call.node_id == "b"]
        assert len(set(keys)) == 2
        edit = (await detail(bench, run)).attempts[2]
        assert edit.changes == {"set": {"x": 5, "key": "k"}, "deleted": ["old"]}
        assert edit.binding == "edited by bob"
        assert [node.node_id for node in (await detail(bench, run)).nodes] == ["a", "b", "c"]
        who, node, data = await event(bench, run, "run.redriven")
        assert (who, node) == ("bob", "b")
        assert data == {"from": "b", "edited": ["key", "old", "x"], "note": "corrected"}


async def test_the_state_at_any_time_is_still_the_sum_of_the_patches(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=needs("key"))) as bench:
        run = await failed(bench)
        await bench.runtime.command(Redrive(run.id, state={"key": 1}), BOB)
        await settled(bench, run, "succeeded")
        whole = await bench.state(run)
        await bench.store.write(
            lambda tx: tx.execute(
                "DELETE FROM run_states WHERE run_key = ? AND after_attempt > 0", (run.key,)
            )
        )
        assert await bench.state(run) == whole
        first = await bench.store.read(lambda c: run_state(c, run.key, 1))
        assert first == {"x": 1, "a": {"x": 1}}


async def test_without_changes_the_same_step_is_retried(tmp_path: Path) -> None:
    work = Work(a={"x": 1}, b=boom, c={})
    async with Bench(tmp_path, work) as bench:
        run = await failed(bench)
        work.work["b"] = {"y": 2}
        await bench.runtime.command(Redrive(run.id), BOB)
        await settled(bench, run, "succeeded")
        assert await tries(bench, run) == [
            ("a", 1, 1, "succeeded"),
            ("b", 1, 1, "failed"),
            ("b", 1, 2, "succeeded"),
            ("c", 1, 1, "succeeded"),
        ]


async def test_back_to_an_earlier_node_and_past_a_failed_one(tmp_path: Path) -> None:
    work = Work(a={"x": 1}, b=boom, c={"z": 1})
    async with Bench(tmp_path, work) as bench:
        run = await failed(bench)
        await bench.runtime.command(Redrive(run.id, from_node="c"), BOB)
        await settled(bench, run, "succeeded")
        assert "b" not in await bench.state(run)
        assert (await event(bench, run, "run.redriven"))[2] == {"from": "c", "left_out": ["b"]}
        second = await failed(bench)
        await bench.runtime.command(Redrive(second.id, from_node="a"), BOB)

        async def again() -> bool:
            return len(await tries(bench, second)) == 4 and await bench.status(second) == "failed"

        await bench.until(again)
        assert await tries(bench, second) == [
            ("a", 1, 1, "succeeded"),
            ("b", 1, 1, "failed"),
            ("a", 2, 1, "succeeded"),
            ("b", 2, 1, "failed"),
        ]


async def test_a_step_of_a_succeeded_run_is_done_again_and_marked(tmp_path: Path) -> None:
    keys: list[str] = []

    def b(call: Any) -> Any:
        keys.append(call.idempotency_key)
        return {"y": len(keys)}

    async with Bench(tmp_path, Work(b=b)) as bench:
        run = await bench.start(CHAIN)
        assert await bench.end(run) == "succeeded"
        with pytest.raises(
            ConflictError, match="has no pending node to continue from; name one of its nodes"
        ):
            await bench.runtime.command(Redrive(run.id), BOB)
        await bench.runtime.command(Redrive(run.id, from_node="b"), BOB)

        async def again() -> bool:
            return len(await tries(bench, run)) == 5 and await bench.status(run) == "succeeded"

        await bench.until(again)
        assert [try_[:2] for try_ in await tries(bench, run)] == [
            ("a", 1), ("b", 1), ("c", 1), ("b", 2), ("c", 2),
        ]  # fmt: skip
        assert (await bench.state(run))["y"] == 2
        assert keys == [f"{run.id}/b/1", f"{run.id}/b/2"]
        assert (await event(bench, run, "run.redriven"))[2] == {"from": "b", "after": "succeeded"}


async def test_the_state_from_before_the_last_visit_of_a_node(tmp_path: Path) -> None:
    def count(call: Any) -> Any:
        return {"n": call.state.get("n", 0) + 1}

    async with Bench(tmp_path, Work(a={"x": 1}, b=count, c=needs("key"))) as bench:
        run = await failed(bench, state={"given": 1})
        assert (await bench.state(run))["n"] == 1
        with pytest.raises(UsageError, match="not both"):
            await bench.runtime.command(Redrive(run.id, from_node="b", state={}, rewind=True), BOB)
        await bench.runtime.command(Redrive(run.id, from_node="b", rewind=True), BOB)

        async def again() -> bool:
            return len(bench.work.calls) == 5 and await bench.status(run) == "failed"

        await bench.until(again)
        assert (await bench.state(run))["n"] == 1
        found = (await detail(bench, run)).attempts
        assert [(a.node_id, a.binding) for a in found if a.node_type == "@edit"] == [("@edit", "as before b")]
        assert found[3].changes == {"deleted": ["n", "b"]}
        assert (await event(bench, run, "run.redriven"))[2]["state"] == "as before b"
        await bench.runtime.command(Redrive(run.id, from_node="b"), BOB)
        await bench.until(lambda: _calls(bench, 7))
        assert (await bench.state(run))["n"] == 2


async def _calls(bench: Bench, number: int) -> bool:
    return len(bench.work.calls) == number


async def test_a_node_that_was_never_reached_has_no_state_before_it(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=boom)) as bench:
        run = await failed(bench)
        with pytest.raises(UsageError, match="has never reached c"):
            await bench.runtime.command(Redrive(run.id, from_node="c", rewind=True), BOB)


PARALLEL = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [a, b], join_strategy: all, next: [c]}
      - {id: a, type: compute, handler: h}
      - {id: b, type: compute, handler: h}
      - {id: c, type: compute, handler: h}
"""


async def test_a_branch_of_a_parallel_means_the_parallel_and_only_what_failed_unless_the_state_changed(
    tmp_path: Path,
) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=needs("key"), c={})) as bench:
        run = await failed(bench, PARALLEL)
        await bench.runtime.command(Redrive(run.id, from_node="b"), BOB)

        async def twice() -> bool:
            return len([c for c in bench.work.calls if c.node_id == "b"]) == 2 and (
                await bench.status(run) == "failed"
            )

        await bench.until(twice)
        assert [call.node_id for call in bench.work.calls] == ["a", "b", "b"]
        assert (await event(bench, run, "run.redriven"))[2] == {"from": "p", "asked_for": "b"}
        await bench.runtime.command(Redrive(run.id, from_node="b", state={"key": 1}), BOB)
        await settled(bench, run, "succeeded")
        assert sorted(call.node_id for call in bench.work.calls[3:]) == ["a", "b", "c"]


async def test_a_separate_branch_stays_pending(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b, c]}
      - {id: b, type: compute, handler: h, next: [d]}
      - {id: c, type: compute, handler: h}
      - {id: d, type: compute, handler: h}
"""
    async with Bench(tmp_path, Work(a={}, b=boom, c={"c": 1}, d={"d": 1})) as bench:
        run = await failed(bench, text)
        await bench.runtime.command(Redrive(run.id, from_node="d"), BOB)
        await settled(bench, run, "succeeded")
        assert [call.node_id for call in bench.work.calls] == ["a", "b", "d", "c"]


async def test_another_version_is_recorded_with_each_attempt(tmp_path: Path) -> None:
    fixed = CHAIN.replace("id: b, type: compute, handler: h", "id: b, type: transform, transform: 'y = 1'")
    async with Bench(tmp_path, Work(a={"x": 1}, b=boom, c={})) as bench:
        run = await failed(bench)
        await add_version(bench, fixed, "1.0.1")
        await bench.runtime.command(Redrive(run.id, version="1.0.1"), BOB)
        await settled(bench, run, "succeeded")
        versions = [(a.node_id, a.version) for a in (await detail(bench, run)).attempts]
        assert versions == [("a", "1.0.0"), ("b", "1.0.0"), ("b", "1.0.1"), ("c", "1.0.1")]
        assert (await detail(bench, run)).run.version == "1.0.1"
        assert (await event(bench, run, "run.redriven"))[2] == {
            "from": "b",
            "version": "1.0.1",
            "was": "1.0.0",
        }


async def test_a_version_without_the_node_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    other = "workflows: {w: {nodes: [{id: a, type: compute, handler: h, next: [z]}, {id: z, type: compute, handler: h}]}}"
    async with Bench(tmp_path, Work(a={"x": 1}, b=boom)) as bench:
        run = await failed(bench)
        await add_version(bench, other, "2.0.0")
        before = await detail(bench, run)
        for node in (None, "b", "nothing"):
            with pytest.raises(UsageError, match=r"w 2\.0\.0 has no node .*; choose one of: a, z"):
                await bench.runtime.command(Redrive(run.id, from_node=node, version="2.0.0"), BOB)
        with pytest.raises(UsageError, match="no node 'nothing'; choose one of: a, b, c"):
            await bench.runtime.command(Redrive(run.id, from_node="nothing"), BOB)
        assert await detail(bench, run) == before


async def test_a_migration_that_leads_to_the_version_is_applied(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=boom, c={})) as bench:
        run = await failed(bench)
        text = CHAIN.replace(
            "id: b, type: compute, handler: h", "id: b, type: transform, transform: 'y = renamed'"
        )
        await add_version(bench, text, "2.0.0")
        block = {"from": "1.0.0", "to": "2.0.0",
                 "steps": [{"type": "rename_field", "from": "x", "to": "renamed"}]}  # fmt: skip
        await bench.store.write(lambda tx: register_migrations(tx, "w", [block]))
        await bench.runtime.command(Redrive(run.id, version="2.0.0"), BOB)
        await settled(bench, run, "succeeded")
        state = await bench.state(run)
        assert (state["y"], state["renamed"], "x" in state) == (1, 1, False)
        edit = next(a for a in (await detail(bench, run)).attempts if a.node_type == "@edit")
        assert edit.binding.startswith("migrated: ")
        assert (await event(bench, run, "run.redriven"))[2]["state"] == edit.binding


async def test_the_conflict_of_a_stale_revision_names_the_earlier_command(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=boom)) as bench:
        run = await failed(bench)
        seen = (await detail(bench, run)).run.revision
        await bench.runtime.command(Discard(run.id), ALICE)
        with pytest.raises(ConflictError, match=r"changed since you read it \(alice: run discarded at "):
            await bench.runtime.command(Redrive(run.id, revision=seen), BOB)
        await bench.runtime.command(Redrive(run.id, revision=seen + 1), BOB)


async def test_the_second_of_two_concurrent_redrives_is_a_conflict(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=needs("key"), c={})) as bench:
        run = await failed(bench)
        seen = (await detail(bench, run)).run.revision
        results = await asyncio.gather(
            *(
                bench.runtime.command(Redrive(run.id, state={"key": number}, revision=seen), who)
                for number, who in enumerate((ALICE, BOB))
            ),
            return_exceptions=True,
        )
        await settled(bench, run, "succeeded")
        assert results[0] is None
        assert isinstance(results[1], ConflictError)
        assert "alice: run redriven" in results[1].message
        assert (await bench.state(run))["got"] == 0


async def test_a_child_run_is_redriven_with_its_parent(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=boom)) as bench:
        whole = await failed(bench)
        part = await bench.start(CHAIN, trigger="parent", parent_key=whole.key)
        assert await bench.end(part) == "failed"
        with pytest.raises(ConflictError, match=f"is a child of run {whole.id}; retry that run"):
            await bench.runtime.command(Redrive(part.id), BOB)


GATE = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [gate]}
      - {id: gate, type: hitl, hitl_type: approval, next: [c]}
      - {id: c, type: compute, handler: h}
"""


async def test_a_rejected_run_asks_again(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={}, c={"c": 1})) as bench:
        run = await bench.start(GATE)
        await bench.answer(run, Answer(outcome="rejected"))
        assert await bench.end(run) == "rejected"
        await bench.runtime.command(Redrive(run.id), BOB)
        await bench.answer(run, Answer(outcome="approved"))
        await settled(bench, run, "succeeded")
        assert [call.node_id for call in bench.work.calls] == ["a", "c"]


async def test_the_requests_of_a_paused_run_are_withdrawn(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={}, c={"c": 1})) as bench:
        run = await bench.start(GATE)
        request_id, _ = await bench.question(run)
        with pytest.raises(ConflictError, match="is waiting"):
            await bench.runtime.command(Redrive(run.id, from_node="c"), BOB)
        await bench.runtime.command(Pause(run.id), BOB)
        await bench.runtime.command(Redrive(run.id, from_node="c"), BOB)
        await settled(bench, run, "succeeded")
        assert await bench.one("SELECT status FROM requests WHERE id = ?", request_id) == "withdrawn"
        assert await tries(bench, run) == [
            ("a", 1, 1, "succeeded"),
            ("gate", 1, 1, "cancelled"),
            ("c", 1, 1, "succeeded"),
        ]


async def test_the_children_of_a_paused_run_end_when_it_continues_elsewhere(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def hang(call: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(work=hang)) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 1})
        await entered.wait()
        child = await child_of(bench, run)
        await bench.runtime.command(Pause(run.id), BOB)
        await bench.until_status(run, "paused")
        await bench.runtime.command(Redrive(run.id, from_node="after"), BOB)
        await settled(bench, run, "succeeded")
        await settled(bench, child, "cancelled")
        assert await bench.one("SELECT COUNT(*) FROM dead_letters") == 0


async def test_limits_that_the_run_has_reached_are_reset(tmp_path: Path) -> None:
    text = CHAIN.replace("    nodes:", "    max_iterations: 2\n    nodes:")
    async with Bench(tmp_path, Work(a={}, b={}, c={})) as bench:
        run = await failed(bench, text)
        assert (await bench.error(run))["type"] == "IterationLimitError"
        await bench.runtime.command(Redrive(run.id), BOB)
        await settled(bench, run, "succeeded")


async def test_a_redriven_run_survives_a_restart(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1}, b=needs("key"))) as bench:
        run = await failed(bench)
        bench.runtime.slots.close()
        await bench.runtime.command(Redrive(run.id, state={"key": 7}), BOB)
        assert await bench.status(run) == "queued"
    async with Bench(tmp_path, Work(b=needs("key"), c={})) as bench:
        await settled(bench, run, "succeeded")
        assert (await bench.state(run))["got"] == 7
