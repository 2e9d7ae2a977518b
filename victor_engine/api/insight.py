"""The structs of statistics, comparisons of runs, and changes by attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.runs import AttemptInfo, RunInfo


class ValueChange(Struct, frozen=True, omit_defaults=True):
    """One difference between two JSON values. `path` is dotted; an absent value is None."""

    kind: Literal["added", "removed", "changed"]
    path: str
    old: Any = None
    new: Any = None


class AttemptState(Struct, frozen=True):
    """The state of a run before and after one attempt, with the changes.

    For a member of a parallel, team or map node, `before` is the state that all members start with.
    """

    attempt: AttemptInfo
    before: dict[str, Any]
    after: dict[str, Any]
    changes: tuple[ValueChange, ...]


class StatsBucket(Struct, frozen=True, omit_defaults=True):
    """The finished runs of one period from `start` on. Durations are seconds of successful runs."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    other: int = 0  # rejected or cancelled
    p50: float | None = None
    p95: float | None = None


class FailureCause(Struct, frozen=True):
    """A node and a type of error that ended runs; the node is empty if the run failed outside of its nodes."""

    node_id: str
    error_type: str
    count: int


class RunStats(Struct, frozen=True, omit_defaults=True):
    """Statistics of the `looked_at` newest runs that match a query.

    `success_rate` is the share of succeeded runs among succeeded and failed ones, from 0 to 1. `p50`, `p95`,
    `p99` and `longest` are seconds of successful runs from start to end. `causes` are the most frequent causes of failed
    runs, with the most frequent first. The buckets are consecutive periods of
    `bucket_seconds` from the oldest run on. `more` is True if older runs match but are not included.
    """

    looked_at: int
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    active: int = 0
    success_rate: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    longest: float | None = None
    oldest: datetime | None = None  # creation of the oldest of these runs
    more: bool = False
    bucket_seconds: float = 0.0
    buckets: tuple[StatsBucket, ...] = ()
    causes: tuple[FailureCause, ...] = ()


class NodeFacts(Struct, frozen=True, omit_defaults=True):
    """The work of one run at a node: last status, numbers of iterations and attempts, and their total seconds."""

    status: str
    iterations: int = 0
    attempts: int = 0
    seconds: float = 0.0


class NodeComparison(Struct, frozen=True, omit_defaults=True):
    """A node in two runs. A side is None if its run did not visit the node."""

    node_id: str
    left: NodeFacts | None = None
    right: NodeFacts | None = None


class ComparedRun(Struct, frozen=True):
    """One side of a comparison. `log_lines` and `log_bytes` are the size of its stored log."""

    run: RunInfo
    seconds: float | None
    input: dict[str, Any]
    log_lines: int
    log_bytes: int


class RunComparison(Struct, frozen=True):
    """Two runs side by side. The changes are from the left run to the right one.

    `definition` are the differences of the two definitions as lines; empty if both runs have the same version.
    """

    left: ComparedRun
    right: ComparedRun
    nodes: tuple[NodeComparison, ...]
    state: tuple[ValueChange, ...]
    input: tuple[ValueChange, ...]
    definition: tuple[str, ...] = ()
