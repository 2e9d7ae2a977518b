"""The console port: the one asynchronous interface that the console and the command line speak.

Three implementations, one contract: the embedded engine (`victor_engine.engine.Engine`), the
socket client (`victor_engine.service.client.Client`), and a read-only view of a store without an
engine (`victor_engine.service.readonly.ReadOnlyPort`). Everything that crosses the port is one of
the frozen structs below, so that a screen draws snapshots and never the engine's own objects.

All instants are aware datetimes in UTC. Durations are seconds as floats. A method raises only
subclasses of `VictorError`. Queries write nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import UNSET, Struct, UnsetType

RunStatus = Literal[
    "queued",  # accepted, waits for a free place
    "running",  # at least one node is at work
    "waiting",  # everything it could do is done; a person is asked
    "paused",  # held by an operator
    "cancelling",  # told to stop, not yet stopped
    "succeeded",
    "failed",
    "rejected",  # a person said no and no branch takes that up
    "cancelled",
]
"""States of a run; the last four are final."""

FINAL_RUN_STATUSES: frozenset[str] = frozenset({"succeeded", "failed", "rejected", "cancelled"})
ACTIVE_RUN_STATUSES: frozenset[str] = frozenset({"queued", "running", "waiting", "paused", "cancelling"})

AttemptStatus = Literal[
    "running",
    "waiting",  # a hitl node that waits for its answer
    "retrying",  # failed; another attempt is due at `retry_at`
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",  # its engine died under it
]
NodeStatus = Literal[
    "pending", "running", "waiting", "retrying", "succeeded", "failed", "cancelled", "interrupted", "skipped"
]
FireOutcome = Literal["started", "queued", "skipped", "missed", "backfilled"]
RequestStatus = Literal["open", "answered", "expired", "withdrawn"]
RequestKind = Literal["approval", "confirmation", "choice", "input", "review", "override"]
TriggerKind = Literal["schedule", "manual", "upstream", "api", "rerun"]
EngineMode = Literal["embedded", "daemon", "readonly"]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]
Catchup = Literal["none", "latest", "all"]


class Actor(Struct, frozen=True, omit_defaults=True):
    """Who did something, as the kernel knows them: never typed in.

    `via` is how they came: console, cli, api, or engine for what the engine does by itself.
    """

    user: str
    uid: int = -1
    via: str = "engine"
    tty: str | None = None
    remote: str | None = None


ENGINE_ACTOR = Actor(user="engine")


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """Why a node or run failed. `type` is an exception's class name or the command's own word."""

    type: str
    message: str
    node_id: str | None = None
    exit_code: int | None = None
    http_status: int | None = None


# --- schedules ---------------------------------------------------------------------------------


class ScheduleSpec(Struct, frozen=True, omit_defaults=True):
    """When a workflow is started, with what, under which policies; what is stored and edited.

    Exactly one of `cron`, `every_seconds`, `at` or `after` is set.
    """

    workflow: str
    cron: str | None = None
    every_seconds: float | None = None
    anchor: datetime | None = None
    at: datetime | None = None
    after: tuple[str, ...] = ()
    timezone: str = "UTC"
    version: str | None = None  # exact, range or alias; None is `latest`
    initial_state: dict[str, Any] = {}
    enabled: bool = True
    catchup: Catchup = "none"
    catchup_window: float | None = None
    misfire_grace: float = 60.0  # a fire that is later than this counts as missed
    overlap: Overlap = "skip"
    max_active_runs: int = 1
    jitter: float = 0.0
    start_date: datetime | None = None
    end_date: datetime | None = None
    max_runs: int | None = None
    priority: int = 0
    description: str = ""


class PauseInfo(Struct, frozen=True, omit_defaults=True):
    by: str
    at: datetime
    note: str = ""
    until: datetime | None = None


class FireInfo(Struct, frozen=True, omit_defaults=True):
    """One nominal instant of a schedule and what became of it."""

    id: int
    schedule_id: str
    workflow: str
    nominal: datetime
    local: str  # nominal wall time in the schedule's zone, `2026-03-08T02:30`
    fold: int
    outcome: FireOutcome
    reason: str
    decided_at: datetime
    actor: str = "engine"
    run_id: str | None = None
    run_status: str | None = None
    run_seconds: float | None = None


class ScheduleInfo(Struct, frozen=True, omit_defaults=True):
    id: str
    spec: ScheduleSpec
    origin: Literal["file", "console", "cli", "python"]
    path: str | None  # the file that declares it
    summary: str  # plain English: "every day at 09:00"
    next_fire: datetime | None
    skip_next: bool = False
    paused: PauseInfo | None = None
    overridden: tuple[str, ...] = ()  # fields in which an edit differs from the file
    last_fire: FireInfo | None = None
    recent: tuple[FireInfo, ...] = ()  # newest first, at most 20
    active_runs: int = 0
    runs_started: int = 0
    resolved_version: str | None = None
    deprecated: str | None = None
    problem: str | None = None  # why it cannot fire, if it cannot


class SchedulePreview(Struct, frozen=True, omit_defaults=True):
    """What a spec would do: plain English and the next instants, or the problem with it."""

    summary: str
    fires: tuple[datetime, ...] = ()
    problem: str | None = None


class ScheduleAdded(Struct, frozen=True):
    """`created` is False where the very same schedule already stood."""

    id: str
    created: bool


# --- runs --------------------------------------------------------------------------------------


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
    typical_seconds: float | None = None
    waits_for: str | None = None  # plain words: "approval_gate: approval, 12 m left"
    request_id: str | None = None
    parent_run: str | None = None
    error: ErrorInfo | None = None
    note: str = ""


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


class NodeState(Struct, frozen=True, omit_defaults=True):
    node_id: str
    status: NodeStatus
    iteration: int = 0
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: ErrorInfo | None = None


class RunDetail(Struct, frozen=True):
    run: RunInfo
    graph: GraphInfo
    nodes: tuple[NodeState, ...]
    attempts: tuple[AttemptInfo, ...]
    state: dict[str, Any]
    requests: tuple[RequestInfo, ...]


class LogLine(Struct, frozen=True, omit_defaults=True):
    seq: int
    at: datetime
    node_id: str
    attempt: int
    stream: str  # stdout, stderr, log, engine
    text: str


class RunQuery(Struct, frozen=True, omit_defaults=True):
    """Filters are combined with and. `text` is matched in id, workflow, note and error."""

    workflow: str | None = None
    statuses: tuple[str, ...] = ()
    schedule_id: str | None = None
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    longer_than: float | None = None
    before_id: str | None = None  # paging: only runs older than this one
    limit: int = 200


# --- people ------------------------------------------------------------------------------------


class ChoiceInfo(Struct, frozen=True, omit_defaults=True):
    value: Any
    label: str
    description: str = ""
    style: str = ""  # primary, success, warning, danger


class VoteInfo(Struct, frozen=True, omit_defaults=True):
    at: datetime
    actor: Actor
    outcome: str
    comment: str = ""


class RequestInfo(Struct, frozen=True, omit_defaults=True):
    """One question to people, with exactly what was shown."""

    id: str
    revision: int
    run_id: str
    workflow: str
    version: str
    node_id: str
    kind: RequestKind
    title: str
    prompt: str  # Markdown, rendered when it was asked
    status: RequestStatus
    created_at: datetime
    requested_by: str
    context: dict[str, Any] = {}
    choices: tuple[ChoiceInfo, ...] = ()
    multiple: bool = False
    default: Any = None
    has_default: bool = False
    input_schema: dict[str, Any] | None = None
    allow_edit: bool = False
    document: str | None = None  # review: the text under review
    recommendation: Any = None  # override: what the machine would do
    deadline: datetime | None = None
    on_timeout: str = "abort"
    on_timeout_text: str = ""  # plain words for the person asked
    assignees: tuple[str, ...] = ()
    required_approvals: int = 1
    allow_self_approval: bool = True
    require_comment: bool = False
    priority: int = 0
    claimed_by: str | None = None
    votes: tuple[VoteInfo, ...] = ()
    outcome: str | None = None  # approved, rejected, answered, timed_out, withdrawn, …
    answer: Any = None
    comment: str = ""
    answered_by: Actor | None = None
    answered_at: datetime | None = None
    digest: str = ""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a person says.

    `outcome` is approved or rejected for approval, confirmation and review, answered for choice,
    input and override (accepted or overridden are derived). `value` is the bare answer: the
    choice, the form's object, the edited document; for approval and confirmation it may be left
    out and is then the boolean.
    """

    outcome: Literal["approved", "rejected", "answered"]
    value: Any | UnsetType = UNSET
    comment: str = ""


