"""Runs: their states, attempts, graph and log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.common import ErrorInfo
from victor_engine.api.people import RequestInfo
from victor_engine.domain.statuses import AttemptStatus, NodeStatus, RunStatus

TriggerKind = Literal["schedule", "manual", "upstream", "api", "rerun", "backfill", "parent"]


class RunInfo(Struct, frozen=True, omit_defaults=True):
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
    schedule_id: str | None = None
    nominal: datetime | None = None
    current: tuple[str, ...] = ()  # nodes at work or waited for
    nodes_done: int = 0
    nodes_expected: int | None = None
    retries: int = 0
    typical_seconds: float | None = None  # median of recent successful runs
    slow_seconds: float | None = None  # 95th percentile of them
    since: datetime | None = None  # when what it does or waits for now has begun
    node_seconds: float | None = None  # what an attempt of the current node usually takes
    stuck_at: datetime | None = None  # from then on it takes far longer at a node than that ever takes
    waits_for: str | None = None  # plain words: "approval_gate: approval, 12 m left"
    request_id: str | None = None
    parent_run: str | None = None
    error: ErrorInfo | None = None
    note: str = ""
    dead_letter: bool = False  # failed for good, and nobody has redriven or discarded it yet
    breach: str = ""  # a promise of its schedule that it has not kept
    deprecated: str | None = (
        None  # why nobody should be on its version; of what is not over, and dead letters
    )


class GraphNode(Struct, frozen=True, omit_defaults=True):
    id: str
    type: str
    name: str
    detail: str = ""  # role, tool, condition: one line


class GraphEdge(Struct, frozen=True, omit_defaults=True):
    """`kind` is next, branch, outcome, member (of a parallel or team) or error."""

    source: str
    target: str
    label: str = ""
    kind: str = "next"


class GraphInfo(Struct, frozen=True):
    start: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class UsageInfo(Struct, frozen=True, omit_defaults=True):
    """What a language model has used in one attempt, so far. `cost` is in the currency of the binding's
    prices, None where it names none."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    cost: float | None = None


class AttemptInfo(Struct, frozen=True, omit_defaults=True):
    """One try of one node. `changes` is what it changed of the state: set, merged, deleted keys."""

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
    parent: str | None = None  # the parallel or team node it belongs to
    binding: str = ""
    pid: int | None = None
    changes: dict[str, Any] = {}
    error: ErrorInfo | None = None
    took_branch: str | None = None
    waits_until: datetime | None = None  # when it ends at the latest, if it waits for no person
    child_run: str | None = None  # the run that a workflow node has started
    usage: UsageInfo | None = None  # what an agent has used


class NodeState(Struct, frozen=True, omit_defaults=True):
    node_id: str
    status: NodeStatus
    iteration: int = 0
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: ErrorInfo | None = None
    waits_until: datetime | None = None
    child_run: str | None = None


class NodeOverride(Struct, frozen=True, omit_defaults=True):
    """What an operator has set for one node of one run. None leaves what the author wrote."""

    node_id: str
    timeout: float | None = None  # seconds for one attempt
    max_attempts: int | None = None  # counts the first one


class RunDetail(Struct, frozen=True):
    """One run whole. `children` are the runs that its nodes have started, oldest first."""

    run: RunInfo
    graph: GraphInfo
    nodes: tuple[NodeState, ...]
    attempts: tuple[AttemptInfo, ...]
    state: dict[str, Any]
    requests: tuple[RequestInfo, ...]
    overrides: tuple[NodeOverride, ...] = ()
    input: dict[str, Any] = {}
    children: tuple[RunInfo, ...] = ()


class LogLine(Struct, frozen=True, omit_defaults=True):
    seq: int
    at: datetime
    node_id: str
    attempt: int
    stream: str  # stdout, stderr, log, engine
    text: str


class RunQuery(Struct, frozen=True, omit_defaults=True):
    """Filters are combined with and. `text` is matched in id, workflow, note and error.

    `actor` is who started a run, or the schedule that did. `node` is one that the run came to, `error` a
    part of its error's type or message. Durations are seconds from start to end, so that runs which
    have not ended have none.
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
    cause: str | None = None  # only dead letters of this cause, see `DeadLetterGroup`
    before_id: str | None = None  # paging: only runs older than this one
    oldest_first: bool = False
    limit: int = 200


class DeadLetterGroup(Struct, frozen=True, omit_defaults=True):
    """Runs that failed for good of one cause and wait for somebody to redrive or discard them.

    `cause` is a fingerprint of workflow, node, error type and the message without what differs from
    run to run, which is `pattern`. `example` is the newest run's error.
    """

    cause: str
    workflow: str
    error_type: str
    pattern: str
    count: int
    first_seen: datetime
    last_seen: datetime
    example: ErrorInfo
    run_ids: tuple[str, ...]  # newest first, at most as many as were asked for; `count` is the total
    node_id: str | None = None


RunPlanCommand = Literal["cancel", "pause", "resume", "retry", "redrive", "rerun", "discard"]
"""A command that can be planned for several runs."""


class RunPlanItem(Struct, frozen=True, omit_defaults=True):
    """What a command would do to one run. Without an `effect` it does nothing, for `reason`.

    `plan` is the token that does this to this run and nothing else.
    """

    run_id: str
    workflow: str = ""
    version: str = ""
    status: str = ""
    at: str = ""  # the nodes at which it stands
    effect: str = ""
    reason: str = ""
    plan: str = ""


class RunsPlan(Struct, frozen=True, omit_defaults=True):
    """What a command would do to each of several runs. `plan` is the token of all; empty if nothing would be done."""

    command: RunPlanCommand
    items: tuple[RunPlanItem, ...]
    plan: str = ""
