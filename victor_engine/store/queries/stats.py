"""Statistics of runs: success rate, durations, and both over time."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    ASKED_WORKFLOW,
    FailureCause,
    RunQuery,
    RunStats,
    StatsBucket,
)
from victor_engine.clock import from_us, to_us
from victor_engine.store.queries.conversions import error_info
from victor_engine.store.queries.run_filters import conditions, walks
from victor_engine.store.queries.typical_durations import percentile

LOOK_BACK = 20_000
"""The maximum number of runs of one statistic."""
WALKED = 100_000
"""The newest runs among which those are looked for that no index leads to."""
MOST_BUCKETS = 500
MOST_CAUSES = 10
"""The causes of failures that a statistic names."""
_DISORDER = 1000
"""Runs over which the order by time may differ from that of their keys."""

_STEPS = (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
"""Seconds that a bucket may be long; beyond the last one multiples of it."""


class _Row(Struct, frozen=True):
    """One run; instants are microseconds. `started` is later by the time between an end and a new beginning."""

    status: str
    started: int | None
    finished: int | None
    created: int
    error: str | None  # JSON, of a failed run

    @property
    def seconds(self) -> float | None:
        """Of a successful run, from start to end."""
        if self.status != "succeeded" or self.started is None or self.finished is None:
            return None
        return (self.finished - self.started) / 1e6


def run_stats(connection: sqlite3.Connection, query: RunQuery, buckets: int) -> RunStats:
    """Statistics of the newest runs that fit, at most `query.limit` and `LOOK_BACK` of them."""
    rows, more = _newest(connection, query)
    if not rows:
        return RunStats(looked_at=0, more=more)
    counts = Counter(row.status for row in rows)
    took = sorted(row.seconds for row in rows if row.seconds is not None)
    judged = counts["succeeded"] + counts["failed"]
    step, spans = _buckets(rows, max(2, min(buckets, MOST_BUCKETS)))
    return RunStats(
        looked_at=len(rows),
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        rejected=counts["rejected"],
        cancelled=counts["cancelled"],
        active=sum(counts[status] for status in ACTIVE_RUN_STATUSES),
        success_rate=counts["succeeded"] / judged if judged else None,
        p50=percentile(took, 0.5) if took else None,
        p95=percentile(took, 0.95) if took else None,
        p99=percentile(took, 0.99) if took else None,
        longest=took[-1] if took else None,
        oldest=from_us(min(row.created for row in rows)),
        more=more,
        bucket_seconds=float(step),
        buckets=spans,
        causes=_causes(rows),
    )


def _causes(rows: Sequence[_Row]) -> tuple[FailureCause, ...]:
    """Return the most frequent causes of the failed runs."""
    errors = [error for row in rows if (error := error_info(row.error)) is not None]
    counts = Counter((error.node_id or "", error.type) for error in errors)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FailureCause(*cause, count) for cause, count in ordered[:MOST_CAUSES])


def _newest(connection: sqlite3.Connection, query: RunQuery) -> tuple[list[_Row], bool]:
    """The newest runs that fit, and whether there may be older ones."""
    limit = max(0, min(query.limit, LOOK_BACK))
    where, values = conditions(connection, query)
    if query.workflow is None:  # a question from a shell says nothing about workflows
        where.append("r.workflow <> ?")
        values.append(ASKED_WORKFLOW)
    cut = False
    if walks(query):
        (last,) = connection.execute("SELECT COALESCE(MAX(key), 0) FROM runs").fetchone()
        cut = last > WALKED
        where.append("r.key > ?")
        values.append(last - WALKED)
    if query.created_after is not None:
        # Keys grow with time: what is older need not be passed over to the end of another index.
        where.append("r.key >= ?")
        values.append(_first_since(connection, to_us(query.created_after)))
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    found = connection.execute(
        "SELECT r.status, r.started_at + r.idle, r.finished_at, r.created_at,"
        " CASE WHEN r.status = 'failed' THEN r.error END"
        f" FROM runs r{condition} ORDER BY r.key DESC LIMIT ?",
        [*values, limit + 1],
    ).fetchall()
    return [_Row(*row) for row in found[:limit]], cut or len(found) > limit


def _first_since(connection: sqlite3.Connection, since: int) -> int:
    """The lowest key among the first runs since an instant; a clock that was set back disturbs their order."""
    row = connection.execute(
        "SELECT MIN(key) FROM (SELECT key FROM runs WHERE created_at >= ? ORDER BY created_at LIMIT ?)",
        (since, _DISORDER),
    ).fetchone()
    return int(row[0] or 0)


def _buckets(rows: Sequence[_Row], wanted: int) -> tuple[int, tuple[StatsBucket, ...]]:
    """The ended runs by when they ended, in at most `wanted` spans (from 2 on) of a round length (seconds)."""
    ends = [row.finished // 1_000_000 for row in rows if row.finished is not None]
    if not ends:
        return 0, ()
    first, last = min(ends), max(ends)
    step = _step(first, last, wanted)
    start = first - first % step
    count = (last - start) // step + 1
    kinds: list[Counter[str]] = [Counter() for _ in range(count)]
    took: list[list[float]] = [[] for _ in range(count)]
    for row in rows:
        if row.finished is None:
            continue
        place = (row.finished // 1_000_000 - start) // step
        kinds[place][row.status if row.status in ("succeeded", "failed") else "other"] += 1
        if row.seconds is not None:
            took[place].append(row.seconds)
    found = []
    for place in range(count):
        seconds = sorted(took[place])
        found.append(
            StatsBucket(
                start=from_us((start + place * step) * 1_000_000),
                succeeded=kinds[place]["succeeded"],
                failed=kinds[place]["failed"],
                other=kinds[place]["other"],
                p50=percentile(seconds, 0.5) if seconds else None,
                p95=percentile(seconds, 0.95) if seconds else None,
            )
        )
    return step, tuple(found)


def _step(first: int, last: int, wanted: int) -> int:
    """Seconds of a bucket, so that from `first` to `last` there are at most `wanted`."""
    for step in _STEPS:
        if last // step - first // step < wanted:
            return step
    # An uneven start can take one more bucket than the length alone would.
    return _STEPS[-1] * ceil((last - first + _STEPS[-1]) / _STEPS[-1] / (wanted - 1))
