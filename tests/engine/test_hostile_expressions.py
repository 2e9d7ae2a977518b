"""An expression that needs too much work fails its node, and no other run waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer
from victor_engine.engine import Engine

HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "digits": ("x = round(amount, digits)", {"amount": 7, "digits": -1_000_000_000}),
    "ranges": ("x = [range(200000) for i in range(2000)]", {}),
    "texts": ("x = text * 1000000000", {"text": "x"}),
    "power": ("x = 10 ** 10 ** 8", {}),
    "product": ("x = big * big * big * big", {"big": 10**4000}),
    "nested loops": ("x = [i * j for i in range(100000) for j in range(100000)]", {}),
    "sum of products": ("x = sum(i * j for i in range(10000) for j in range(10000))", {}),
    "replaced text": ("x = text.replace('a', long)", {"text": "a" * 100_000, "long": "b" * 100_000}),
}

FAST = """
    workflows:
      ask:
        nodes:
          - {id: gate, type: hitl, hitl_type: approval, prompt: "go?", next: {approved: done, rejected: done}}
          - {id: done, type: transform, transform: "x = 1"}
"""


def files() -> dict[str, str]:
    lines = ["workflows:"]
    for number, (text, _) in enumerate(HOSTILE.values()):
        lines += [f"  h{number}:", "    nodes:", f"      - {{id: a, type: transform, transform: {text!r}}}"]
    return {
        "victor.yaml": "{}",
        "workflows/hostile.yaml": "\n".join(lines) + "\n",
        "workflows/ask.yaml": FAST,
    }


async def prompt_answer(engine: Engine) -> float:
    """Return the seconds from an answer until its run has finished, while other runs evaluate expressions."""
    run = await engine.start_run("ask")
    asked = await question(engine, run.id)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
    assert (await until_end(engine, run.id)).run.status == "succeeded"
    return loop.time() - began


async def test_hostile_expressions_fail_their_node_and_delay_no_other_run(tmp_path: Path) -> None:
    root = workspace(tmp_path, files())
    async with engine_on(root) as engine:
        runs = [
            await engine.start_run(f"h{number}", state=state)
            for number, (_, state) in enumerate(HOSTILE.values())
        ]
        assert await prompt_answer(engine) < 3.0
        for name, run in zip(HOSTILE, runs, strict=True):
            ended = await until_end(engine, run.id)
            assert ended.run.status == "failed", name
            error = ended.attempts[-1].error
            assert error is not None
            assert (error.type, error.node_id) == ("ExpressionLimitError", "a"), name
            assert "a: transform: line 1" in error.message
            assert "make it smaller" in error.message or "the maximum is" in error.message, name


async def test_an_interrupted_hostile_expression_does_not_block_the_next_start(
    tmp_path: Path,
) -> None:
    root = workspace(tmp_path, files())
    async with engine_on(root) as engine:
        run = await engine.start_run("h5")
    async with engine_on(root) as engine:
        assert await prompt_answer(engine) < 3.0
        assert (await until_end(engine, run.id)).run.status == "failed"


async def test_an_expression_of_more_than_a_millisecond_is_evaluated(tmp_path: Path) -> None:
    text = """
        workflows:
          long:
            nodes:
              - {id: a, type: transform, transform: "x = sum(i for i in range(100000))", next: [b]}
              - {id: b, type: condition, condition: "len([i for i in range(50000) if i % 2]) == 25000",
                 branches: {"true": c}}
              - {id: c, type: transform, transform: "y = x + 1"}
        """
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/long.yaml": text})
    async with engine_on(root) as engine:
        run = await engine.start_run("long")
        ended = await until_end(engine, run.id)
        assert ended.run.status == "succeeded"
        assert ended.state["y"] == sum(range(100000)) + 1


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("x = float('nan')", {}),
        ("x = float('inf')", {}),
        ("x = 1e308 * 10", {}),
        ("x = text[0]", {"text": "😀"}),
    ],
)
async def test_results_without_a_json_form_fail_with_an_error_type(
    tmp_path: Path, text: str, state: dict[str, Any]
) -> None:
    definition = f"workflows:\n  w:\n    nodes:\n      - {{id: a, type: transform, transform: {text!r}}}\n"
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/w.yaml": definition})
    async with engine_on(root) as engine:
        run = await engine.start_run("w", state=state)
        ended = await until_end(engine, run.id)
        if text == "x = text[0]":
            assert ended.state["x"] == "😀"
        else:
            assert ended.run.status == "failed"
            assert ended.attempts[-1].error is not None
            assert ended.attempts[-1].error.type == "ResultNotJSON"
