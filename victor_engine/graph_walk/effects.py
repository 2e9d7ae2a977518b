"""The interface between the walk and its environment.

The runtime implements it on the store; a distributed engine can implement it with activities, timers
and signals. Everything that takes time, is random or has an effect goes through it, so the walk itself
is deterministic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
    """The change of the position by one step. `inside` counts the nodes that were executed within it."""

    ordinal: int
    frontier: list[str]
    inside: Mapping[str, int]


@dataclass(slots=True)
class Position:
    """The position of a walk: the pending nodes, in order, and the number of executions of each node."""

    frontier: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    mark: int = 0  # failed attempts up to this handle do not count, because the run was retried since
    floor: int = 0  # node executions before the last redrive, which do not count towards the limit
    ordinal: int = 0  # committed steps of the walk
    fresh: int = 0  # children of attempts up to this handle are not continued
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.counts.values())

    @property
    def done(self) -> int:
        """Node executions that count towards `max_iterations`."""
        return self.total - self.floor

    def to_data(self) -> dict[str, Any]:
        """Return the stored form, see `store.stored_position`."""
        data: dict[str, Any] = {"frontier": self.frontier, "counts": self.counts}
        for name, value in (
            ("at", self.ordinal),
            ("mark", self.mark),
            ("floor", self.floor),
            ("fresh", self.fresh),
        ):
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
            data.get("fresh", 0),
        )

    def onward(
        self, node_id: str, successors: Sequence[str], inside: Mapping[str, int] | None = None
    ) -> Onward:
        """Return the change after `node_id` is done. A successor that is already pending is not added again."""
        frontier = [pending for pending in self.frontier if pending != node_id]
        for target in successors:
            if target not in frontier:
                frontier.append(target)
        return Onward(self.ordinal + 1, frontier, inside or {})

    def advance(self, node_id: str, iteration: int, onward: Onward) -> None:
        """Apply the change of a committed step."""
        self.ordinal = onward.ordinal
        self.frontier = onward.frontier
        if onward.inside:
            self.count(onward.inside)
        self.total += iteration - self.counts.get(node_id, 0)
        self.counts[node_id] = iteration

    def count(self, times: Mapping[str, int]) -> None:
        """Set the number of executions of the given nodes."""
        for node_id, iteration in times.items():
            self.total += iteration - self.counts.get(node_id, 0)
            self.counts[node_id] = iteration


class Step(Struct, frozen=True):
    """One visit of the walk to one node. `parent` is the parallel, team or map node that contains it."""

    node: Node
    iteration: int
    parent: str | None = None
    member: str | None = None  # the team member that works in this step
    item: str | None = None  # the key of the item of a map for which the node is executed

    @property
    def key(self) -> str:
        """The key of the step in the store: the node, or the node and its member or item."""
        part = self.member if self.item is None else self.item
        return self.node.id if part is None else f"{self.node.id}.{part}"

    def idempotency_key(self, run_id: str) -> str:
        """Return the key that all attempts of this visit share."""
        return f"{run_id}/{self.key}/{self.iteration}"


class Done(Struct, frozen=True):
    """The result of a step: its patch, its successors, and the label of the chosen branch.

    `ended` is the reason why the branch ends here although the node names successors. `rejected` is the reason
    why a rejection ends the run. `result` is the plain result, which a team passes to its next member. `reserved`
    are the reserved keys of the state that the step tried to write. `ends` ends the run, or the branch of a parallel.
    """

    patch: Patch
    successors: tuple[str, ...] = ()
    branch: str | None = None
    ended: str | None = None
    rejected: str | None = None
    result: Any = None
    reserved: tuple[str, ...] = ()
    ends: bool = False


class StepHistory(Struct, frozen=True):
    """The history of a step from before a crash or a retry of the run.

    `failed` counts the attempts that count towards the limit of the author, `tries` all of them. `done` is set
    if the step is finished, `failure` if it has finally failed and the run has not continued from there.
    """

    tries: int = 0
    failed: int = 0
    interrupted: bool = False
    done: Done | None = None
    retry_at: datetime | None = None
    last: int | None = None  # the handle of the last attempt
    failure: ErrorInfo | None = None

    @property
    def open(self) -> bool:
        """Return whether an attempt was open: interrupted, between two tries, or the first one and waiting."""
        return self.interrupted or self.retry_at is not None or (self.last is not None and self.tries == 0)


NO_HISTORY = StepHistory()

HANDLED = frozenset({"error", "continued"})
"""The branches of a step that has failed and whose author handles the failure."""


class EndedItems(Struct, frozen=True):
    """The items of a map that had ended when it began or continued: the keys of the successful ones, and the errors
    of those that have finally failed."""

    succeeded: Collection[str] = ()
    failed: Mapping[str, ErrorInfo] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.succeeded or key in self.failed


@dataclass(frozen=True, slots=True)
class Child:
    """A child run. `deadline` is the end of the time for which its parent waits."""

    handle: int
    run_id: str
    version: str
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """The end of a child: a final status of a run, or `timed_out`; its final state and its error."""

    status: str
    state: dict[str, Any]
    error: ErrorInfo | None = None


class StepFailedError(Exception):
    """A step has failed after its last attempt. The failure is committed."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


