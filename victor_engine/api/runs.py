"""The structs of runs: status, attempts, graph, state and log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.common import ErrorInfo
from victor_engine.api.people import RequestInfo
from victor_engine.domain.statuses import AttemptStatus, NodeStatus, RunStatus

TriggerKind = Literal["schedule", "manual", "upstream", "api", "rerun", "backfill", "parent"]


class HandlerFailure(Struct, frozen=True):
    """The failure of a handler of the end of a run: `on_failure`, `on_cancel` or `finally`."""

    handler: str
    error: ErrorInfo


class RunInfo(Struct, frozen=True, omit_defaults=True):
    """One run in a list. Its `revision` increases with each change by an operator or migration."""

    id: str
    workflow: str
    version: str
    status: RunStatus
    trigger: TriggerKind
    started_by: str
    created_at: datetime
    revision: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    idle_seconds: float = 0.0  # between an end and the command that continued it
    schedule_id: str | None = None
    nominal: datetime | None = None
    current: tuple[str, ...] = ()  # active or waiting nodes
    nodes_done: int = 0
    nodes_expected: int | None = None
    retries: int = 0
    typical_seconds: float | None = None  # median duration of other recent successful runs, at least five
    typical_runs: int = 0  # the number of those runs
    slow_seconds: float | None = None  # 95th percentile of them
    since: datetime | None = None  # start of its current attempt or wait
    node_seconds: float | None = None  # typical duration of an attempt of the current node
    stuck_at: datetime | None = None  # the instant from which its current attempt counts as stuck
    waits_for: str | None = None  # text such as "approval_gate: approval, 12 m left"
    request_id: str | None = None
    parent_run: str | None = None
    error: ErrorInfo | None = None
    note: str = ""
    dead_letter: bool = False  # failed, and needs a decision
    quarantine: str = ""  # why it is paused until an operator continues it; empty if it is not quarantined
    breach: str = ""  # the expectation of its schedule that it did not meet
    concurrency_key: str = ""  # from its first claim, if its workflow has a concurrency key
    ends_as: str = ""  # its final status, while handlers of its end are executed
    handler: str = ""  # the handler of its end that is executed: on_failure, on_cancel or finally
    handler_failures: tuple[HandlerFailure, ...] = ()  # they do not change its status
    deprecated: str | None = (
        None  # notice of its deprecated version; only of unfinished runs and dead letters
    )


def run_seconds(run: RunInfo, now: datetime) -> float | None:
    """Return the duration of a run in seconds, to its end or to `now`; None before its start.

    The time between an end and the command that continued the run does not count.
    """
    if run.started_at is None:
        return None
    return ((run.finished_at or now) - run.started_at).total_seconds() - run.idle_seconds


class GridCell(Struct, frozen=True, omit_defaults=True):
    """A node in one run of a grid: the status of its last attempt, and the number of its attempts.

    The node that a map executes has the most urgent status of its items, and the number of items that have it.
    """

    status: NodeStatus
    attempts: int = 1
    seconds: float | None = None  # of its last attempt; None until that has ended


class GridRun(Struct, frozen=True, omit_defaults=True):
    """One run of a grid, with a cell for each node that it has reached."""

    run: RunInfo
    cells: dict[str, GridCell] = {}
    cut: bool = False  # it has more attempts than were counted


class RunGrid(Struct, frozen=True):
    """The newest runs of a workflow, newest first, with their nodes in the order of the newest run's graph."""

    workflow: str
    nodes: tuple[str, ...]
    runs: tuple[GridRun, ...]


class GraphNode(Struct, frozen=True, omit_defaults=True):
    """One node of a graph."""

    id: str
    type: str
    name: str
    detail: str = ""  # role, tool, condition: one line
    handler: str = ""  # the end handler that contains it: on_failure, on_cancel or finally


class GraphEdge(Struct, frozen=True, omit_defaults=True):
    """One edge of a graph. `kind` is next, branch, outcome, member (of a parallel, team or map node) or error."""

    source: str
    target: str
    label: str = ""
    kind: str = "next"


class GraphInfo(Struct, frozen=True):
    """The graph of a definition."""

    start: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class UsageInfo(Struct, frozen=True, omit_defaults=True):
    """The usage of a language model in one attempt.

    `cost` is in the currency of the prices of the binding; None if the binding has no prices.
    """

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    cost: float | None = None


