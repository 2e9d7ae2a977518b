"""What the walk asks of the world: a small interface, so that the walk is written once.

The embedded runtime implements it on the store; an engine that spreads work over machines
implements it with its own activities, timers and signals. Everything that takes time, chance or
an effect goes through it, so the walk itself is deterministic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from victor_engine.api import ErrorInfo
from victor_engine.definition.model import HITLNode, Node, SubWorkflowNode
from victor_engine.graph_walk.waits import Wait, WaitEnd
from victor_engine.people.requests import Decision
from victor_engine.store.patch import Patch
from victor_engine.work.calls import NodeCall


class Onward(Struct, frozen=True):
    """What a step of the walk changes of the position. `inside` counts nodes that were done within it."""

    ordinal: int
    frontier: list[str]
    inside: Mapping[str, int]


@dataclass(slots=True)
class Position:
    """Where a walk stands: the nodes still to do, in order, and how often each was done."""

    frontier: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    mark: int = 0  # failed attempts up to this handle no longer count: the run was retried since
    floor: int = 0  # node executions before the last redrive: they no longer count towards the limit
    ordinal: int = 0  # steps of the walk that are done and on record
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.counts.values())

    @property
    def done(self) -> int:
        """Node executions that count towards `max_iterations`."""
        return self.total - self.floor

    def to_data(self) -> dict[str, Any]:
        """See `store.stored_position`."""
        data: dict[str, Any] = {"frontier": self.frontier, "counts": self.counts}
        for name, value in (("at", self.ordinal), ("mark", self.mark), ("floor", self.floor)):
            if value:
                data[name] = value
        return data

    @staticmethod
    def from_data(data: dict[str, Any]) -> Position:
        return Position(
            list(data["frontier"]),
            dict(data.get("counts", {})),
            data.get("mark", 0),
            data.get("floor", 0),
            data.get("at", 0),
        )

    def onward(
        self, node_id: str, successors: Sequence[str], inside: Mapping[str, int] | None = None
    ) -> Onward:
        """What follows once `node_id` is done. A successor that already waits is not added twice."""
        frontier = [pending for pending in self.frontier if pending != node_id]
        for target in successors:
            if target not in frontier:
                frontier.append(target)
        return Onward(self.ordinal + 1, frontier, inside or {})

    def advance(self, node_id: str, iteration: int, onward: Onward) -> None:
        """Go on: the step has been committed."""
        self.ordinal = onward.ordinal
        self.frontier = onward.frontier
        if onward.inside:
            self.count(onward.inside)
        self.total += iteration - self.counts.get(node_id, 0)
        self.counts[node_id] = iteration

    def count(self, times: Mapping[str, int]) -> None:
        """Take over how often some nodes were done."""
        for node_id, iteration in times.items():
            self.total += iteration - self.counts.get(node_id, 0)
            self.counts[node_id] = iteration


class Step(Struct, frozen=True):
    """One visit of the walk to one node. `parent` is the parallel or team node it happens in."""

    node: Node
    iteration: int
    parent: str | None = None
    member: str | None = None  # the team member whose turn it is

    @property
    def key(self) -> str:
        """What names the step in the store: the node, or the node and its member."""
        return self.node.id if self.member is None else f"{self.node.id}.{self.member}"

    def idempotency_key(self, run_id: str) -> str:
        """The key that all attempts of this visit share."""
        return f"{run_id}/{self.key}/{self.iteration}"


class Done(Struct, frozen=True):
    """What a step came to: its patch, where it leads, and the label of the branch it took.

    `ended` says why the branch ends here although the node names successors; `rejected` that a
    person's no ends the run; `result` is the bare result, which a team hands to its next member;
    `reserved` names the keys of the state that the step tried to write and that the engine alone writes.
    """

    patch: Patch
    successors: tuple[str, ...] = ()
    branch: str | None = None
    ended: str | None = None
    rejected: str | None = None
    result: Any = None
    reserved: tuple[str, ...] = ()


class StepHistory(Struct, frozen=True):
    """What is already known of a step from before a crash or a retry of the run.

    `failed` counts tries that used up the author's attempts, `tries` all of them. `done` is set
    if the step is finished, `failure` if it has failed for good and the run has not gone on from there.
    """

    tries: int = 0
    failed: int = 0
    interrupted: bool = False
    done: Done | None = None
    retry_at: datetime | None = None
    last: int | None = None  # the handle of the last attempt
    failure: ErrorInfo | None = None


NO_HISTORY = StepHistory()

HANDLED = frozenset({"error", "continued"})
"""Branches of a step that has failed and whose author said how to go on."""


@dataclass(frozen=True, slots=True)
class Child:
    """A run that a node has started. `deadline` is when its parent has waited long enough for it."""

    handle: int
    run_id: str
    version: str
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: a final status of a run, or `timed_out`; its final state and its error."""

    status: str
    state: dict[str, Any]
    error: ErrorInfo | None = None


