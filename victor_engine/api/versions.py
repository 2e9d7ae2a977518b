"""The structs of workflows, versions, aliases and migrations."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.runs import GraphInfo

VersionStatus = Literal[
    "current",  # new runs start on it through `latest`, an alias or a schedule
    "ramping",  # an alias sends a percentage of new runs to it
    "draining",  # new runs do not start on it, and it has active runs
    "drained",  # new runs do not start on it, and it has no active runs
    "unused",  # it never had a run
    "deprecated",  # it warns when it is used
    "removed",  # new runs cannot start on it
]


class VersionInfo(Struct, frozen=True, omit_defaults=True):
    """One version of a workflow."""

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
    aliases: tuple[str, ...] = ()  # aliases that point at this version
    share: int | None = None  # percentage of new runs through an alias with two versions
    deprecated_at: datetime | None = None
    removal_at: datetime | None = None  # planned
    removed: str | None = None  # the message for users of a removed version
    removed_at: datetime | None = None
    code: dict[str, str] = {}  # the digests of the code of its bindings at its last deployment


class ProblemInfo(Struct, frozen=True, omit_defaults=True):
    """An error or warning about a file: location, message and remedy."""

    severity: Literal["error", "warning"]
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    remedy: str = ""


VersionsShown = Literal["all", "heads", "notices"]
"""The versions to list: all, only the current one, or only deprecated and removed ones."""


class WorkflowInfo(Struct, frozen=True, omit_defaults=True):
    """A workflow with the selected versions, and the total number of its versions."""

    name: str
    description: str
    versions: tuple[VersionInfo, ...]  # newest first
    problems: tuple[ProblemInfo, ...] = ()
    version_count: int = 0
    notice_count: int = 0  # versions that are deprecated or removed


class DefinitionInfo(Struct, frozen=True, omit_defaults=True):
    """The definition of one version."""

    workflow: str
    version: str
    text: str  # YAML of this version
    graph: GraphInfo
    content: dict[str, Any] = {}
    problems: tuple[ProblemInfo, ...] = ()
    inputs: dict[str, Any] | None = (
        None  # the JSON Schema of the initial state; None if any state is accepted
    )


class AliasSide(Struct, frozen=True, omit_defaults=True):
    """One version of an alias, with the outcomes of its runs since the alias points at it."""

    version: str
    weight: int  # percentage of new runs
    runs: int = 0
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    success_rate: float | None = None  # succeeded runs among succeeded and failed ones, from 0 to 1
    p50_seconds: float | None = None  # median duration of recent successful runs


class AliasInfo(Struct, frozen=True, omit_defaults=True):
    """An alias: a name for one version, or for two versions that share new runs by weight."""

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
        """Return the main version."""
        return self.sides[0].version


class AliasChange(Struct, frozen=True, omit_defaults=True):
    """One change of an alias. `version` is None if the alias was removed."""

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
    node: str | None = None  # the changed node


class DefinitionDiff(Struct, frozen=True, omit_defaults=True):
    """The differences of two versions. `marks` maps nodes to added, removed or changed."""

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
    reverse: bool = False  # derived from the reverse steps of another migration
    steps: tuple[str, ...] = ()
    checksum: str = ""


# --- migrations of runs -------------------------------------------------------------------------


class MigrationSpec(Struct, frozen=True, omit_defaults=True):
    """The runs and schedules to migrate: runs by id, or the runs of `from_version`.

    Waiting and paused runs and dead letters of `from_version` are migrated; its running and queued runs are
    listed as refused. `schedules` includes the schedules that start `from_version`; `schedule_ids` names
    schedules. With `detail`, the result has each step; by default it has them for up to 20 runs.
    """

    workflow: str
    to_version: str
    run_ids: tuple[str, ...] = ()
    from_version: str | None = None
    schedules: bool = False
    schedule_ids: tuple[str, ...] = ()
    detail: bool | None = None


class MigrationStepResult(Struct, frozen=True, omit_defaults=True):
    """One step of a migration of one run. `changes` are those of the state, `position` that of the position."""

    migration: str  # `1.0.0->2.0.0`
    step: str  # description
    changes: tuple[str, ...] = ()  # `+ path = value`, `- path`, `~ path: old -> new`
    position: str = ""


class MigrationPreview(Struct, frozen=True, omit_defaults=True):
    """A dry run of a migration on a state, with the changes of each step."""

    path: tuple[str, ...]  # migration ids, `1.0.0->2.0.0`
    before: dict[str, Any]
    after: dict[str, Any]
    steps: tuple[MigrationStepResult, ...] = ()
    breaking: bool = False
    alternatives: tuple[tuple[str, ...], ...] = ()  # other paths, longer or with more breaking migrations


class RunMove(Struct, frozen=True, omit_defaults=True):
    """The planned or actual result of a migration for one run."""

    run_id: str
    from_version: str
    to_version: str
    outcome: Literal["ready", "migrated", "refused"]
    run_status: str = ""
    reason: str = ""  # why it is refused
    path: tuple[str, ...] = ()
    stands_on: tuple[str, ...] = ()
    goes_on_at: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()  # results for open requests, as text
    timers: tuple[str, ...] = ()  # results for pending deadlines and retries, as text
    steps: tuple[MigrationStepResult, ...] = ()
    breaking: bool = False
    alternatives: tuple[tuple[str, ...], ...] = ()  # other paths, with `detail` only
    migration: int | None = None  # id of its `RunMigrationInfo`
    changed: str = ""  # the change since the dry run, because of which it is refused


class ScheduleMove(Struct, frozen=True, omit_defaults=True):
    """The planned or actual result of a migration for one schedule."""

    schedule_id: str
    from_version: str
    to_version: str
    outcome: Literal["ready", "migrated", "refused"]
    reason: str = ""
    changes: tuple[str, ...] = ()  # of the initial state
    changed: str = ""  # the change since the dry run, because of which it is refused


class MigrationReport(Struct, frozen=True, omit_defaults=True):
    """The results of a migration. Nothing was written unless `applied` is True.

    `plan` is the token that migrates exactly the items that are listed as ready. `batch` is the id with which the
    migrated runs and schedules can be migrated back together.
    """

    workflow: str
    to_version: str
    applied: bool
    runs: tuple[RunMove, ...] = ()
    schedules: tuple[ScheduleMove, ...] = ()
    plan: str = ""
    batch: str = ""

    def count(self, outcome: str) -> int:
        """Return the number of runs with an outcome."""
        return sum(1 for run in self.runs if run.outcome == outcome)


class VersionPrune(Struct, frozen=True, omit_defaults=True):
    """The planned or actual result of a pruning for one version. `reason` says why it is kept."""

    workflow: str
    version: str
    outcome: Literal["ready", "deleted", "kept"]
    reason: str = ""
    changed: str = ""  # the change since the dry run, because of which it is kept


class PruneReport(Struct, frozen=True, omit_defaults=True):
    """The results of a pruning. Nothing was deleted unless `applied` is True.

    `plan` is the token that deletes exactly the versions that are listed as ready.
    """

    applied: bool
    versions: tuple[VersionPrune, ...] = ()
    plan: str = ""

    def count(self, outcome: str) -> int:
        """Return the number of versions with an outcome."""
        return sum(1 for version in self.versions if version.outcome == outcome)


class RunMigrationInfo(Struct, frozen=True, omit_defaults=True):
    """One migration of a run. Digests are SHA-256 of the canonical JSON of the state."""

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
    batch: str = ""  # the id that all runs of one command have in common
