"""What runs tell when they are looked at together: statistics, comparisons, and what an attempt did."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.runs import AttemptInfo, RunInfo


class ValueChange(Struct, frozen=True, omit_defaults=True):
    """One difference between two JSON values. `path` is dotted; `old` and `new` are None where absent."""

    kind: Literal["added", "removed", "changed"]
    path: str
    old: Any = None
    new: Any = None


class AttemptState(Struct, frozen=True):
    """The state of a run around one attempt, and what the attempt made of it.

    Of a member of a parallel or team, `before` is the state that all members saw.
    """

    attempt: AttemptInfo
    before: dict[str, Any]
    after: dict[str, Any]
    changes: tuple[ValueChange, ...]


class StatsBucket(Struct, frozen=True, omit_defaults=True):
    """The ended runs of one span of time that begins at `start`. Durations are seconds of successful runs."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    other: int = 0  # rejected or cancelled
    p50: float | None = None
    p95: float | None = None


class RunStats(Struct, frozen=True, omit_defaults=True):
    """What became of the newest runs that fit a query, at most `looked_at` of them.

    `success_rate` is of succeeded and failed runs, from 0 to 1. Percentiles are seconds of successful
    runs from start to end. Buckets follow each other from the oldest run on and are `bucket_seconds`
    long. `more` says that there are older runs which were not looked at.
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
    longest: float | None = None
    oldest: datetime | None = None  # when the oldest of these runs was created
    more: bool = False
    bucket_seconds: float = 0.0
    buckets: tuple[StatsBucket, ...] = ()


class NodeFacts(Struct, frozen=True, omit_defaults=True):
    """What one run did at a node: its last status, all its iterations and attempts, and their seconds."""

    status: str
    iterations: int = 0
    attempts: int = 0
    seconds: float = 0.0


class NodeComparison(Struct, frozen=True, omit_defaults=True):
    """A node in two runs; None on the side whose definition does not have it or that never came to it."""

    node_id: str
    left: NodeFacts | None = None
    right: NodeFacts | None = None


class ComparedRun(Struct, frozen=True):
    """One side of a comparison. `log_lines` and `log_bytes` are what is stored of its log."""

    run: RunInfo
    seconds: float | None
    input: dict[str, Any]
    log_lines: int
    log_bytes: int


class RunComparison(Struct, frozen=True):
    """Two runs side by side. The changes lead from the left run to the right one.

    `definition` are the lines in which the two definitions differ, empty for the same one.
    """

    left: ComparedRun
    right: ComparedRun
    nodes: tuple[NodeComparison, ...]
    state: tuple[ValueChange, ...]
    input: tuple[ValueChange, ...]
    definition: tuple[str, ...] = ()
