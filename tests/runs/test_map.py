"""Map nodes: the items, their keys, limits and failures."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.api import Answer
from victor_engine.errors import NodeError
from victor_engine.runs.commands import Pause, Resume, Retry
from victor_engine.store import queries
from victor_engine.work.calls import NodeCall

FLOW = """
workflows:
  w:
    nodes:
      - {id: each, type: map, over: $ctx.hosts, as: host, node: probe, max_concurrent: 2, output: probes, next: [last]}
      - {id: probe, type: compute, handler: h, inputs: {name: $ctx.host, at: $ctx.host_index}}
      - {id: last, type: transform, transform: "n = len(probes)"}
"""


class Probe:
    """The work of an item. It counts how many run at once."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.active = self.most = 0
        self.calls: list[NodeCall] = []

    async def __call__(self, call: NodeCall) -> Any:
        self.calls.append(call)
        self.active += 1
        self.most = max(self.most, self.active)
        await asyncio.sleep(0)
        self.active -= 1
        if str(call.inputs["name"]) in self.bad:
            raise NodeError("down", error_type="Down", retryable=False)
        return {"seen": call.inputs["name"]}


class MapWork(Work):
    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def resolve(self, workflow: str, node: Any, role: str | None = None) -> Any:
        async def invoke(call: NodeCall, context: Any) -> Any:
            return await self.probe(call)

        invoke.description = "probe"  # type: ignore[attr-defined]
        return invoke


async def test_results_are_in_order_and_the_number_at_once_is_limited(tmp_path: Path) -> None:
    probe = Probe()
    async with Bench(tmp_path, MapWork(probe)) as bench:
        run = await bench.start(FLOW, {"hosts": list("abcde")})
        assert await bench.end(run) == "succeeded"
        assert probe.most == 2
        assert [(call.inputs, call.idempotency_key) for call in probe.calls] == [
            ({"name": name, "at": at}, f"{run.id}/probe.{at}/1") for at, name in enumerate("abcde")
        ]
        state = await bench.state(run)
        assert state == {"hosts": list("abcde"), "probes": [{"seen": name} for name in "abcde"], "n": 5}


async def test_a_retry_executes_only_the_failed_items(tmp_path: Path) -> None:
    flow = FLOW.replace("output: probes", "output: probes, key: host").replace(
        "max_concurrent: 2", "max_concurrent: 1"
    )
    probe = Probe("c")
    async with Bench(tmp_path, MapWork(probe)) as bench:
        run = await bench.start(flow, {"hosts": list("abcde")})
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["message"] == "each: 1 of 5 items failed, and 0 may fail; item c: down"
        assert error["type"] == "Down"
        probe.bad.clear()
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        keys = [call.idempotency_key.split("/")[1] for call in probe.calls]
        assert keys == ["probe.a", "probe.b", "probe.c", "probe.c", "probe.d", "probe.e"]
        assert (await bench.state(run))["probes"] == [{"seen": name} for name in "abcde"]


