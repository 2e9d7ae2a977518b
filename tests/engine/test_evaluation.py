"""Expressions over their budget fail their node, and never block the engine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer
from victor_engine.engine import Engine

HOSTILE = {
    "digits": "round(amount, digits)",
    "lists": "[range(200000) for i in range(2000)]",
    "text": '"x" * 10**9',
    "power": "10**10**8",
    "product": "x * x * x * x * x",
    "spelled": "[str(x) for i in range(150000) for j in [1]]",
    "summed": "sum([[1] * 200000 for i in range(5000)], [])",
    "sorted": "[sorted(many) for i in range(100000)]",
    "compared": "[0 for i in range(200000) if [[0] * 200000] * 2000 == [[0] * 200000] * 2000]",
    "searched": "[i in many for i in range(200000)]",
    "shared": "[[[many] * 200000] * 200000]",
    "hashed": "{(((1,) * 200000,) * 200000,)}",
    "padded": "[f'{i:>999}' * 1000 for i in range(200000)]",
    "replaced": "[('x' * 200000).replace('x', 'yyyyy') for i in range(200000)]",
    "joined": "[','.join(words) for i in range(200000)]",
    "split": "[('x ' * 90000).rsplit('x ' * 50000 + 'y') for i in range(200000)]",
    "nested": "[k for k in range(100000) for i in many]",
    "zfill": "text.zfill(10**9)",
    "infinite": "1e308 * 10",
    "not_a_number": "1e308 * 10 - 1e308 * 10",
    "surrogate": "'\\ud800'",
}
JSON = {"infinite", "not_a_number", "surrogate"}

LONG = "sum([i * i for i in range(150000)])"

FILE = (
    "workflows:\n"
    + "".join(
        f"  {name}:\n    version: 1.0.0\n    nodes:\n      - id: n\n        type: transform\n"
        f"        transform: {json.dumps('y = ' + expression)}\n"
        for name, expression in {
            **HOSTILE,
            "long": LONG,
            "own": "y = [twice(i) for i in range(20000)][-1]"[4:],
        }.items()
    )
    + """
  cond:
    version: 1.0.0
    nodes:
      - {id: c, type: condition, condition: "round(amount, digits) > 1", branches: {"true": n, "false": n}}
      - {id: n, type: transform, transform: "y = 1"}
  ask:
    version: 1.0.0
    nodes:
      - {id: gate, type: hitl, prompt: "Go on?", next: [n]}
      - {id: n, type: transform, transform: "y = 1"}
"""
)

STATE = {
    "amount": 7,
    "digits": -1_000_000_000,
    "x": 10**1000,
    "many": list(range(100_000)),
    "words": ["word"] * 20_000,
    "text": "t",
}


async def answered(engine: Engine) -> None:
    """Answer a request of another run, which must not wait for the other work."""
    async with asyncio.timeout(20):
        other = await engine.start_run("ask")
        request = await question(engine, other.id)
        await engine.answer(request.id, request.revision, Answer("approved"))
        assert (await until_end(engine, other.id)).run.status == "succeeded"


def children() -> list[int]:
    """Return the child processes that evaluate expressions."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path("/proc", name, "cmdline").read_bytes()
                parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if b"victor_engine.definition.expressions.worker" in words and int(parent) == os.getpid():
                found.append(int(name))
    return found


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_limited_expression_fails_its_node_and_does_not_delay_another_run(
    name: str, tmp_path: Path
) -> None:
    root = workspace(tmp_path, {"workflows/f.yaml": FILE})
    async with engine_on(root) as engine:
        run = await engine.start_run(name, state=STATE)
        await answered(engine)
        found = await until_end(engine, run.id)
    error = found.run.error
    assert (found.run.status, error and error.node_id) == ("failed", "n")
    assert error is not None
    if name in JSON:
        assert error.type == "ResultNotJSON"
    else:
        assert error.type == "ExpressionLimitError"
        assert "n: transform: line 1: " in error.message
        assert "make it smaller" in error.message
    assert children() == []


async def test_a_condition_is_limited_in_the_same_way(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, {"workflows/f.yaml": FILE})) as engine:
        run = await engine.start_run("cond", state=STATE)
        error = (await until_end(engine, run.id)).run.error
    assert error is not None
    assert (error.type, error.node_id) == ("ExpressionLimitError", "c")
    assert error.message.startswith("c: condition: round(amount, digits) > 1: ")


async def test_a_limited_expression_fails_after_a_restart_too(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"workflows/f.yaml": FILE})
    async with engine_on(root) as engine:
        run = await engine.start_run("sorted", state=STATE)
        async with asyncio.timeout(20):
            while not children():
                await asyncio.sleep(0.01)
    assert children() == [], "the engine ends its processes"
    async with engine_on(root) as engine:
        await answered(engine)
        error = (await until_end(engine, run.id)).run.error
    assert error is not None
    assert error.type == "ExpressionLimitError"


async def test_a_long_expression_is_evaluated_in_a_process(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, {"workflows/f.yaml": FILE})) as engine:
        for _ in range(2):
            run = await engine.start_run("long")
            await until_end(engine, run.id)
            assert (await engine.run(run.id)).state["y"] == sum(i * i for i in range(150_000))
            assert len(children()) == 1, "the process is used again"


async def test_functions_of_the_workspace_are_called_once_each(tmp_path: Path) -> None:
    calls: list[int] = []

    def twice(value: int) -> int:
        calls.append(value)
        return value * 2

    root = workspace(tmp_path, {"workflows/f.yaml": FILE})
    async with engine_on(root, functions={"twice": twice}) as engine:
        run = await engine.start_run("own")
        await until_end(engine, run.id)
        assert (await engine.run(run.id)).state["y"] == 39_998
    assert calls == list(range(20_000))
