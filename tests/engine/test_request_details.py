"""What the port shows of one request: who started its run, where its answers lead, and who was asked before."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.engine.support import engine_on, question, workspace
from victor_engine.api import Answer, RequestInfo, RequestQuery, start_text, way_text
from victor_engine.engine import Engine

STEP = {"type": "transform", "transform": "v = 1"}


def steps(*names: str, **more: Any) -> list[dict[str, Any]]:
    """Return nodes that follow each other, the last with `more`."""
    made = [{"id": name, **STEP, "next": [after]} for name, after in pairwise(names)]
    return [*made, {"id": names[-1], **STEP, **more}]


def gate(**fields: Any) -> dict[str, Any]:
    return {"id": "gate", "type": "hitl", "hitl_type": "approval", "prompt": "Now?", **fields}


def condition(text: str, **branches: str) -> dict[str, Any]:
    return {"id": "check", "type": "condition", "condition": text, "branches": branches}


CHOICES = {"hitl_type": "choice", "choices": ["prod", "test", "dev"]}
CASES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "list": (
        [gate(next=["roll_out"]), *steps("roll_out", "health_check", "a", "b", "c")],
        ["approve -> roll_out, health_check, 3 more", "reject -> ends as rejected"],
    ),
    "map": (
        [gate(next={"approved": "ship", "rejected": "note"}), *steps("ship"), *steps("note")],
        ["approve -> ship", "reject -> note"],
    ),
    "nothing": ([gate()], ["approve -> nothing follows", "reject -> ends as rejected"]),
    "condition of the answer": (
        [gate(next=["check"]), condition("gate", true="ship", false="note"), *steps("ship"), *steps("note")],
        ["approve -> ship", "reject -> note"],
    ),
    "condition of the outcome": (
        [
            gate(next=["check"]),
            condition("human.gate.outcome == 'approved'", true="ship"),
            *steps("ship"),
        ],
        ["approve -> ship", "reject -> nothing follows"],
    ),
    "condition of the state": (
        [gate(next=["check"]), condition("gate and risk < 3", true="ship", false="note"), *steps("ship"), *steps("note")],
        ["approve, reject -> depends on check: gate and risk < 3"],
    ),
    "condition of the comment": (
        [gate(next=["check"]), condition("human.gate.comment == 'x'", true="ship", false="ship"), *steps("ship")],
        ["approve, reject -> depends on check: human.gate.comment == 'x'"],
    ),
    "condition after a node": (
        [gate(next=["a"]), *steps("a", next=["check"]), condition("gate", true="ship", false="a"), *steps("ship")],
        ["approve -> a, then depends on check: gate", "reject -> ends as rejected"],
    ),
    "choices": (
        [gate(**CHOICES, next={"prod": "ship", "default": "note"}), *steps("ship"), *steps("note")],
        ["prod -> ship", "test, dev -> note"],
    ),
    "choices of a condition": (
        [gate(**CHOICES, next=["check"]), condition("gate", prod="ship", default="note"), *steps("ship"), *steps("note")],
        ["prod -> ship", "test, dev -> note"],
    ),
    "form": (
        [gate(hitl_type="input", next=["check"]), condition("gate == 'x'", true="ship"), *steps("ship")],
        ["answer -> depends on check: gate == 'x'"],
    ),
    "another question": (
        [gate(next=["ship", "sign"]), *steps("ship"), {"id": "sign", "type": "hitl", "prompt": "?", "next": ["ship"]}],
        ["approve -> ship, sign, then depends on the answer to sign", "reject -> ends as rejected"],
    ),
    "branch of a parallel node": (
        [
            {"id": "both", "type": "parallel", "parallel_nodes": ["gate", "a"], "next": ["ship"]},
            gate(next=["b"]), *steps("a"), *steps("b", next=["ship"]), *steps("ship"),
        ],
        ["approve -> b, joins both", "reject -> rejects its branch of both"],
    ),
    "loop": (
        [gate(next={"approved": "ship", "rejected": "a"}), *steps("ship"), *steps("a", "b", next=["gate"])],
        ["approve -> ship", "reject -> a, b, 1 more, then depends on the answer to gate"],
    ),
}  # fmt: skip


async def asked(engine: Engine, workflow: str, note: str = "") -> RequestInfo:
    run = await engine.start_run(workflow, None, {"risk": 1}, note)
    return await engine.request((await question(engine, run.id)).id)


async def test_the_ways_of_the_answers(tmp_path: Path) -> None:
    flows = {name.replace(" ", "_"): {"nodes": nodes} for name, (nodes, _) in CASES.items()}
    files = {"workflows/all.yaml": yaml.safe_dump({"workflows": flows}, sort_keys=False)}
    async with engine_on(workspace(tmp_path, files)) as engine:
        for name, (_, expected) in CASES.items():
            request = await asked(engine, name.replace(" ", "_"))
            assert [way_text(way) for way in request.ways] == expected, name


async def test_the_ways_are_those_of_the_version_of_the_run(tmp_path: Path) -> None:
    root = workspace(
        tmp_path,
        {
            "workflows/w.yaml": yaml.safe_dump(
                {"workflows": {"w": {"nodes": [gate(next=["a"]), *steps("a")]}}}
            )
        },
    )
    async with engine_on(root) as engine:
        request = await asked(engine, "w")
        (root / "workflows/w.yaml").write_text(
            yaml.safe_dump({"workflows": {"w": {"nodes": [gate(next=["b"]), *steps("b")]}}})
        )
        await engine.reload()
        assert (await engine.request(request.id)).ways[0].nodes == ("a",)
        assert (await asked(engine, "w")).ways[0].nodes == ("b",)
        await engine.answer(request.id, request.revision, Answer("approved"))
        assert (await engine.request(request.id)).ways == ()


FLOW = """
    handlers:
      work: {command: [sh, -c, "for n in $(seq 300); do echo line $n >&2; done"]}
