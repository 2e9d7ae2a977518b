"""The join of branches, and the cancellation of the branches that are not needed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from victor_engine.definition import ParallelNode, load_workflow_from_yaml
from victor_engine.definition.loader import load_text
from victor_engine.errors import NodeError

PARALLEL = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [a, b, c], JOIN, next: [z]}
      - {id: a, type: compute, handler: h}
      - {id: b, type: compute, handler: h}
      - {id: c, type: compute, handler: h}
      - {id: z, type: transform, transform: "done = true"}
"""


def flow(join: str) -> str:
    return PARALLEL.replace("JOIN", join)


def bad(call: Any) -> Any:
    raise NodeError("no", error_type="Boom")


class Hanging:
    """Work that ends only when it is cancelled, and records it."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.started = asyncio.Event()

    async def __call__(self, call: Any) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # ending takes a moment
            self.ended.append(call.node_id)


@pytest.mark.parametrize(
    ("join", "strategy", "count"),
    [
        ("join: 2", "n_of_m", 2),
        ("join_strategy: n_of_m, required: 2", "n_of_m", 2),
        ("join_strategy: n-of-m, join_count: 1", "n_of_m", 1),
        ("min_success: 3", "n_of_m", 3),
        ("join: any", "any", None),
        ("description: x", "all", None),
    ],
)
def test_the_spellings_of_a_join(join: str, strategy: str, count: int | None) -> None:
    node = load_workflow_from_yaml(flow(join))["w"].nodes["p"]
    assert isinstance(node, ParallelNode)
    assert (node.join_strategy, node.join_count) == (strategy, count)


@pytest.mark.parametrize(
    ("join", "words"),
    [
        ("join: 4", "join is 4, and parallel_nodes has only 3"),
        ("join: 0", "at least 1"),
        ("join_strategy: n_of_m", "needs the number of branches"),
        (
            "join_strategy: any, required: 2",
            "required can be used only with n_of_m, and join_strategy is any",
        ),
        (
            "join_strategy: all, required: 2",
            "required can be used only with n_of_m, and join_strategy is all",
        ),
        ("join: 2, required: 2", "required and join are given"),
        ("join: most", "join_strategy cannot be 'most'"),
    ],
)
def test_an_invalid_join_is_reported(join: str, words: str) -> None:
    problems = load_text(flow(join)).problems
    assert [p for p in problems if words in p.message and p.severity == "error" and p.line == 5], problems


async def test_n_of_m_continues_after_enough_successes(tmp_path: Path) -> None:
    hanging = Hanging()

    async def after(call: Any) -> Any:
        await hanging.started.wait()
        return {call.node_id: 1, "who": call.node_id}

    async with Bench(tmp_path, Work(a=after, b=hanging, c=after)) as bench:
        run = await bench.start(flow("join: 2"))
        assert await bench.end(run) == "succeeded"
        assert hanging.ended == ["b"], "cancelled, and awaited before the next node"
        state = await bench.state(run)
        assert (state["who"], state["done"]) == ("c", True)
        assert "b" not in state
        rows = await bench.all("SELECT node_id, status FROM attempts WHERE parent = 'p'")
        assert dict(rows) == {"a": "succeeded", "b": "cancelled", "c": "succeeded"}
        warning = await bench.one("SELECT data FROM events WHERE kind = 'run.warning'")
        assert "a and c both wrote 'who'" in warning


async def test_n_of_m_tolerates_failures_until_too_many(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=bad, b={}, c={})) as bench:
        run = await bench.start(flow("join: 2"))
        assert await bench.end(run) == "succeeded"
    hanging = Hanging()

    async def bad_later(call: Any) -> Any:
        await hanging.started.wait()
        raise NodeError("no", error_type="Boom")

    async with Bench(tmp_path / "2", Work(a=bad_later, b=bad_later, c=hanging)) as bench:
        run = await bench.start(flow("join: 2"))
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "Boom"
        assert "0 of 3 succeeded, and 2 are required" in error["message"]
        assert hanging.ended == ["c"]


async def test_any_fails_only_if_all_do(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=bad, b=bad, c={"x": 1})) as bench:
        run = await bench.start(flow("join: any"))
        assert await bench.end(run) == "succeeded"
    async with Bench(tmp_path / "2", Work(a=bad, b=bad, c=bad)) as bench:
        run = await bench.start(flow("join: any"))
        assert await bench.end(run) == "failed"
        assert "(and 2 more)" in (await bench.error(run))["message"]


async def test_all_cancels_the_others_at_the_first_failure(tmp_path: Path) -> None:
    hanging = Hanging()

    async def bad_later(call: Any) -> Any:
        await hanging.started.wait()
        raise NodeError("no", error_type="Boom")

    async with Bench(tmp_path, Work(a=hanging, b=bad_later, c=hanging)) as bench:
        run = await bench.start(flow("join: all"))
        assert await bench.end(run) == "failed"
        assert sorted(hanging.ended) == ["a", "c"]
        rows = await bench.all("SELECT node_id, status FROM attempts WHERE parent = 'p'")
        assert dict(rows) == {"a": "cancelled", "b": "failed", "c": "cancelled"}


async def test_everything_inside_a_cancelled_branch_ends_with_it(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [inner, quick], join: any, next: [gate]}
      - {id: inner, type: parallel, parallel_nodes: [ask, hang]}
      - {id: ask, type: hitl, hitl_type: approval}
      - {id: hang, type: compute, handler: h}
      - {id: quick, type: compute, handler: h}
      - {id: gate, type: hitl, hitl_type: approval}
"""
    hanging = Hanging()
    asked = asyncio.Event()

    async def quick(call: Any) -> Any:
        await hanging.started.wait()
        await asked.wait()

    async with Bench(tmp_path, Work(hang=hanging, quick=quick)) as bench:
        run = await bench.start(text)
        await bench.question(run)
        asked.set()

        async def decided() -> bool:
            return bool(await bench.all("SELECT 1 FROM requests WHERE node_id = 'gate' AND status = 'open'"))

        await bench.until(decided)
        rows = await bench.all("SELECT node_id, status FROM attempts WHERE parent IN ('p', 'inner')")
        assert dict(rows) == {
            "inner": "cancelled", "ask": "cancelled", "hang": "cancelled", "quick": "succeeded",
        }  # fmt: skip
        # The old request is withdrawn, and the next request is open.
        rows = await bench.all("SELECT node_id, status FROM requests")
        assert dict(rows) == {"ask": "withdrawn", "gate": "open"}
