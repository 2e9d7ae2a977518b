"""`when` of nodes, and the nodes that end a run: fail and succeed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.definition.loader import load_text
from victor_engine.runs.commands import Redrive, Retry
from victor_engine.store import queries

FLOW = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, when: WHEN, next: [b]}
      - {id: b, type: transform, transform: "went = true"}
"""


def flow(*nodes: str) -> str:
    return "workflows:\n  w:\n    nodes:\n" + "".join(f"      - {node}\n" for node in nodes)


async def shown(bench: Bench, run: Any) -> dict[str, tuple[str, str | None]]:
    """Return the status of each node, and the label of its last attempt."""
    detail = await bench.store.read(lambda c: queries.run_detail(c, run.id, datetime.now(UTC)))
    labels = {attempt.node_id: attempt.took_branch for attempt in detail.attempts}
    return {node.node_id: (node.status, labels.get(node.node_id)) for node in detail.nodes}


@pytest.mark.parametrize(
    ("when", "state", "skips"),
    [
        ("n > 3", {"n": 2}, "skipped: n > 3 is false (n is 2)"),
        ("n", {"n": 0}, "skipped: n is 0 (n is 0)"),
        ("hosts", {"hosts": []}, "skipped: hosts is [] (hosts is [])"),
        (
            "not done and n == 1",
            {"n": 1, "done": True},
            "skipped: not done and n == 1 is false (done is true, n is 1)",
        ),
        ("false", {}, "skipped: False is false"),
        ("n > 3", {"n": 4}, None),
        ("hosts", {"hosts": ["x"]}, None),
        ("true", {}, None),
    ],
)
async def test_a_node_is_skipped_with_the_values_that_decided(
    tmp_path: Path, when: str, state: dict[str, Any], skips: str | None
) -> None:
    work = Work(a={"did": 1})
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW.replace("WHEN", when), state)
        assert await bench.end(run) == "succeeded"
        assert (await shown(bench, run))["a"] == (("skipped", skips) if skips else ("succeeded", None))
        assert len(work.calls) == (0 if skips else 1)
        left = {key: value for key, value in (await bench.state(run)).items() if key not in state}
        assert left == ({"went": True} if skips else {"went": True, "a": {"did": 1}, "did": 1})
        if skips:
            data = await bench.one("SELECT data FROM events WHERE kind = 'node.completed' AND node_id = 'a'")
            assert "skipped: " in data


@pytest.mark.parametrize(
    ("when", "state", "message"),
    [("word", {"word": "false"}, "word is the text 'false'; compare it"), ("gone > 1", {}, "a: when: ")],
)
async def test_a_when_that_decides_nothing_fails_the_node_and_is_evaluated_again(
    tmp_path: Path, when: str, state: dict[str, Any], message: str
) -> None:
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(FLOW.replace("WHEN", when), state)
        assert await bench.end(run) == "failed"
        assert message in (await bench.error(run))["message"]
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "failed"
        await bench.runtime.command(Redrive(run.id, state={"word": False, "gone": 0}), ALICE)
        assert await bench.end(run) == "succeeded"
        assert (await shown(bench, run))["a"][0] == "skipped"


async def test_a_skipped_node_with_outcomes_continues_at_skipped_or_default(tmp_path: Path) -> None:
    for number, key in enumerate(("skipped", "default")):
        text = flow(
            f"{{id: w, type: wait, for: 1h, when: 'n > 0', next: {{done: a, timed_out: a, {key}: b}}}}",
            "{id: a, type: transform, transform: 'x = 1'}",
            "{id: b, type: transform, transform: 'y = 1'}",
        )
        async with Bench(tmp_path / str(number), Work()) as bench:
            run = await bench.start(text, {"n": 0})
            assert await bench.end(run) == "succeeded"
            assert await bench.state(run) == {"n": 0, "y": 1}


async def test_branches_of_a_parallel_are_skipped(tmp_path: Path) -> None:
    text = flow(
        "{id: p, type: parallel, parallel_nodes: [one, two], next: [after]}",
        "{id: one, type: compute, handler: h, when: 'n > 0'}",
        "{id: two, type: compute, handler: h, when: 'n == 0'}",
        "{id: after, type: transform, transform: 'went = true'}",
    )
    work = Work()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text, {"n": 0})
        assert await bench.end(run) == "succeeded"
        assert [call.node_id for call in work.calls] == ["two"]
        assert (await shown(bench, run))["one"][0] == "skipped"


