"""The race for answers, at a small size, finds no error in the product, and finds seeded errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.race import contested, race, resumed

pytestmark = pytest.mark.process

REQUESTS = int(os.environ.get("VICTOR_RACE_REQUESTS", "40"))


async def test_each_request_has_one_answer_and_all_other_answers_are_refused(tmp_path: Path) -> None:
    results, problems = await race(tmp_path / "ws", REQUESTS, consoles=2, command_lines=2, seed=3, say=False)
    assert problems == []
    assert len(results) == REQUESTS
    assert {answer["kind"] for answers in results for answer in answers if answer["won"]} == {
        "console",
        "cli",
    }
    assert any(map(contested, results))
    waits = resumed(tmp_path / "ws")
    assert waits[len(waits) // 2] < 200, "milliseconds until a run goes on after its answer"


async def test_a_seeded_second_answer_is_found(tmp_path: Path) -> None:
    _, problems = await race(
        tmp_path / "ws", 5, consoles=3, command_lines=0, seed=3, bug="second-counts", say=False
    )
    assert any("contestants won" in problem for problem in problems)
