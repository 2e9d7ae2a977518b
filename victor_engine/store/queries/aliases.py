"""Queries of aliases: their targets, the results of the runs on each side, and their history."""

from __future__ import annotations

import sqlite3

from victor_engine.api import AliasChange, AliasInfo, AliasSide
from victor_engine.clock import from_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.conversions import ACTIVE

TELLING = 500
"""The number of recent successful runs of a side from which its duration is computed."""


def aliases(connection: sqlite3.Connection, workflow: str | None = None) -> list[AliasInfo]:
    """Return every alias (of one workflow), by workflow and name. The caller sets `rolls_back_to`."""
    where, given = ("", ()) if workflow is None else (" WHERE named.workflow = ?", (workflow,))
    rows = connection.execute(
        "SELECT named.workflow, named.alias, p.id, p.version, p.other, p.weight, p.at, p.actor, p.note,"
        " (SELECT COUNT(*) FROM schedules s WHERE s.workflow = named.workflow AND s.removed_at IS NULL"
        "  AND json_extract(s.spec, '$.version') = named.alias)"
        f" FROM aliases named JOIN pointings p ON p.id = named.pointing_id{where} ORDER BY named.workflow, named.alias",
        given,
    ).fetchall()
    found = []
    for flow, name, pointing, version, other, weight, at, actor, note, schedules in rows:
        sides = [_side(connection, pointing, version, 100 - weight)]
        if other is not None:
            sides.append(_side(connection, pointing, other, weight))
        found.append(
            AliasInfo(
                workflow=flow,
                name=name,
                sides=tuple(sides),
                since=from_us(at),
                set_by=actor_from_json(actor).user,
                note=note,
                schedules=schedules,
            )
        )
    return found


def _side(connection: sqlite3.Connection, pointing: int, version: str, weight: int) -> AliasSide:
    # A run that was migrated counts for the version that it has now.
    of_side = (
        "FROM run_choices c JOIN runs r ON r.key = c.run_key JOIN definitions d ON d.id = r.definition_id"
        " WHERE c.pointing_id = ? AND d.version = ?"
    )
    counts = dict(connection.execute(f"SELECT r.status, COUNT(*) {of_side} GROUP BY 1", (pointing, version)))
    durations = sorted(
        seconds / 1_000_000
        for (seconds,) in connection.execute(
            f"SELECT r.finished_at - r.started_at - r.idle {of_side} AND r.status = 'succeeded'"
            f" ORDER BY c.run_key DESC LIMIT {TELLING}",
            (pointing, version),
        )
    )
    good, bad = counts.get("succeeded", 0), counts.get("failed", 0)
    return AliasSide(
        version=version,
        weight=weight,
        runs=sum(counts.values()),
        active=sum(count for status, count in counts.items() if f"'{status}'" in ACTIVE),
        succeeded=good,
        failed=bad,
        rejected=counts.get("rejected", 0),
        cancelled=counts.get("cancelled", 0),
        success_rate=good / (good + bad) if good + bad else None,
        p50_seconds=_median(durations),
    )


def _median(values: list[float]) -> float | None:
    if not values:
        return None
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def alias_history(
    connection: sqlite3.Connection, workflow: str, name: str, limit: int = 100
) -> list[AliasChange]:
    """Return the history of an alias, newest first."""
    rows = connection.execute(
        "SELECT action, at, actor, version, other, weight, note FROM pointings WHERE workflow = ? AND alias = ?"
        " ORDER BY id DESC LIMIT ?",
        (workflow, name, limit),
    )
    return [
        AliasChange(
            workflow=workflow,
            name=name,
            action=action,
            at=from_us(at),
            by=actor_from_json(actor).user,
            version=version,
            other=other,
            weight=weight,
            note=note,
        )
        for action, at, actor, version, other, weight, note in rows
    ]
