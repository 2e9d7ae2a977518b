"""Workflows, their versions, and migrations between them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.runs import GraphInfo

VersionStatus = Literal[
    "current",  # new runs start on it: by `latest`, an alias or a schedule
    "ramping",  # an alias gives it a part of what starts
    "draining",  # nothing starts on it any more, and some runs are left
    "drained",  # nothing starts on it any more, and no run is left
    "unused",  # nothing has ever started on it
    "deprecated",  # nobody should start on it
    "removed",  # nothing can start on it
]


class VersionInfo(Struct, frozen=True, omit_defaults=True):
    """One version. `active_runs` are those left on it, whatever its status."""

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
    status: VersionStatus = "unused"
    aliases: tuple[str, ...] = ()  # those that point here, in whole or in part
    share: int | None = None  # percent of what starts by a split alias
    deprecated_at: datetime | None = None
    removal_at: datetime | None = None  # planned
    removed: str | None = None  # what whoever wants to start on it is told
    removed_at: datetime | None = None


class ProblemInfo(Struct, frozen=True, omit_defaults=True):
    """A fault or warning found in a file: place, message and remedy."""

    severity: Literal["error", "warning"]
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    remedy: str = ""


VersionsShown = Literal["all", "heads", "notices"]
"""Which versions of a workflow are listed: all, the current one alone, or those deprecated or removed."""


class WorkflowInfo(Struct, frozen=True, omit_defaults=True):
    """A workflow with those of its versions that were asked for, and how many there are in all."""

    name: str
    description: str
    versions: tuple[VersionInfo, ...]  # newest first
    problems: tuple[ProblemInfo, ...] = ()
    version_count: int = 0
    notice_count: int = 0  # versions that are deprecated or removed


class DefinitionInfo(Struct, frozen=True, omit_defaults=True):
    workflow: str
    version: str
    text: str  # YAML of this version
    graph: GraphInfo
    content: dict[str, Any] = {}
    problems: tuple[ProblemInfo, ...] = ()


class AliasSide(Struct, frozen=True, omit_defaults=True):
    """One version of an alias, and what became of the runs that started on it since it points there."""

    version: str
    weight: int  # percent of what starts
    runs: int = 0
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    success_rate: float | None = None  # of what succeeded or failed; None before the first of them
    p50_seconds: float | None = None  # from start to end, of what succeeded last


class AliasInfo(Struct, frozen=True, omit_defaults=True):
    """A name for one version, or for two that share what starts."""

    workflow: str
    name: str
    sides: tuple[AliasSide, ...]  # the main version first
    since: datetime
    set_by: str
    note: str = ""
    schedules: int = 0
    rolls_back_to: str | None = None

    @property
    def version(self) -> str:
        return self.sides[0].version


class AliasChange(Struct, frozen=True, omit_defaults=True):
    """One entry of an alias's history. `version` None: it was removed."""

    workflow: str
    name: str
    action: Literal["set", "promote", "roll_back", "remove"]
    at: datetime
    by: str
    version: str | None = None
    other: str | None = None
    weight: int = 0
    note: str = ""


class DiffLine(Struct, frozen=True, omit_defaults=True):
    """One difference of two definitions. `section` is workflow, limits, schedule, nodes or edges."""

    section: Literal["workflow", "limits", "schedule", "nodes", "edges"]
    kind: Literal["added", "removed", "changed"]
    text: str
    node: str | None = None  # the node that it speaks of


class DefinitionDiff(Struct, frozen=True, omit_defaults=True):
    """What differs between two versions. `marks` say of a graph's nodes: added, removed or changed."""

    workflow: str
    old: str
    new: str
    lines: tuple[DiffLine, ...]
    old_graph: GraphInfo
    new_graph: GraphInfo
    marks: dict[str, str] = {}