class MapItems(Protocol):
    """The stored items of one step of a map."""

    async def ended(self) -> EndedItems:
        """Return the items that have ended before."""
        ...

    async def results(self) -> Mapping[str, Any]:
        """Return the results of the successful items, by key."""
        ...


class Effects(Protocol):
    """The environment of one run. Each method may raise `asyncio.CancelledError`."""

    pausing: bool
    """Whether no other node or item is to be started, because `checkpoint` will raise an exception."""

    def now(self) -> datetime: ...

    def random(self) -> float:
        """Return a random number, uniform in [0, 1)."""
        ...

    def visit(self, step: Step) -> None:
        """Called before the content of a step is evaluated."""
        ...

    def history(self, step: Step) -> StepHistory:
        """Return the recorded history of this step."""
        ...

    def checkpoint(self) -> None:
        """Called between two nodes. Raise an exception here to pause the run."""
        ...

    def overrun(self) -> str | None:
        """Return why the run exceeds its limit of active time, or None if it does not."""
        ...

    def left(self) -> float | None:
        """Return the active seconds that the run has left, or None if it has no limit."""
        ...

    async def begin(self, step: Step, number: int, binding: str) -> int:
        """Commit that attempt `number` starts. Return the handle of the attempt."""
        ...

    async def work(self, attempt: int, step: Step, call: NodeCall, limit: float | None) -> Any:
        """Let the bound invoker do the work of a node, within `limit` seconds."""
        ...

    def finish(self, step: Step, attempt: int | None, done: Done, onward: Onward | None) -> Awaitable[None]:
        """Commit the result of a step and its change of the position (None inside a parallel, team or map, which commits
        its own). Without an attempt, one is recorded. If no pending node remains and the step is not a rejection,
        the success of the run may be committed with it."""
        ...

    async def fail(
        self, step: Step, attempt: int | None, number: int, error: ErrorInfo, retry_at: datetime | None
    ) -> int:
        """Commit that an attempt failed, and the time of the next one, if any. Return the handle."""
        ...

    async def wait_for_retry(self, step: Step, due: datetime) -> None:
        """Wait until the next attempt is due, an operator requests it, or the limit of the run is reached."""
        ...

    def with_overrides(self, node: Node) -> Node:
        """Return the node with the overrides of this run."""
        ...

    async def ask(self, attempt: int, step: Step, node: HITLNode, state: dict[str, Any]) -> Decision:
        """Open a request and wait for its decision, without a limit."""
        ...

    async def ask_about_interruption(self, attempt: int, step: Step) -> Decision:
        """Open a request about an interrupted attempt, and wait for its decision, without a limit.

        After a restart, the attempt keeps its request and the answer."""
        ...

    async def begin_wait(self, step: Step, number: int, wait: Wait) -> tuple[int, Wait]:
        """Commit that an attempt waits, with its instants. Return the handle and the wait.

        An attempt that waited before a restart continues with its instants.
        """
        ...

    async def wait(
        self, attempt: int, step: Step, wait: Wait, satisfied: Callable[[int, Any], Awaitable[str | None]]
    ) -> WaitEnd:
        """Return when a wait is over. `satisfied(status, body)` returns why an HTTP response does not match, or
        None."""
        ...

    async def start_child(
        self, step: Step, number: int, node: SubWorkflowNode, inputs: dict[str, Any]
    ) -> tuple[int, Child]:
        """Commit an attempt and its child run in one transition. Return the handle and the child.

        An attempt that started a child before a restart continues with that child. Another attempt of the same
        step continues the child of the one before it, as `on_retry` says.
        """
        ...

    async def child_end(self, child: Child) -> ChildEnd:
        """Wait for the end of a child, without a limit. If the attempt ends before its child, the transition that
        ends the attempt cancels the child."""
        ...

    async def join(
        self,
        branches: Sequence[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
        most: int | None = None,
    ) -> list[Done | BaseException | None]:
        """Run branches, at most `most` at once, until `wanted` have succeeded or more than `tolerate` have failed.

        The others are cancelled and awaited; all are after `limit` active seconds. Return one entry per branch, in
        order: its result, its exception, or None if it was cancelled.
        """
        ...

    def items(self, step: Step, body: Node) -> MapItems:
        """Return the stored items of a map step, for which `body` is executed."""
        ...

    async def abandon(self, parent: Step) -> None:
        """Commit the cancellation of the open attempts inside `parent`, because its result is decided."""
        ...

    def warn(self, node_id: str, message: str, **data: Any) -> None:
        """Record a warning for operators. It stops nothing."""
        ...

    def describe(self, node: Node, role: str | None) -> str:
        """Return a description of the binding of the node. Raise ConfigError if it has none."""
        ...
