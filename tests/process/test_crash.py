"""The crash harness finds no error in the product, and finds seeded errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash import PHASES, Acknowledgements, crash, end_leftovers

pytestmark = pytest.mark.process


def crashed(tmp_path: Path, kills: int, bug: str = "", seed: int = 7) -> tuple[Acknowledgements, list[str]]:
    root = tmp_path.resolve() / f"ws{seed}"
    try:
        facts, problems = crash(root, kills, seed=seed, bug=bug, say=False)
    finally:
        end_leftovers(root)
    return facts, problems


def test_an_engine_that_is_killed_in_any_phase_loses_and_repeats_nothing(tmp_path: Path) -> None:
    facts, problems = crashed(tmp_path, 10)
    assert problems == []
    assert len(facts.acknowledged) > 20
    assert facts.commands.total() >= 5, facts.commands


@pytest.mark.parametrize(
    ("bug", "finding"),
    [
        ("double-apply", "twice: "),
        ("early-ack", "lost: "),
        ("orphans", "orphans: "),
        ("forget-pause", "held: "),
    ],
)
def test_a_seeded_bug_is_found(tmp_path: Path, bug: str, finding: str) -> None:
    # Whether a kill triggers the error depends on the machine, so run a few rounds with different seeds.
    for seed in range(7, 13):
        _, problems = crashed(tmp_path, len(PHASES), bug, seed)
        if any(problem.startswith(finding) for problem in problems):
            return
    pytest.fail(f"{bug} was not found")
