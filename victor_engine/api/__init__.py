"""The console port: the one asynchronous interface that the console and the command line speak.

Three implementations, one contract: the embedded engine (`victor_engine.engine.Engine`), the
socket client (`victor_engine.service.client.Client`), and a read-only view of a store without an
engine (`victor_engine.service.readonly.ReadOnlyPort`). Everything that crosses the port is one of
the frozen structs below, so that a screen draws snapshots and never the engine's own objects.

All instants are aware datetimes in UTC. Durations are seconds as floats. A method raises only
subclasses of `VictorError`. Queries write nothing.
"""

from victor_engine.api.common import ENGINE_ACTOR, Actor, ErrorInfo
from victor_engine.api.engine import EngineInfo, EngineMode, EventInfo, EventQuery, TrustInfo
from victor_engine.api.people import (
    Answer,
    ChoiceInfo,
    RequestInfo,
    RequestKind,
    RequestQuery,
    RequestStatus,
    VoteInfo,
)
from victor_engine.api.port import Port
from victor_engine.api.runs import (
    ACTIVE_RUN_STATUSES,
    FINAL_RUN_STATUSES,
    AttemptInfo,
    AttemptStatus,
    DeadLetterGroup,
    GraphEdge,
    GraphInfo,
    GraphNode,
    LogLine,
    NodeOverride,
    NodeState,
    NodeStatus,
    RunDetail,
    RunInfo,
    RunQuery,
    RunStatus,
    TriggerKind,
)
from victor_engine.api.schedules import (
    Catchup,
    FireInfo,
    FireOutcome,
    Overlap,
    PauseInfo,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
)
from victor_engine.api.versions import (
    DefinitionInfo,
    MigrationPreview,
    ProblemInfo,
    VersionInfo,
    WorkflowInfo,
)

__all__ = [
    "ACTIVE_RUN_STATUSES",
    "ENGINE_ACTOR",
    "FINAL_RUN_STATUSES",
    "Actor",
    "Answer",
    "AttemptInfo",
    "AttemptStatus",
    "Catchup",
    "ChoiceInfo",
    "DeadLetterGroup",
    "DefinitionInfo",
    "EngineInfo",
    "EngineMode",
    "ErrorInfo",
    "EventInfo",
    "EventQuery",
    "FireInfo",
    "FireOutcome",
    "GraphEdge",
    "GraphInfo",
    "GraphNode",
    "LogLine",
    "MigrationPreview",
    "NodeOverride",
    "NodeState",
    "NodeStatus",
    "Overlap",
    "PauseInfo",
    "Port",
    "ProblemInfo",
    "RequestInfo",
    "RequestKind",
    "RequestQuery",
    "RequestStatus",
    "RunDetail",
    "RunInfo",
    "RunQuery",
    "RunStatus",
    "ScheduleAdded",
    "ScheduleInfo",
    "SchedulePreview",
    "ScheduleSpec",
    "TriggerKind",
    "TrustInfo",
    "VersionInfo",
    "VoteInfo",
    "WorkflowInfo",
]
