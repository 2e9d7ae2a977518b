"""The deletion of history by the rules of retention, in steps that each fit into one short transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from victor_engine.events import EventKind
from victor_engine.store.audit_chain import BEGUN
from victor_engine.store.locks import Root
from victor_engine.store.queries.audit import decision_condition
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.retention import OldBackfill, old_backfills, prunable
from victor_engine.store.repositories import audit, deployments, meta
from victor_engine.store.transaction import Tx


class Pruned(NamedTuple):
    """The number of deleted runs, and of other deleted rows."""

    runs: int = 0
    rows: int = 0


_OF_REQUESTS = ("reminders", "request_messages", "request_people", "votes", "secret_answers")
_OF_RUNS = ("attempts", "run_states", "logs", "run_migrations", "run_choices", "start_keys")


def prune_runs(tx: Tx, keys: Sequence[int]) -> Pruned:
    """Delete those of the runs that may be deleted, with everything that belongs to them.

    If decisions are deleted, the audit chain gets a record with their runs, so that its verification knows it.
    """
    found = prunable(tx, keys)
    if not found:
        return Pruned()
    marks = ",".join("?" * len(found))
    schedules = tx.execute(
        f"SELECT DISTINCT schedule_id FROM fires WHERE run_key IN ({marks})", found
    ).fetchall()
    expected = tx.execute(
        f"SELECT DISTINCT schedule_id FROM expectations WHERE run_key IN ({marks}) AND breached_at IS NOT NULL",
        found,
    ).fetchall()
    for (schedule,) in sorted({*schedules, *expected}):
        tx.lock(Root.SCHEDULE, schedule)
    for key in found:
        tx.lock(Root.RUN, key)
    requests = tx.execute(
        f"SELECT key, id FROM requests WHERE run_key IN ({marks}) ORDER BY id", found
    ).fetchall()
    for _, request in requests:
        tx.lock(Root.REQUEST, request)
    condition, values = decision_condition()
    decided = [
        run
        for (run,) in tx.execute(
            "SELECT r.id FROM runs r WHERE r.key IN (SELECT DISTINCT e.run_key FROM events e"
            f" WHERE e.run_key IN ({marks}) AND {condition}) ORDER BY r.key",
            (*found, *values),
        )
    ]
    (first,) = tx.execute(f"SELECT MIN(seq) FROM events WHERE run_key IN ({marks})", found).fetchone()
    earlier = _is_earlier(tx, first, min((key for key, _ in requests), default=None))
    rows = 0
    if requests:
        asked = [key for key, _ in requests]
        these = ",".join("?" * len(asked))
        for table in _OF_REQUESTS:
            rows += tx.execute(f"DELETE FROM {table} WHERE request_key IN ({these})", asked).rowcount
        rows += tx.execute(f"DELETE FROM requests WHERE key IN ({these})", asked).rowcount
    rows += tx.execute(
        f"DELETE FROM usage WHERE attempt_id IN (SELECT id FROM attempts WHERE run_key IN ({marks}))", found
    ).rowcount
    for table in _OF_RUNS:
        rows += tx.execute(f"DELETE FROM {table} WHERE run_key IN ({marks})", found).rowcount
    if schedules or expected:
        rows += tx.execute(f"DELETE FROM fires WHERE run_key IN ({marks})", found).rowcount
        rows += tx.execute(
            f"DELETE FROM expectations WHERE run_key IN ({marks}) AND breached_at IS NOT NULL", found
        ).rowcount
    rows += tx.execute(f"DELETE FROM events WHERE run_key IN ({marks})", found).rowcount
    tx.execute(f"DELETE FROM runs WHERE key IN ({marks})", found)
    if decided or earlier:
        record_pruned(tx, len(found), decided=decided, earlier=earlier)
    return Pruned(len(found), rows)


def prune_details(tx: Tx, key: int, limit: int) -> int:
    """Delete at most `limit` lines of the log, and as many events of nodes, of a run that will be deleted.

    Return their number; 0 if the run may not be deleted. Its decisions stay until it is deleted as a whole.
    """
    if not prunable(tx, [key]):
        return 0
    tx.lock(Root.RUN, key)
    condition, values = decision_condition()
    lines = tx.execute(
        "DELETE FROM logs WHERE id IN (SELECT id FROM logs WHERE run_key = ? ORDER BY id LIMIT ?)",
        (key, limit),
    ).rowcount
    events = tx.execute(
        "DELETE FROM events WHERE seq IN (SELECT e.seq FROM events e WHERE e.run_key = ? AND e.node_id IS NOT NULL"
        f" AND NOT {condition} LIMIT ?)",
        (key, *values, limit),
    ).rowcount
    return lines + events


def prune_fires(tx: Tx, ids: Sequence[int], schedules: Sequence[str]) -> int:
    """Delete fires without a run, except the newest of each schedule, and return their number."""
    for schedule in sorted(set(schedules)):
        tx.lock(Root.SCHEDULE, schedule)
    marks = ",".join("?" * len(ids))
    return tx.execute(
        f"DELETE FROM fires WHERE id IN ({marks}) AND run_key IS NULL"
        " AND id < (SELECT MAX(g.id) FROM fires g WHERE g.schedule_id = fires.schedule_id)",
        list(ids),
    ).rowcount


def prune_backfill(tx: Tx, backfill: OldBackfill, limit: int) -> int:
    """Delete at most `limit` fires of an old backfill, and the backfill with the last of them.

    Return the number of deleted rows; 0 if the backfill does not exist or has a stored run.
    """
    tx.lock(Root.SCHEDULE, backfill.schedule_id)
    if backfill not in old_backfills(tx, backfill.id - 1, backfill.finished_at + 1, 1):
        return 0
    fires = tx.execute(
        "DELETE FROM backfill_fires WHERE backfill_id = ?1 AND number IN"
        " (SELECT number FROM backfill_fires WHERE backfill_id = ?1 ORDER BY number LIMIT ?2)",
        (backfill.id, limit),
    ).rowcount
    if fires == limit:
        return fires
    return fires + tx.execute("DELETE FROM backfills WHERE id = ?", (backfill.id,)).rowcount


def prune_deployments(tx: Tx, before: int, limit: int) -> int:
    """Delete at most `limit` deployments from before an instant, newest first, and return their number.

    The deployment that an undo would revert stays, with all later ones, and so do those that a kept undo names.
    """
    undoable = deployments.to_undo(tx)
    if undoable is not None:
        end = undoable.info.number
    else:
        (end,) = tx.execute("SELECT COALESCE(MAX(number), 0) FROM deployments").fetchone()
    return tx.execute(
        "DELETE FROM deployments WHERE number IN (SELECT number FROM deployments WHERE at < ?1 AND number < ?2"
        " AND number NOT IN (SELECT undoes FROM deployments WHERE undoes IS NOT NULL AND (at >= ?1 OR number >= ?2))"
        " ORDER BY number DESC LIMIT ?3)",
        (before, end, limit),
    ).rowcount


def prune_events(tx: Tx, seqs: Sequence[int]) -> int:
    """Delete events without a run, and return their number."""
    if _is_earlier(tx, min(seqs), None):
        record_pruned(tx, earlier=True)
    return tx.execute(f"DELETE FROM events WHERE seq IN ({','.join('?' * len(seqs))})", list(seqs)).rowcount


def record_pruned(
    tx: Tx, runs: int = 0, rows: int = 0, *, decided: Sequence[str] = (), earlier: bool = False
) -> None:
    """Write the event of deleted history. The audit chain gets a record of it."""
    data: dict[str, object] = {"runs": runs}
    if rows:
        data["rows"] = rows
    if decided:
        data["decided"] = list(decided)
    if earlier:
        data["earlier"] = True
    tx.event(EventKind.HISTORY_PRUNED, data=data)


def _is_earlier(tx: Tx, event: int | None, request: int | None) -> bool:
    """Return whether an event or a request is older than the audit chain of an upgraded store."""
    row = tx.execute("SELECT record FROM audit WHERE seq = 1").fetchone()
    record = json.loads(row[0]) if row is not None else {}
    if record.get("event") != BEGUN:
        return False
    last_event, _, _, last_request = record["data"]["last"]
    return (event is not None and event <= last_event) or (request is not None and request <= last_request)


def prune_records(tx: Tx, before: int, limit: int) -> None:
    """Delete at most `limit` records of the audit chain from before an instant, and record it."""
    seq, digest, deleted = audit.prune(tx, before, limit)
    if deleted:
        tx.event(EventKind.AUDIT_PRUNED, data={"seq": seq, "digest": digest, "deleted": deleted})


class Confirmed(NamedTuple):
    """The confirmation of rules: their digest, the user, and the instant in microseconds."""

    digest: str
    by: str
    at: int


def confirmed(source: Source) -> Confirmed | None:
    """Return the confirmation of the rules of retention; None if no rules were confirmed."""
    found = meta.get(source, meta.RETENTION)
    return None if found is None else Confirmed(**json.loads(found))


def confirm(tx: Tx, digest: str, by: str) -> None:
    """Store that a user has confirmed the rules with a digest."""
    meta.put(tx, meta.RETENTION, json.dumps(Confirmed(digest, by, tx.now_us)._asdict()))
