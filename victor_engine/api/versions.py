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


class MigrationPreview(Struct, frozen=True, omit_defaults=True):
    """A dry run: the chain of migrations and the state after each step."""

    path: tuple[str, ...]  # migration ids, `1.0.0->2.0.0`
    before: dict[str, Any]
    after: dict[str, Any]
    steps: tuple[str, ...] = ()  # plain words, one a step
    breaking: bool = False