async def test_the_grid_shows_the_most_urgent_status_of_the_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each item the last attempt counts, and the number of attempts that are read has a limit."""
    probe = Probe("c", "d")
    async with Bench(tmp_path, MapWork(probe)) as bench:

        async def grid() -> tuple[dict[str, tuple[str, int]], bool]:
            found = await bench.store.read(lambda c: queries.run_grid(c, "w", 1, datetime.now(UTC)))
            assert found.nodes == ("each", "probe", "last")
            (only,) = found.runs
            return {node: (cell.status, cell.attempts) for node, cell in only.cells.items()}, only.cut

        run = await bench.start(
            FLOW.replace("max_concurrent: 2", "max_concurrent: 1, tolerate: 1"), {"hosts": list("abcde")}
        )
        assert await bench.end(run) == "failed"
        assert (await grid())[0]["probe"] == ("failed", 2)
        probe.bad = {"d"}
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        cells, cut = await grid()
        assert (cells["probe"], cells["last"], cut) == (("failed", 1), ("succeeded", 1), False)
        monkeypatch.setattr(import_module("victor_engine.store.queries.run_grid"), "COUNTED", 3)
        assert (await grid())[1]


@pytest.mark.parametrize(
    ("limit", "bad", "status"),
    [("tolerate: 1", "c", "succeeded"), ("tolerate: 1", "cd", "failed"), ("min_success: 3", "cd", "succeeded"),
     ("min_success: 4", "cd", "failed")],
)  # fmt: skip
async def test_some_items_may_fail(tmp_path: Path, limit: str, bad: str, status: str) -> None:
    flow = FLOW.replace("output: probes", f"output: probes, {limit}")
    async with Bench(tmp_path, MapWork(Probe(*bad))) as bench:
        run = await bench.start(flow, {"hosts": list("abcde")})
        assert await bench.end(run) == status
        if status == "failed":
            assert "2 of 5 items failed" in (await bench.error(run))["message"]
            return
        state = await bench.state(run)
        assert state["probes"] == [None if name in bad else {"seen": name} for name in "abcde"]
        record = state["errors"]["each"]
        assert (record["type"], record["message"]) == ("ItemsFailed", f"{len(bad)} of 5 items failed")
        assert record["items"] == {str("abcde".index(name)): "down" for name in bad}
        detail = await bench.store.read(lambda c: queries.run_detail(c, run.id, datetime.now(UTC)))
        (probe,) = (node for node in detail.nodes if node.node_id == "probe")
        assert probe.items == {"failed": len(bad), "succeeded": 5 - len(bad)}
        assert [node.node_id for node in detail.nodes] == ["each", "probe", "last"]


@pytest.mark.parametrize(
    ("over", "state", "keys"),
    [
        ("[1, 2]", {}, ["0", "1"]),
        ("$ctx.all.hosts", {"all": {"hosts": ["x"]}}, ["0"]),
        ("'[h for h in hosts if h != \"a\"]'", {"hosts": ["a", "b", "c"]}, ["0", "1"]),
        ("$ctx.hosts", {"hosts": {"web": 1, "db": 2}}, ["web", "db"]),
        ("$ctx.hosts", {"hosts": []}, []),
    ],
)
async def test_over_is_a_list_a_map_or_an_expression(
    tmp_path: Path, over: str, state: dict[str, Any], keys: list[str]
) -> None:
    probe = Probe()
    async with Bench(tmp_path, MapWork(probe)) as bench:
        run = await bench.start(FLOW.replace("over: $ctx.hosts", f"over: {over}"), state)
        assert await bench.end(run) == "succeeded"
        assert [call.idempotency_key.split("/")[1] for call in probe.calls] == [
            f"probe.{key}" for key in keys
        ]
        assert (await bench.state(run))["n"] == len(keys)


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (7, "each: over must be a list or a map, not int"),
        ([{"name": "a"}, {"name": "a"}], "each: item 1 has the key 'a', as item 0; keys must be unique"),
        ([{"id": 1}], "each: item 0 has no host.name"),
        ([{"name": ""}], "each: item 0 has a key of 0 characters; a key has 1 to 200"),
    ],
)
async def test_items_without_a_usable_key_fail_the_map(tmp_path: Path, hosts: Any, message: str) -> None:
    flow = FLOW.replace("output: probes", "output: probes, key: host.name")
    async with Bench(tmp_path, MapWork(Probe())) as bench:
        run = await bench.start(flow, {"hosts": hosts})
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["message"] == message


async def test_a_pause_ends_the_active_items_and_starts_no_other(tmp_path: Path) -> None:
    probe = Probe()
    begun, free = asyncio.Event(), asyncio.Event()

    async def slow(call: NodeCall) -> Any:
        begun.set()
        await free.wait()
        return await Probe.__call__(probe, call)

    work = MapWork(probe)
    work.probe = slow  # type: ignore[assignment]
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW, {"hosts": list("abcde")})
        await begun.wait()
        await bench.runtime.command(Pause(run.id), ALICE)
        free.set()
        await bench.until_status(run, "paused")
        assert [call.inputs["at"] for call in probe.calls] == [0, 1]
        await bench.runtime.command(Resume(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert [call.inputs["at"] for call in probe.calls] == [0, 1, 2, 3, 4]


async def test_a_kill_after_any_commit_repeats_no_finished_item(tmp_path: Path) -> None:
    """The store is copied after each commit, and another engine continues each copy."""
    probe = Probe("c")
    copies: list[tuple[Path, list[str]]] = []
    flow = FLOW.replace("output: probes", "output: probes, tolerate: 1")

    async with Bench(tmp_path, MapWork(probe)) as bench:

        def copy(_: Any) -> None:
            to = tmp_path / f"copy{len(copies)}"
            to.mkdir()
            with (
                sqlite3.connect(tmp_path / "victor.db") as source,
                sqlite3.connect(to / "victor.db") as target,
            ):
                source.backup(target)
                ended = "SELECT node_id FROM attempts WHERE node_type = 'item' AND status IN ('succeeded', 'failed')"
                copies.append((to, [node for (node,) in target.execute(ended)]))

        bench.store.listen(copy)
        run = await bench.start(flow, {"hosts": list("abcd")})
        assert await bench.end(run) == "succeeded"
    assert len(copies) > 5
    for path, ended in copies:
        again = Probe("c")
        async with Bench(path, MapWork(again)) as other:
            assert await other.end(run) == "succeeded"
            assert not {call.node_id for call in again.calls} & set(ended)
            assert (await other.state(run))["probes"] == [{"seen": "a"}, {"seen": "b"}, None, {"seen": "d"}]


async def test_a_child_run_for_each_item(tmp_path: Path) -> None:
    flow = FLOW.replace("type: compute, handler: h, inputs", "type: workflow, workflow: kid, inputs")
    async with Bench(tmp_path, Work()) as bench:
        await bench.define("workflows: {kid: {nodes: [{id: k, type: transform, transform: 'got = name'}]}}")
        run = await bench.start(flow, {"hosts": ["x", "y", "z"]})
        assert await bench.end(run) == "succeeded"
        assert [each["got"] for each in (await bench.state(run))["probes"]] == ["x", "y", "z"]


PARALLEL = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [a, b, c, d], MORE, next: [last]}
      - {id: a, type: compute, handler: h, inputs: {name: a}, merge: false}
      - {id: b, type: compute, handler: h, inputs: {name: b}, merge: false}
      - {id: c, type: compute, handler: h, inputs: {name: c}, merge: false}
      - {id: d, type: compute, handler: h, inputs: {name: d}, merge: false}
      - {id: last, type: transform, transform: "done = true"}
"""


