"""The engine against a model, with full disks, restarts and kills between any two commits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.state_machine import Machine, Trouble, explore, machines


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machines(tmp_path) as made:
        found = made()
        yield found
        found.teardown()


def test_the_engine_does_what_the_model_says(tmp_path: Path) -> None:
    explore(tmp_path, examples=20, steps=15)


@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rejection_stays_one_after_a_kill(machine: Machine, when: str, commit: int) -> None:
    machine.begin([("single", True)])
    machine.decide(0, "bob", "rejected", ("alice",), False, Trouble(when, commit))
    assert machine.world[0].end in ("rejected", "")
    machine.restart(0.0)


@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_question_that_has_expired_is_not_asked_again_after_a_kill(
    machine: Machine, when: str, commit: int
) -> None:
    machine.begin([("single", True)])
    machine.pass_time(7200.0, False, Trouble(when, commit))
    assert machine.world[0].end == "failed"


@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_work_that_has_failed_for_good_is_not_done_again_after_a_kill(
    machine: Machine, when: str, commit: int
) -> None:
    machine.begin([("single", False)])
    machine.let_end(0, "fail", Trouble(when, commit))
    failures = machine.events("node.failed")
    assert failures == (1 if machine.world[0].end else 0)
