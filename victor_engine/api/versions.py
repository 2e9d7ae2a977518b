"""Workflows, their versions, and migrations between them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.runs import GraphInfo


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