"""
TREE = {
    "victor.yaml": FLOW,
    "workflows/w.yaml": yaml.safe_dump({
        "workflows": {
            "train": {"nodes": [{"id": "car", "type": "workflow", "workflow": "w"}]},
            "w": {"nodes": [
                {"id": "build", "type": "compute", "handler": "work", "next": ["count"]},
                {"id": "count", "type": "transform", "transform": "n = 1", "next": ["gate"]},
                gate(next=[]),
            ]},
        }
    }),
}  # fmt: skip


async def test_the_start_the_parent_run_and_the_log_before(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, TREE)) as engine:
        parent = await engine.start_run("train", note="the weekly one")
        async with asyncio.timeout(30):
            while not (found := await engine.requests(RequestQuery())):
                await asyncio.sleep(0)
        request = await engine.request(found[0].id)
        assert request.started is not None
        assert start_text(request.started) == f"started by me, child of run {parent.id} of train, node car"
        async with asyncio.timeout(30):  # log lines are written in batches
            while request.log is None or not (await engine.run_log(request.run_id, text="line 300")):
                await asyncio.sleep(0.01)
                request = await engine.request(request.id)
        request = await engine.request(request.id)
        assert request.log is not None
        lines = await engine.run_log(request.run_id, request.log.after, 200, request.log.node_id)
        assert [line.text for line in (lines[0], lines[-1])] == ["line 101", "line 300"]
        other = await asked(engine, "w", "try it")
        assert other.started is not None
        assert start_text(other.started) == "started by me: try it"
        assert found[0].started is None, "a list does not have it"


async def test_handovers_and_the_value_of_a_vote(tmp_path: Path) -> None:
    nodes = [gate(**CHOICES, required_approvals=2, assignees=["me", "root", "nobody"], next=[])]
    files = {
        "victor.yaml": "hitl: {unknown_assignees: warn}",
        "workflows/w.yaml": yaml.safe_dump({"workflows": {"w": {"nodes": nodes}}}),
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        request = await asked(engine, "w")
        await engine.reassign(request.id, request.revision, ["user:me", "daemon"], "root is on leave")
        request = await engine.request(request.id)
        (change,) = request.handovers
        assert (change.kind, change.to, change.note) == (
            "reassigned",
            ("user:me", "daemon"),
            "root is on leave",
        )
        await engine.answer(request.id, request.revision, Answer("answered", "test"))
        (vote,) = (await engine.request(request.id)).votes
        assert vote.value == "test"