class Effects(Protocol):
    """The world, as far as one run sees it. Every method may raise `asyncio.CancelledError`."""

    def now(self) -> datetime: ...

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def history(self, step: Step) -> StepHistory:
        """What was recorded of this step before the walk came (back) to it."""
        ...

    def checkpoint(self) -> None:
        """Between two nodes: the place where a paused run comes to rest (by an exception)."""
        ...

    def overrun(self) -> str | None:
        """Why the run may not go on: it has been at work longer than its limit. None if it may."""
        ...

    def left(self) -> float | None:
        """Return the seconds that the run may still be at work; None where it has no limit."""
        ...

    async def begin(self, step: Step, number: int, binding: str) -> int:
        """Commit that attempt `number` starts; returns the attempt's handle."""
        ...

    async def work(self, attempt: int, step: Step, call: NodeCall, limit: float | None) -> Any:
        """Do the work of a node that is bound to something outside, within `limit` seconds."""
        ...

    def finish(self, step: Step, attempt: int | None, done: Done, onward: Onward | None) -> Awaitable[None]:
        """Commit the step's result, and with it what it changes of the position (None inside a parallel or
        team, which commits its own). Without an attempt, one is recorded. Where nothing is left to do after
        it, and it is no rejection, the run's success may be committed with it."""
        ...

    async def fail(
        self, step: Step, attempt: int | None, number: int, error: ErrorInfo, retry_at: datetime | None
    ) -> int:
        """Commit that an attempt failed, and when the next one is due, if one is; returns its handle."""
        ...

    async def wait_for_retry(self, step: Step, due: datetime) -> None:
        """Wait until the step's next attempt is due, an operator wants it at once, or the run's limit is reached."""
        ...

    def with_overrides(self, node: Node) -> Node:
        """The node with what an operator has set for it in this run."""
        ...

    async def ask(self, attempt: int, step: Step, node: HITLNode, state: dict[str, Any]) -> Decision:
        """Put a question to people and wait, however long, for the decision."""
        ...

    async def ask_about(self, attempt: int, step: Step) -> Decision:
        """Ask people what is to become of an interrupted attempt, and wait, however long, for the decision.

        An attempt that was asked about before a restart keeps its question, and its answer."""
        ...

    async def begin_wait(self, step: Step, number: int, wait: Wait) -> tuple[int, Wait]:
        """Commit that an attempt waits, with its instants; returns its handle and the wait.

        An attempt that waited before a restart goes on as it is, with the instants it had.
        """
        ...

    async def wait(
        self, attempt: int, step: Step, wait: Wait, satisfied: Callable[[int, Any], Awaitable[str | None]]
    ) -> WaitEnd:
        """Return when a wait is over. `satisfied(status, body)` says why an HTTP answer is not yet as
        wanted, or None."""
        ...

    async def start_child(
        self, step: Step, number: int, node: SubWorkflowNode, inputs: dict[str, Any]
    ) -> tuple[int, Child]:
        """Commit, as one, that an attempt has started a run; returns its handle and the run.

        An attempt that had started one before a restart goes on with that one.
        """
        ...

    async def child_end(self, child: Child) -> ChildEnd:
        """Wait, however long, for a child's end. A child whose attempt does not end with it is cancelled
        in the transition that ends the attempt."""
        ...

    async def join(
        self,
        branches: Sequence[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
    ) -> list[Done | BaseException | None]:
        """Run branches at once until `wanted` succeeded or more than `tolerate` failed.

        The others are cancelled and awaited; so are all after `limit` seconds at work. One entry
        per branch, in order: what it came to, the exception it failed with, or None if cancelled.
        """
        ...

    async def abandon(self, parent: Step) -> None:
        """Commit that what still ran inside `parent` was cancelled because the rest decides."""
        ...

    def warn(self, node_id: str, message: str, **data: Any) -> None:
        """Record something that an operator should see but that stops nothing."""
        ...

    def describe(self, node: Node, role: str | None) -> str:
        """What is bound to the node, in plain words; raises ConfigError if nothing is."""
        ...