class RequestQuery(Struct, frozen=True, omit_defaults=True):
    statuses: tuple[str, ...] = ("open",)
    workflow: str | None = None
    run_id: str | None = None
    limit: int = 500


# --- versions ----------------------------------------------------------------------------------


class VersionInfo(Struct, frozen=True, omit_defaults=True):
    workflow: str
    version: str
    checksum: str
    registered_at: datetime
    path: str | None = None
    current: bool = False
    unversioned: bool = False
    deprecated: str | None = None
    deprecated_by: str | None = None
    successor: str | None = None
    active_runs: int = 0
    total_runs: int = 0
    schedules: int = 0
    migrations_from: tuple[str, ...] = ()  # versions from which a migration leads here


class ProblemInfo(Struct, frozen=True, omit_defaults=True):
    """A fault or warning found in a file: place, message and remedy."""

    severity: Literal["error", "warning"]
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    remedy: str = ""


class WorkflowInfo(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str
    versions: tuple[VersionInfo, ...]  # newest first
    problems: tuple[ProblemInfo, ...] = ()


class DefinitionInfo(Struct, frozen=True, omit_defaults=True):
    workflow: str
    version: str
    text: str  # YAML of this version
    graph: GraphInfo
    content: dict[str, Any] = {}
    problems: tuple[ProblemInfo, ...] = ()


class MigrationPreview(Struct, frozen=True, omit_defaults=True):
    """A dry run: the chain of migrations and the state after each step."""

    path: tuple[str, ...]  # migration ids, `1.0.0->2.0.0`
    before: dict[str, Any]
    after: dict[str, Any]
    steps: tuple[str, ...] = ()  # plain words, one a step
    breaking: bool = False


# --- engine, events ----------------------------------------------------------------------------


class EngineInfo(Struct, frozen=True, omit_defaults=True):
    mode: EngineMode
    pid: int
    epoch: int
    user: str
    host: str
    state_dir: str
    workspace: str
    product_version: str
    started_at: datetime
    now: datetime
    trusted: bool = True
    problems: tuple[ProblemInfo, ...] = ()
    schedules: int = 0
    running: int = 0
    queued: int = 0
    waiting: int = 0
    open_requests: int = 0
    failed_recently: int = 0  # failed runs in the last 24 hours
    next_fire: datetime | None = None
    next_fire_workflow: str | None = None
    last_event: int = 0


class EventInfo(Struct, frozen=True, omit_defaults=True):
    seq: int
    at: datetime
    kind: str
    actor: Actor
    run_id: str | None = None
    schedule_id: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    node_id: str | None = None
    data: dict[str, Any] = {}


class EventQuery(Struct, frozen=True, omit_defaults=True):
    kinds: tuple[str, ...] = ()  # exact, or a prefix that ends with a dot: `request.`
    run_id: str | None = None
    schedule_id: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    text: str | None = None
    after: datetime | None = None
    before_seq: int | None = None  # paging: only older ones
    limit: int = 200


class TrustInfo(Struct, frozen=True):
    """What trusting a workspace would allow to be executed."""

    workspace: str
    trusted: bool
    commands: tuple[str, ...]
    functions: tuple[str, ...]
    urls: tuple[str, ...]


@runtime_checkable
class Port(Protocol):
    """The console port. `Engine`, `Client` and `ReadOnlyPort` implement it; tests hold all three to it.

    Ids may be given as unique prefixes. `note` is free text that goes into the event.
    """

    # queries
    async def engine(self) -> EngineInfo: ...
    async def trust_info(self) -> TrustInfo: ...
    async def schedules(self) -> list[ScheduleInfo]: ...
    async def schedule(self, schedule_id: str) -> ScheduleInfo: ...
    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]: ...
    async def preview_schedule(
        self, spec: ScheduleSpec, count: int = 10, after: datetime | None = None
    ) -> SchedulePreview: ...
    async def runs(self, query: RunQuery) -> list[RunInfo]: ...
    async def run(self, run_id: str) -> RunDetail: ...
    async def run_log(
        self, run_id: str, after: int = 0, limit: int = 2000, node_id: str | None = None
    ) -> list[LogLine]: ...
    async def requests(self, query: RequestQuery) -> list[RequestInfo]: ...
    async def request(self, request_id: str) -> RequestInfo: ...
    async def events(self, query: EventQuery) -> list[EventInfo]: ...
    async def workflows(self) -> list[WorkflowInfo]: ...
    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo: ...
    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview: ...

    # actions on runs
    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...
    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def pause_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def resume_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def retry_run(self, run_id: str, note: str = "") -> RunInfo: ...

    # actions on schedules
    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded: ...
    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo: ...
    async def remove_schedule(self, schedule_id: str, note: str = "") -> None: ...
    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...
    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo: ...
    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...
    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...

    # people
    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo: ...
    async def claim(self, request_id: str) -> RequestInfo: ...
    async def release(self, request_id: str) -> RequestInfo: ...

    # versions, workspace, engine
    async def deprecate(
        self, workflow: str, version: str, message: str, successor: str | None = None
    ) -> VersionInfo: ...
    async def reload(self) -> list[ProblemInfo]: ...
    async def trust(self) -> TrustInfo: ...
    async def stop_engine(self) -> None: ...

    # the live feed: events with a sequence above `after`, then every new one as it is committed
    def subscribe(self, after: int) -> AsyncIterator[EventInfo]: ...
    async def close(self) -> None: ...