async def test_a_fail_node_ends_the_run_with_its_error(tmp_path: Path) -> None:
    text = flow(
        "{id: a, type: transform, transform: 'rows = 12', next: [stop, other]}",
        "{id: stop, type: fail, when: 'rows > limit', message: '{rows} rows, {gone}', error_type: TooMany, next: [b]}",
        "{id: other, type: compute, handler: h}",
        "{id: b, type: transform, transform: 'went = true'}",
    )
    work = Work()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text, {"limit": 10})
        assert await bench.end(run) == "failed"
        assert await bench.error(run) == {
            "type": "TooMany", "message": "12 rows, ⟨gone is missing⟩", "node_id": "stop",
        }  # fmt: skip
        assert work.calls == []
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "failed"
        run = await bench.start(text, {"limit": 20})
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["went"] is True


async def test_a_succeed_node_ends_the_run_and_leaves_pending_nodes(tmp_path: Path) -> None:
    text = flow(
        "{id: a, type: transform, transform: 'x = 1', next: [stop, other]}",
        "{id: stop, type: succeed}",
        "{id: other, type: compute, handler: h}",
    )
    work = Work()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        assert work.calls == []
        assert (await shown(bench, run))["other"][0] == "skipped"
    async with Bench(tmp_path, work) as bench:  # also after a restart
        assert await bench.status(run) == "succeeded"


async def test_in_a_parallel_they_end_their_branch(tmp_path: Path) -> None:
    def text(join: str) -> str:
        return flow(
            f"{{id: p, type: parallel, parallel_nodes: [one, two], join_strategy: {join}, next: [after]}}",
            "{id: one, type: fail, message: nope}",
            "{id: two, type: transform, transform: 'x = 1', next: [enough, never]}",
            "{id: enough, type: succeed}",
            "{id: never, type: compute, handler: h}",
            "{id: after, type: transform, transform: 'went = true'}",
        )

    work = Work()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text("merge"))
        assert await bench.end(run) == "succeeded"
        assert await bench.state(run) == {"x": 1, "went": True}
        assert work.calls == []
    async with Bench(tmp_path / "2", work) as bench:
        run = await bench.start(text("all"))
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["message"] == "p: one failed: nope"


async def test_an_open_attempt_is_not_skipped_after_a_restart(tmp_path: Path) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(a=hang)) as bench:
        run = await bench.start(FLOW.replace("WHEN", "n > 0"), {"n": 1})

        async def begun() -> bool:
            return bool(await bench.one("SELECT COUNT(*) FROM attempts WHERE node_id = 'a'"))

        await bench.until(begun)
        # As if the expression had another value now, such as one that reads the time.
        await bench.store.write(lambda tx: tx.execute("UPDATE run_states SET state = '{\"n\":0}'"))
    async with Bench(tmp_path, Work(a={"did": 1})) as bench:
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["did"] == 1


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("{id: a, type: condition, when: x, condition: x, branches: {true: b, false: b}}", "has no when"),
        (
            "{id: a, type: wait, for: 1, when: x, next: {done: b, timed_out: b}}",
            "no node for the outcome skipped",
        ),
        ("{id: a, type: fail, message: m, next: [b]}", "so next has no meaning"),
        ("{id: a, type: succeed, retry: 3, next: [b], when: x}", "so retry has no meaning"),
        ("{id: a, type: fail, next: [b], when: x}", "a fail node needs a message"),
        ("{id: a, type: compute, when: [1], next: [b]}", "when must be an expression"),
        ("{id: a, type: compute, when: 'x >', next: [b]}", "the node fails if it is reached"),
    ],
)
def test_a_when_or_end_that_cannot_act_is_reported(node: str, message: str) -> None:
    found = load_text(flow(node, "{id: b, type: transform, transform: 'y = 1'}"))
    assert any(message in each.message for each in found.problems), found.problems
