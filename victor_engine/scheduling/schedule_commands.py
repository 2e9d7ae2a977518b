"""Transitions of schedules and fires: added, declared, edited, paused, skipped, fired.

Functions of a `Tx`, so that the loop, the console and a command line under the lock share them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from victor_engine.api import Actor, PauseInfo, ScheduleAdded, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.domain.statuses import FireOutcome
from victor_engine.domain.transitions import ScheduleCommand, schedule_refusal
from victor_engine.errors import ConflictError, UsageError
from victor_engine.events import EventKind
from victor_engine.scheduling import dependency_graph
from victor_engine.scheduling.declarations import describe_changes, file_schedule_id, schedule_id
from victor_engine.scheduling.policy import backlog
from victor_engine.scheduling.stored_schedules import (
    Resolve,
    ScheduleRow,
    find,
    first_fire,
    locked,
    paused_words,
    record_fire,
)
from victor_engine.scheduling.timing import Timing
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.repositories import fires, meta, schedules
from victor_engine.store.runs import NewRun, insert_run


def add(
    tx: Tx,
    spec: ScheduleSpec,
    *,
    actor: Actor | None,
    origin: str,
    path: str | None = None,
    note: str = "",
    given_id: str | None = None,
    file_spec: ScheduleSpec | None = None,
) -> ScheduleAdded:
    """Add a schedule. The very same one again is no change; one that was removed comes back.

    ConflictError for one that differs from a schedule with the same times, zone, state and version.
    """
    new_id = given_id or schedule_id(spec)
    tx.lock(Root.SCHEDULE, new_id)
    known = find(tx, new_id)
    if known is not None and not known.removed:
        changes = describe_changes(known.spec, spec)
        if changes:
            raise ConflictError(
                f"schedule {new_id} starts {spec.workflow} at these times with this state already, and differs in "
                f"{'; '.join(changes)}; `victor scheduler edit {new_id}` changes it"
            )
        return ScheduleAdded(new_id, False)
    timing = Timing(spec, new_id, tx.now)
    if file_spec is None:
        _must_come(spec, timing, tx.now)
    dependency_graph.check(tx, new_id, spec)
    due = first_fire(timing, tx.now) if spec.enabled else None
    schedules.add(tx, new_id, spec, file_spec=file_spec, origin=origin, path=path, next_fire=due)
    dependency_graph.depend(tx, new_id, spec)
    data = {"spec": msgspec.to_builtins(spec), "origin": origin, **({"note": note} if note else {})}
    tx.event(EventKind.SCHEDULE_ADDED, actor=actor, schedule_id=new_id, workflow=spec.workflow, data=data)
    return ScheduleAdded(new_id, True)


def declare(tx: Tx, workflow: str, path: str | None, spec: ScheduleSpec | None) -> bool:
    """Bring a file's `schedule:` block into force; whether anything changed.

    The file declares; an edit is an override that stays until it is dropped. A block that vanished
    disables its schedule, with a note; it comes back with the block, as it was.
    """
    new_id = file_schedule_id(workflow)
    tx.lock(Root.SCHEDULE, new_id)
    row = find(tx, new_id)
    if spec is None:
        if row is None or row.removed or row.file_spec is None:
            return False
        vanish(tx, row, f"{path or 'its file'} declares no schedule any more")
        return True
    if row is not None and row.vanished is not None:
        come_back(tx, row)
        declare(tx, workflow, path, spec)
        return True
    if row is None or row.removed:
        return add(tx, spec, actor=None, origin="file", path=path, given_id=new_id, file_spec=spec).created
    if row.file_spec == spec:
        return False
    in_force, dropped = spec, False
    if row.file_spec is not None and row.spec != row.file_spec:
        in_force = _rebase(row, spec)
        try:
            Timing(in_force, new_id, row.created_at)
        except UsageError:
            # The operator's edits and what the file says now exclude each other.
            in_force, dropped = spec, True
    changes = describe_changes(row.file_spec or row.spec, spec)
    _apply(tx, row, in_force)
    schedules.declare(tx, new_id, spec, path)
    data: dict[str, Any] = {"by": "file", "changes": changes}
    if dropped:
        data["note"] = (
            "the edits made here do not go with what the file says now, and were dropped: "
            + "; ".join(describe_changes(row.file_spec or row.spec, row.spec))
        )
    tx.event(EventKind.SCHEDULE_CHANGED, schedule_id=new_id, workflow=workflow, data=data)
    return True


def vanish(tx: Tx, row: ScheduleRow, note: str) -> None:
    """Disable a schedule whose workflow or block is gone from the files. `come_back` undoes it."""
    cursor = settle(tx, row, tx.now)
    schedules.vanish(tx, row.id, note, to_us(cursor))
    tx.event(EventKind.SCHEDULE_REMOVED, schedule_id=row.id, workflow=row.workflow, data={"note": note})


def come_back(tx: Tx, row: ScheduleRow) -> None:
    """Enable a schedule that vanished, as it was. What came due meanwhile is recorded as skipped."""
    dependency_graph.check(tx, row.id, row.spec)
    back = replace(row, removed=False, vanished=None, cursor=settle(tx, row, tx.now))
    schedules.come_back(tx, row.id, to_us(back.cursor), _next_look(back))
    data = {
        "spec": msgspec.to_builtins(row.spec),
        "origin": row.origin,
        "note": "it is back with its workflow's file, as it was",
    }
    tx.event(EventKind.SCHEDULE_ADDED, schedule_id=row.id, workflow=row.workflow, data=data)


def _rebase(row: ScheduleRow, spec: ScheduleSpec) -> ScheduleSpec:
    """The file's new spec with the operator's own edits on top."""
    edits = {
        name: getattr(row.spec, name)
        for name in ScheduleSpec.__struct_fields__
        if getattr(row.spec, name) != getattr(row.file_spec, name)
    }
    return msgspec.structs.replace(spec, **edits)


def edit(tx: Tx, schedule: str, spec: ScheduleSpec, *, actor: Actor | None, note: str = "") -> str:
    """Bring another spec into force. A pause stays, with its end; what was due before is settled."""
    row = locked(tx, schedule)
    if spec.workflow != row.workflow:
        raise UsageError(f"schedule {row.id} is of {row.workflow}; add a new one for {spec.workflow}")
    timing = Timing(spec, row.id, row.created_at)
    changes = describe_changes(row.spec, spec)
    if not changes:
        return row.id
    if _times(spec) != _times(row.spec):
        _must_come(spec, timing, tx.now)
    _apply(tx, row, spec)
    data = {"changes": changes, **({"note": note} if note else {})}
    tx.event(EventKind.SCHEDULE_CHANGED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def _must_accept(row: ScheduleRow, command: ScheduleCommand) -> None:
    """Raise ConflictError with the reason if a schedule refuses a command."""
    fires = row.next_fire is not None or row.spec.after is not None
    reason = schedule_refusal(row.status, command, fires=fires)
    if reason is not None:
        raise ConflictError(f"schedule {row.id} {reason}")


def _must_come(spec: ScheduleSpec, timing: Timing, now: datetime) -> None:
    if spec.enabled and spec.after is None and timing.next_after(now) is None:
        what = f"at {spec.at.isoformat()}" if spec.at is not None else "its end_date"
        raise UsageError(f"this would never fire: {what} has passed; give an instant in the future")


def _times(spec: ScheduleSpec) -> tuple[Any, ...]:
    """What decides when a schedule is due."""
    return (
        spec.cron, spec.every_seconds, spec.anchor, spec.at, spec.after, spec.timezone, spec.start_date,
        spec.end_date, spec.jitter,
    )  # fmt: skip


def _apply(tx: Tx, row: ScheduleRow, spec: ScheduleSpec) -> None:
    """Put a spec into force without losing a fire that was due under the old one.

    Where the times stay the same, what is due stays due and is decided by the new policies.
    """
    dependency_graph.check(tx, row.id, spec)
    dependency_graph.depend(tx, row.id, spec)
    keep = _times(spec) == _times(row.spec) and row.firing and spec.enabled and not row.exhausted
    cursor = row.cursor if keep else settle(tx, row, tx.now)
    if spec.timezone != row.spec.timezone:
        _name_by_zone(tx, row)
    changed = replace(row, spec=spec, cursor=cursor)
    schedules.put_spec(tx, row.id, spec, to_us(cursor), _next_look(changed))


def _next_look(row: ScheduleRow) -> int | None:
    """When a schedule is next looked at, in microseconds: its next fire, or the end of its pause."""
    if row.paused is not None:
        return to_us(row.paused.until) if row.paused.until is not None else None
    return first_fire(row.timing, row.cursor) if row.firing and not row.exhausted else None


def _name_by_zone(tx: Tx, row: ScheduleRow) -> None:
    """Before a schedule moves to another zone: tell its latest fires from those of the same wall time there.

    A fire is unique by its wall time, and zones are at most 26 hours apart.
    """
    fires.name_zone(tx, row.id, row.spec.timezone, tx.now_us - 2 * 86_400_000_000)


def settle(tx: Tx, row: ScheduleRow, until: datetime) -> datetime:
    """Account for every fire that is due by `until` and that nothing will run; returns the new cursor."""
    due = backlog(row.timing, row.cursor, until, jitter=False)
    outcome, reason = FireOutcome.MISSED, "missed: nothing looked at it before the schedule was changed"
    if row.paused is not None:
        outcome, reason = FireOutcome.SKIPPED, paused_words(row.paused)
    elif row.vanished is not None:
        outcome, reason = FireOutcome.SKIPPED, f"disabled: {row.vanished}"
    elif not row.spec.enabled:
        outcome, reason = FireOutcome.SKIPPED, "the schedule is disabled"
    elif row.exhausted:
        outcome, reason = FireOutcome.SKIPPED, f"max_runs is {row.spec.max_runs}, and so many have started"
    if row.skip_next and due.fires:
        # The fire that was to be skipped is among them: it is not made up for by another one.
        row.skip_next = False
        schedules.skipped(tx, row.id)
    if due.cut is not None:
        record_fire(tx, row, due.cut.first, outcome, f"{reason} ({due.cut})")
    for nominal in due.fires:
        if row.paused is not None and nominal.instant < row.paused.at:
            record_fire(
                tx,
                row,
                nominal,
                FireOutcome.MISSED,
                "missed: nothing looked at it before the schedule was paused",
            )
        else:
            record_fire(tx, row, nominal, outcome, reason)
    return max(row.cursor, until)


def remove(tx: Tx, schedule: str, *, actor: Actor | None, note: str = "") -> str:
    """Take a schedule out; its history stays. Returns its whole id."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.REMOVE)
    settle(tx, row, tx.now)
    dependency_graph.depend(tx, row.id, None)
    schedules.remove(tx, row.id)
    data = {"note": note} if note else None
    tx.event(EventKind.SCHEDULE_REMOVED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def hold(tx: Tx, row: ScheduleRow, info: PauseInfo) -> None:
    """Write down a pause, or another one in the place of the one that is."""
    cursor = settle(tx, row, tx.now) if row.paused is not None else row.cursor
    schedules.pause(tx, row.id, info, to_us(cursor))


def pause(tx: Tx, schedule: str, *, actor: Actor, note: str = "", until: datetime | None = None) -> str:
    """Hold a schedule. The fires of the pause are recorded as skipped when it ends."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.PAUSE)
    if until is not None and until <= tx.now:
        raise UsageError(f"{until.isoformat()} has passed; a pause ends in the future")
    hold(tx, row, PauseInfo(by=actor.user, at=tx.now, note=note, until=until))
    data: dict[str, Any] = {"note": note} if note else {}
    if until is not None:
        data["until"] = until.isoformat()
    tx.event(EventKind.SCHEDULE_PAUSED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def resume(tx: Tx, schedule: str, *, actor: Actor | None, note: str = "", at: datetime | None = None) -> str:
    """End a pause, or enable. What was due until `at` (default: now) is recorded as skipped, not made up for."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.RESUME)
    cursor = settle(tx, row, at or tx.now)
    # A pause that ends by itself does not enable what somebody has disabled.
    spec = row.spec if at is not None else msgspec.structs.replace(row.spec, enabled=True)
    changed = replace(row, spec=spec, cursor=cursor, paused=None)
    schedules.resume(tx, row.id, spec, to_us(cursor), _next_look(changed))
    data = {"note": note} if note else None
    tx.event(EventKind.SCHEDULE_RESUMED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def skip_next(tx: Tx, schedule: str, *, actor: Actor, note: str = "") -> str:
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.SKIP)
    schedules.skip_next(tx, row.id)
    data: dict[str, Any] = {
        "skip_next": row.next_fire.isoformat() if row.next_fire is not None else "the next one",
        **({"note": note} if note else {}),
    }
    tx.event(EventKind.SCHEDULE_CHANGED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def trigger(
    tx: Tx,
    schedule: str,
    resolve: Resolve,
    *,
    actor: Actor,
    state: dict[str, Any] | None = None,
    note: str = "",
) -> tuple[int, str, int]:
    """Start a run of a schedule now, whatever its times; returns the run's key, id and priority."""
    refuse_while_draining(tx)
    row = locked(tx, schedule)
    start = resolve(tx, row.workflow, row.spec.version)
    new = NewRun(
        workflow=row.workflow,
        definition_id=start.definition_id,
        start_node=start.node,
        choice=start.choice,
        state=dict(row.spec.initial_state if state is None else state),
        trigger="manual",
        actor=actor,
        schedule_id=row.id,
        priority=row.spec.priority,
        note=note,
    )
    return (*insert_run(tx, new), row.spec.priority)


def drain(tx: Tx, *, actor: Actor, note: str = "") -> None:
    """Let what runs finish and start nothing, over restarts too, until `undrain`."""
    info = PauseInfo(by=actor.user, at=tx.now, note=note)
    meta.drain(tx, info)
    tx.event(EventKind.ENGINE_DRAINING, actor=actor, data={"note": note} if note else None)


def undrain(tx: Tx, *, actor: Actor, note: str = "") -> None:
    if not meta.undrain(tx):
        raise ConflictError("the engine is not draining")
    tx.event(EventKind.ENGINE_UNDRAINED, actor=actor, data={"note": note} if note else None)


def refuse_while_draining(tx: Tx) -> None:
    """ConflictError if the engine starts nothing new."""
    info = tx.once("draining", lambda: meta.draining(tx))
    if info is not None:
        note = f" ({info.note})" if info.note else ""
        raise ConflictError(
            f"the engine is draining since {info.at:%Y-%m-%d %H:%M} UTC by {info.by}{note}: it starts nothing new;"
            " `victor scheduler undrain` ends that"
        )
