"""The effect of the rules of retention on a store, and the problem of rules that are not in force."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime

from victor_engine.api import ProblemInfo, RetentionCount, RetentionInfo
from victor_engine.clock import from_us, to_us
from victor_engine.domain.retention import Retention
from victor_engine.engine.queries.reader import Reader
from victor_engine.store.queries import retention as stored
from victor_engine.store.queries.retention import EndedRun
from victor_engine.store.repositories import retention as repository

SCANNED = 1000
"""Rows that one query reads. It takes a few milliseconds in a reader thread."""


async def expired_runs(reader: Reader, rules: Retention, now: datetime) -> AsyncIterator[list[EndedRun]]:
    """Yield the runs that the rules delete, also those that are kept for another reason, in their order."""
    now_us = to_us(now)
    kept = await reader.read(stored.oldest_kept, rules)
    after: int | None = 0
    while after is not None:
        after, runs = await reader.read(stored.ended_runs, after, rules.created_before(now_us), SCANNED)
        found = [
            run
            for run in runs
            if rules.expires(run.workflow, run.status, run.key, run.finished_at, now_us, kept)
        ]
        if found:
            yield found


async def describe(reader: Reader, rules: Retention, now: datetime) -> RetentionInfo:
    """Return the rules, whether they are in force, and the ended runs that they delete now."""
    confirmed = await reader.read(repository.confirmed)
    counts: Counter[tuple[str, str]] = Counter()
    kept = 0
    if rules.deletes:
        async for runs in expired_runs(reader, rules, now):
            free = set(await reader.read(stored.prunable, [run.key for run in runs]))
            counts.update((run.workflow, run.status) for run in runs if run.key in free)
            kept += len(runs) - len(free)
    in_force = confirmed is not None and confirmed.digest == rules.digest
    return RetentionInfo(
        rules=rules.texts,
        digest=rules.digest,
        in_force=in_force and rules.deletes,
        confirmed_by=confirmed.by if confirmed is not None and in_force else "",
        confirmed_at=from_us(confirmed.at) if confirmed is not None and in_force else None,
        runs=tuple(RetentionCount(*pair, count) for pair, count in sorted(counts.items())),
        kept=kept,
    )


def retention_problems(connection: sqlite3.Connection, rules: Retention) -> list[ProblemInfo]:
    """Return a warning if rules are set and not confirmed."""
    if not rules.explicit or not rules.deletes:
        return []
    confirmed = repository.confirmed(connection)
    if confirmed is not None and confirmed.digest == rules.digest:
        return []
    why = "were not confirmed" if confirmed is None else "have changed since they were confirmed"
    return [
        ProblemInfo(
            severity="warning",
            message=f"retention is not in force: its rules {why}, and nothing is deleted",
            remedy="See what would go with: victor db prune --dry-run, then run: victor db prune --confirm",
        )
    ]