class MigrationEdge(Struct, frozen=True, omit_defaults=True):
    """One registered migration, as an edge of the migration graph."""

    from_version: str
    to_version: str
    description: str = ""
    breaking: bool = False
    reverse: bool = False  # derived from the reverse steps of another one
    steps: tuple[str, ...] = ()
    checksum: str = ""


# --- moving what runs --------------------------------------------------------------------------


class MigrationSpec(Struct, frozen=True, omit_defaults=True):
    """What is to move to another version: some runs by id, or all that wait on `from_version`.

    All that wait are the runs that are waiting or paused, and the dead letters; those that are at
    work or queued are listed as refused. `schedules` takes the schedules that start `from_version`
    along; `schedule_ids` names some. `detail` tells each step (None: for up to 20 runs).
    """

    workflow: str
    to_version: str
    run_ids: tuple[str, ...] = ()
    from_version: str | None = None
    schedules: bool = False
    schedule_ids: tuple[str, ...] = ()
    detail: bool | None = None


class MigrationStepResult(Struct, frozen=True, omit_defaults=True):
    """One step on one run. `changes` is what it changes of the state, `position` of where it stands."""

    migration: str  # `1.0.0->2.0.0`
    step: str  # plain words
    changes: tuple[str, ...] = ()  # `+ path = value`, `- path`, `~ path: old -> new`
    position: str = ""


class MigrationPreview(Struct, frozen=True, omit_defaults=True):
    """A dry run on a state: the chain of migrations, and what each step of it changes."""

    path: tuple[str, ...]  # migration ids, `1.0.0->2.0.0`
    before: dict[str, Any]
    after: dict[str, Any]
    steps: tuple[MigrationStepResult, ...] = ()
    breaking: bool = False
    alternatives: tuple[tuple[str, ...], ...] = ()  # other ways, longer or more breaking


class RunMove(Struct, frozen=True, omit_defaults=True):
    """What becomes of one run, or has become of it."""

    run_id: str
    from_version: str
    to_version: str
    outcome: Literal["ready", "migrated", "refused"]
    run_status: str = ""
    reason: str = ""  # why it is refused
    path: tuple[str, ...] = ()
    stands_on: tuple[str, ...] = ()
    goes_on_at: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()  # what becomes of open requests, in plain words
    timers: tuple[str, ...] = ()  # what becomes of deadlines and retries that are due
    steps: tuple[MigrationStepResult, ...] = ()
    breaking: bool = False
    alternatives: tuple[tuple[str, ...], ...] = ()  # other ways than `path`, where each step is told
    migration: int | None = None  # the row of the history
    changed: str = ""  # what changed since it was planned, so that it was left out


class ScheduleMove(Struct, frozen=True, omit_defaults=True):
    """What becomes of one schedule: the version it starts, and its initial state."""

    schedule_id: str
    from_version: str
    to_version: str
    outcome: Literal["ready", "migrated", "refused"]
    reason: str = ""
    changes: tuple[str, ...] = ()  # of the initial state
    changed: str = ""  # what changed since it was planned, so that it was left out


class MigrationReport(Struct, frozen=True, omit_defaults=True):
    """A result for each run and schedule that was asked for. Nothing is written unless `applied`.

    `plan` is the token that moves exactly what is listed here as ready.
    """

    workflow: str
    to_version: str
    applied: bool
    runs: tuple[RunMove, ...] = ()
    schedules: tuple[ScheduleMove, ...] = ()
    plan: str = ""

    def count(self, outcome: str) -> int:
        """How many runs came to this."""
        return sum(1 for run in self.runs if run.outcome == outcome)


class RunMigrationInfo(Struct, frozen=True, omit_defaults=True):
    """One entry of the history of moves. Digests are SHA-256 of the state's canonical JSON."""

    id: int
    run_id: str
    workflow: str
    from_version: str
    to_version: str
    path: tuple[str, ...]
    checksums: tuple[str, ...]
    digest_before: str
    digest_after: str
    moved: str
    at: datetime
    by: str
    note: str = ""
    undone_at: datetime | None = None
    undone_by: str | None = None