class AttemptInfo(Struct, frozen=True, omit_defaults=True):
    """One attempt of one node. `changes` are its changes of the state: set, merged and deleted keys."""

    id: int
    node_id: str
    node_type: str
    iteration: int
    number: int
    status: AttemptStatus
    version: str
    started_at: datetime
    finished_at: datetime | None = None
    retry_at: datetime | None = None
    parent: str | None = None  # the parallel, team or map node of a member
    binding: str = ""
    pid: int | None = None
    changes: dict[str, Any] = {}
    error: ErrorInfo | None = None
    took_branch: str | None = None
    waits_until: datetime | None = None  # the deadline of its wait, unless it waits for people
    child_run: str | None = None  # the run that a workflow node started
    usage: UsageInfo | None = None  # usage of a language model by an agent


class NodeState(Struct, frozen=True, omit_defaults=True):
    """The status of one node of a run, of its last iteration."""

    node_id: str
    status: NodeStatus
    iteration: int = 0
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: ErrorInfo | None = None
    waits_until: datetime | None = None
    child_run: str | None = None
    items: Mapping[str, int] = {}  # of the node of a map: the number of its items by status


class NodeOverride(Struct, frozen=True, omit_defaults=True):
    """An override for one node of one run. None keeps the value of the definition."""

    node_id: str
    timeout: float | None = None  # seconds for one attempt
    max_attempts: int | None = None  # including the first


class RunInstant(Struct, frozen=True, omit_defaults=True):
    """The instant that a run is for, and its data interval from the fire before to it.

    `local_time` is the wall time in `timezone` with its offset. `fold` is 1 for the second pass of a wall time that
    occurs twice. `trigger` and `schedule` are those of the run that the instant comes from.
    """

    nominal_time: datetime
    local_time: str
    timezone: str
    interval_end: datetime
    interval_start: datetime | None = None
    fold: int = 0
    trigger: str = ""
    schedule: str | None = None
    period: str = ""  # of a run after other workflows


class RunDetail(Struct, frozen=True):
    """One run with all its details. `children` are the runs that its nodes started, oldest first."""

    run: RunInfo
    graph: GraphInfo
    nodes: tuple[NodeState, ...]
    attempts: tuple[AttemptInfo, ...]
    state: dict[str, Any]
    requests: tuple[RequestInfo, ...]
    overrides: tuple[NodeOverride, ...] = ()
    input: dict[str, Any] = {}
    children: tuple[RunInfo, ...] = ()
    instant: RunInstant | None = None
    outputs: dict[str, Any] | None = None  # the declared result of a run that has succeeded


class LogLine(Struct, frozen=True, omit_defaults=True):
    """One line of the log of a run."""

    seq: int
    at: datetime
    node_id: str
    attempt: int
    stream: str  # stdout, stderr, log, engine
    text: str


class RunQuery(Struct, frozen=True, omit_defaults=True):
    """A filter of runs. All given conditions must hold.

    `text` is searched in id, workflow, note and error. `actor` is the user or schedule that started a run.
    `node` is a visited node, `error` a part of the type or message of the error. `longer_than` and `shorter_than`
    are seconds from start to end and match finished runs only.
    """

    workflow: str | None = None
    statuses: tuple[str, ...] = ()
    schedule_id: str | None = None
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    longer_than: float | None = None
    shorter_than: float | None = None
    version: str | None = None
    actor: str | None = None
    node: str | None = None
    error: str | None = None
    cause: str | None = None  # only dead letters with this cause, see `DeadLetterGroup`
    before_id: str | None = None  # for pages: only runs older than this one
    oldest_first: bool = False
    limit: int = 200


class DeadLetterGroup(Struct, frozen=True, omit_defaults=True):
    """The dead letters with one cause.

    `cause` is a fingerprint of workflow, node, error type and `pattern`, which is the message without the parts
    that differ between runs. `example` is the error of the newest run.
    """

    cause: str
    workflow: str
    error_type: str
    pattern: str
    count: int
    first_seen: datetime
    last_seen: datetime
    example: ErrorInfo
    run_ids: tuple[str, ...]  # newest first, at most `run_limit`; `count` is the total
    node_id: str | None = None


RunPlanCommand = Literal["cancel", "pause", "resume", "retry", "redrive", "rerun", "discard"]
"""A command that can be planned for several runs."""


class RunPlanItem(Struct, frozen=True, omit_defaults=True):
    """The effect of a planned command on one run. An empty `effect` means that it does nothing, for `reason`.

    `plan` is the token that applies the command to this run only.
    """

    run_id: str
    workflow: str = ""
    version: str = ""
    status: str = ""
    at: str = ""  # its current nodes
    effect: str = ""
    reason: str = ""
    plan: str = ""


class RunsPlan(Struct, frozen=True, omit_defaults=True):
    """The effects of a planned command on several runs. `plan` is the token for all; empty without any effect."""

    command: RunPlanCommand
    items: tuple[RunPlanItem, ...]
    plan: str = ""