@pytest.mark.parametrize(
    ("more", "bad", "status", "called"),
    [
        ("max_concurrent: 2", "", "succeeded", "abcd"),
        ("max_concurrent: 1", "b", "failed", "ab"),
        ("max_concurrent: 1, join: any", "a", "succeeded", "ab"),
        ("max_concurrent: 1, join: 2", "a", "succeeded", "abc"),
        ("max_concurrent: 3, join: merge", "abd", "succeeded", "abcd"),
    ],
)
async def test_a_parallel_runs_at_most_so_many_branches_at_once(
    tmp_path: Path, more: str, bad: str, status: str, called: str
) -> None:
    probe = Probe(*bad)
    async with Bench(tmp_path, MapWork(probe)) as bench:
        run = await bench.start(PARALLEL.replace("MORE", more))
        assert await bench.end(run) == status
        assert probe.most <= int(more.split(",")[0].split()[1])
        assert [call.node_id for call in probe.calls] == list(called)


async def test_a_parallel_with_a_limit_pauses_and_continues(tmp_path: Path) -> None:
    flow = PARALLEL.replace("MORE", "max_concurrent: 1").replace(
        "{id: b, type: compute, handler: h, inputs: {name: b}, merge: false}",
        "{id: b, type: hitl, prompt: ok}",
    )
    probe = Probe()
    async with Bench(tmp_path, MapWork(probe)) as bench:
        run = await bench.start(flow)
        await bench.question(run)
        await bench.until_status(run, "waiting")
        await bench.runtime.command(Pause(run.id), ALICE)
        await bench.until_status(run, "paused")
        await bench.runtime.command(Resume(run.id), ALICE)
        await bench.answer(run, Answer(outcome="approved", value=True))
        assert await bench.end(run) == "succeeded"
        assert [call.node_id for call in probe.calls] == ["a", "c", "d"]
