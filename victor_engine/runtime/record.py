"""A run as it was read from the store: where it stands, and what is known of its open steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from victor_engine import jsonio
from victor_engine.api import NodeOverride
from victor_engine.clock import from_us
from victor_engine.definition.model import Node, WorkflowDefinition
from victor_engine.runtime.effects import NOTHING_YET, Done, Past, Position
from victor_engine.runtime.journal import RunRef
from victor_engine.store.patch import Patch


@dataclass(slots=True)
class RunRecord:
    """A run as it was read from the store when it was taken up."""

    ref: RunRef
    definition: WorkflowDefinition
    version: str
    requested_by: str
    position: Position
    state: dict[str, Any]
    spent: float
    reruns: int
    status: str
    started: bool
    past: dict[tuple[str, int], Past] = field(default_factory=dict)
    waiting: dict[tuple[str, int], int] = field(default_factory=dict)  # attempts that ask a person
    overrides: dict[str, NodeOverride] = field(default_factory=dict)


def past_from_rows(
    rows: Sequence[Any], position: Position, nodes: dict[str, Node]
) -> dict[tuple[str, int], Past]:
    """What the recorded attempts say of steps that the position does not count as done.

    `rows` are (id, node_id, iteration, number, parent, status, retry_at_us, patch) in order of id.
    """
    found: dict[tuple[str, int], Past] = {}
    for attempt, key, iteration, number, parent, status, retry_at, patch in rows:
        base = key.split(".", 1)[0] if key not in nodes else key
        if iteration <= position.counts.get(base, 0):
            continue
        old = found.get((key, iteration), NOTHING_YET)
        failed = old.failed + (status in ("failed", "retrying") and attempt > position.mark)
        done = None
        if status == "succeeded" and parent is not None:
            data = jsonio.loads(patch) if patch else {}
            change = Patch.from_data(data)
            node = nodes.get(base)
            result = data.get("r", change.set.get(node.output_key) if node is not None else None)
            done = Done(change, tuple(data.get("n", ())), result=result)
        due = from_us(retry_at) if status == "retrying" and retry_at is not None else None
        found[(key, iteration)] = Past(
            tries=max(old.tries, number),
            failed=failed,
            interrupted=status == "interrupted",
            done=done,
            retry_at=due,
        )
    return found
