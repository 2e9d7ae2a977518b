"""The decisions on commands: pure functions of the stored rows."""

from __future__ import annotations

import pytest

from victor_engine.api import NodeOverride
from victor_engine.definition.loader import load_text
from victor_engine.domain.statuses import RunStatus
from victor_engine.domain.transitions import RUN_TRANSITIONS, RunCommand
from victor_engine.errors import ConflictError, UsageError
from victor_engine.graph_walk.effects import Position
from victor_engine.runs.commands import (
    Cancel,
    Pause,
    Redrive,
    Resume,
    decide_override,
    decide_retry,
    decide_status,
)
from victor_engine.runs.redrive import RedriveSource, Target, decide_frontier, decide_position
from victor_engine.store.repositories.attempt_rows import Visit
from victor_engine.store.repositories.run_rows import StoredRun

KINDS = {
    "paused": "run.paused",
    "pausing": "run.pausing",
    "cancelling": "run.cancelling",
    "queued": "run.resumed",
    "running": "run.resumed",
}
TEXT = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [both]}
      - {id: both, type: parallel, parallel_nodes: [left, right], next: [z]}
      - {id: left, type: compute, handler: h}
      - {id: right, type: compute, handler: h}
      - {id: z, type: compute, handler: h}
"""


def stored(status: str) -> StoredRun:
    return StoredRun(
        key=1,
        id="r1",
        workflow="w",
        definition_id=1,
        schedule_id=None,
        status=status,
        revision=3,
        priority=0,
        error=None,
        overrides=None,
    )


@pytest.mark.parametrize("status", RunStatus)
@pytest.mark.parametrize(
    ("name", "command"),
    [
        (RunCommand.PAUSE, Pause("r1")),
        (RunCommand.RESUME, Resume("r1")),
        (RunCommand.CANCEL, Cancel("r1")),
    ],
)
def test_the_table_of_transitions_decides(
    status: RunStatus, name: RunCommand, command: Pause | Resume | Cancel
) -> None:
    if status not in RUN_TRANSITIONS[name]:
        with pytest.raises(ConflictError, match=f"run r1 is {status}"):
            decide_status(stored(status), command)
        return
    change = decide_status(stored(status), command)
    assert change.status is RUN_TRANSITIONS[name][status]
    assert change.kind == KINDS[change.status]


def test_a_retry_resets_its_limits() -> None:
    position = Position(["b"], {"a": 2, "b": 1}, mark=3, floor=1, ordinal=4)
    retried = decide_retry(stored("failed"), position, last_attempt=9)
    assert (retried.frontier, retried.mark, retried.floor, retried.ordinal) == (["b"], 9, 3, 4)
    assert position.mark == 3, "the decision changes nothing"
    with pytest.raises(ConflictError, match="has no pending node"):
        decide_retry(stored("failed"), Position([]), 9)


def test_an_override_keeps_the_limits_that_it_does_not_set() -> None:
    before = {"a": NodeOverride("a", timeout=5)}
    new = decide_override(stored("running"), before, NodeOverride("a", max_attempts=3))
    assert new == NodeOverride("a", timeout=5, max_attempts=3)
    assert before == {"a": NodeOverride("a", timeout=5)}
    with pytest.raises(ConflictError, match="a will not have another attempt"):
        decide_override(stored("succeeded"), {}, NodeOverride("a", max_attempts=3))


def target(version: str = "1.0.0") -> Target:
    definition = load_text(TEXT).workflows["w"]
    return Target(1, definition, version, "1.0.0")


SOURCE = RedriveSource(
    Position(["both"], {"a": 1}, ordinal=1),
    "both",
    {"a": Visit(1, None), "both": Visit(1, None), "left": Visit(1, "both")},
    None,
)


def test_a_redrive_of_a_member_begins_at_the_node_that_starts_it() -> None:
    wanted = Redrive("r1", from_node="left")
    assert decide_frontier(stored("failed"), SOURCE, wanted, target()) == ["both"]


def test_a_redrive_at_the_same_position_is_the_same_visit_unless_the_state_changes() -> None:
    same = decide_position(SOURCE, ["both"], 7, reset=False)
    assert (same.counts, same.floor, same.mark) == ({"a": 1}, 1, 7)
    anew = decide_position(SOURCE, ["both"], 7, reset=True)
    assert (anew.counts, anew.floor) == ({"a": 1, "both": 1, "left": 1}, 3)


@pytest.mark.parametrize(
    ("wanted", "stood", "error", "words"),
    [
        (Redrive("r1", rewind=True, state={}), SOURCE, UsageError, "not both"),
        (Redrive("r1", from_node="y"), SOURCE, UsageError, "has no node 'y'; choose one of: a, both"),
        (Redrive("r1"), RedriveSource(Position([]), None, {}, None), ConflictError, "name one of its nodes"),
        (
            Redrive("r1"),
            RedriveSource(Position(["a"]), None, {}, "r0"),
            ConflictError,
            "is a child of run r0",
        ),
    ],
)
def test_a_redrive_is_refused(
    wanted: Redrive, stood: RedriveSource, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        decide_frontier(stored("failed"), stood, wanted, target())
