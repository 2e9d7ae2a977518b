"""The transitions of schedules: add, declare, edit, pause, resume, skip, trigger, remove, drain.

They are functions of a `Tx`. The loop, the console and the command line share them.
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
from victor_engine.scheduling.cron import same_times
from victor_engine.scheduling.declarations import (
    describe_changes,
    file_schedule_id,
    same_schedule,
    schedule_id,
)
from victor_engine.scheduling.policy import backlog
from victor_engine.scheduling.stored_schedules import (
    Resolve,
    ScheduleRow,
    find,
    first_fire,
    locked,
    next_open,
    paused_words,
    record_fire,
    skip_after,
    used_up_words,
    uses_up_runs,
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
    """Add a schedule. An identical schedule is not changed; a schedule that was removed is restored.

    Raise ConflictError if a schedule with the same times, zone, state and version has other settings.
    """
    new_id = given_id or _id_of(tx, spec)
    tx.lock(Root.SCHEDULE, new_id)
    known = find(tx, new_id)
    if known is not None and not known.removed:
        changes = describe_changes(known.spec, spec)
        if changes:
            raise ConflictError(
                f"schedule {new_id} of {spec.workflow} already has these times and this state, with other settings: "
                f"{'; '.join(changes)}; change it with `victor scheduler edit {new_id}`"
            )
        return ScheduleAdded(new_id, False)
    timing = Timing(spec, new_id, tx.now, tx.excluded)
    if file_spec is None:
        _check_fires(spec, timing, tx.now)
    dependency_graph.check(tx, new_id, spec)
    due = first_fire(timing, tx.now) if spec.enabled else None
    schedules.add(tx, new_id, spec, file_spec=file_spec, origin=origin, path=path, next_fire=due)
    dependency_graph.set_upstream(tx, new_id, spec)
    data = {"spec": msgspec.to_builtins(spec), "origin": origin, **({"note": note} if note else {})}
    tx.event(EventKind.SCHEDULE_ADDED, actor=actor, schedule_id=new_id, workflow=spec.workflow, data=data)
    return ScheduleAdded(new_id, True)


def _id_of(tx: Tx, spec: ScheduleSpec) -> str:
    """Return the id of the schedule with the same workflow, times, zone, state and version, or a new id."""
    new_id = schedule_id(spec)
    if spec.cron is not None and find(tx, new_id) is None:
        file_id = file_schedule_id(spec.workflow)
        for known, other in schedules.specs_of(tx, spec.workflow):
            if known != file_id and same_schedule(other, spec):
                return known
    return new_id


def declare(tx: Tx, workflow: str, path: str | None, spec: ScheduleSpec | None) -> bool:
    """Apply the `schedule:` block of a file. Return whether the schedule changed.

    An edit by an operator overrides the file. If the block is removed from the file, the schedule is disabled with a
    note. If the block is restored, so is the schedule, with its settings.
    """
    new_id = file_schedule_id(workflow)
    tx.lock(Root.SCHEDULE, new_id)
    row = find(tx, new_id)
    if spec is None:
        if row is None or row.removed or row.file_spec is None:
            return False
        vanish(tx, row, f"{path or 'its file'} no longer declares a schedule")
        return True
    if row is not None and row.vanished is not None:
        restore(tx, row)
        declare(tx, workflow, path, spec)
        return True
    if row is None or row.removed:
        return add(tx, spec, actor=None, origin="file", path=path, given_id=new_id, file_spec=spec).created
    if row.file_spec is not None and not describe_changes(row.file_spec, spec):
        return False
    in_force, dropped = spec, False
    if row.file_spec is not None and describe_changes(row.file_spec, row.spec):
        in_force = _rebase(row, spec)
        try:
            Timing(in_force, new_id, row.created_at)
        except UsageError:
            # The operator's edits contradict the new block.
            in_force, dropped = spec, True
    changes = describe_changes(row.file_spec or row.spec, spec)
    changes += _apply(tx, row, in_force)
    schedules.declare(tx, new_id, spec, path)
    data: dict[str, Any] = {"by": "file", "changes": changes}
    if dropped:
        data["note"] = "edits of operators contradict the file and were dropped: " + "; ".join(
            describe_changes(row.file_spec or row.spec, row.spec)
        )
    tx.event(EventKind.SCHEDULE_CHANGED, schedule_id=new_id, workflow=workflow, data=data)
    return True


def vanish(tx: Tx, row: ScheduleRow, note: str) -> None:
    """Disable a schedule whose workflow or block was removed from the files. `restore` undoes it."""
    cursor = settle(tx, row, tx.now)
    schedules.vanish(tx, row.id, note, to_us(cursor))
    tx.event(EventKind.SCHEDULE_REMOVED, schedule_id=row.id, workflow=row.workflow, data={"note": note})


def restore(tx: Tx, row: ScheduleRow) -> None:
    """Enable a schedule that vanished, with its settings. Fires that came due in between are recorded as skipped."""
    dependency_graph.check(tx, row.id, row.spec)
    back = replace(row, removed=False, vanished=None, cursor=settle(tx, row, tx.now))
    schedules.come_back(tx, row.id, to_us(back.cursor), next_due(back))
    data = {
        "spec": msgspec.to_builtins(row.spec),
        "origin": row.origin,
        "note": "restored with its workflow's file",
    }
    tx.event(EventKind.SCHEDULE_ADDED, schedule_id=row.id, workflow=row.workflow, data=data)


def _rebase(row: ScheduleRow, spec: ScheduleSpec) -> ScheduleSpec:
    """Return the new spec of the file with the edits of operators applied."""
    edits = {
        name: getattr(row.spec, name)
        for name in ScheduleSpec.__struct_fields__
        if getattr(row.spec, name) != getattr(row.file_spec, name)
    }
    return msgspec.structs.replace(spec, **edits)


def edit(tx: Tx, schedule: str, spec: ScheduleSpec, *, actor: Actor | None, note: str = "") -> str:
    """Replace the spec of a schedule. A pause and its end stay; fires that were due before get an outcome."""
    row = locked(tx, schedule)
    if spec.workflow != row.workflow:
        raise UsageError(
            f"schedule {row.id} belongs to {row.workflow}; add another schedule for {spec.workflow}"
        )
    timing = Timing(spec, row.id, row.created_at, tx.excluded)
    changes = describe_changes(row.spec, spec)
    if not changes:
        return row.id
    if not _same_times(spec, row.spec):
        _check_fires(spec, timing, tx.now)
        if uses_up_runs(row, spec):
            raise UsageError(used_up_words(row, spec))
    changes += _apply(tx, row, spec)
    data = {"changes": changes, **({"note": note} if note else {})}
    tx.event(EventKind.SCHEDULE_CHANGED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def _must_accept(row: ScheduleRow, command: ScheduleCommand) -> None:
    """Raise ConflictError with the reason if the status of a schedule refuses a command."""
    fires = row.next_fire is not None or row.spec.after is not None
    reason = schedule_refusal(row.status, command, fires=fires)
    if reason is not None:
        raise ConflictError(f"schedule {row.id} {reason}")


def _check_fires(spec: ScheduleSpec, timing: Timing, now: datetime) -> None:
    if spec.enabled and spec.after is None and timing.next_after(now) is None:
        name = f"at {spec.at.isoformat()}" if spec.at is not None else "its end_date"
        raise UsageError(f"the schedule would never fire: {name} has passed; give an instant in the future")


def _same_times(one: ScheduleSpec, other: ScheduleSpec) -> bool:
    """Return whether a schedule is due at the same times with two specs."""
    return _times(one) == _times(other) and same_times(one.cron, other.cron)


def _times(spec: ScheduleSpec) -> tuple[Any, ...]:
    """Return the fields of a spec beside `cron` that determine when a schedule is due."""
    return (
        spec.every_seconds, spec.every_at, spec.anchor, spec.at, spec.after, spec.timezone, spec.start_date,
        spec.end_date, spec.jitter, spec.on_excluded, spec.exclude if spec.on_excluded != "skip" else (),
    )  # fmt: skip


def _apply(tx: Tx, row: ScheduleRow, spec: ScheduleSpec) -> list[str]:
    """Apply a spec without losing a fire that was due by the old spec. Return further changes in words.

    If the times stay the same, due fires stay due, and the new policies decide them.
    """
    dependency_graph.check(tx, row.id, spec)
    dependency_graph.set_upstream(tx, row.id, spec)
    keep = _same_times(spec, row.spec) and row.firing and spec.enabled and not row.exhausted
    cursor = row.cursor if keep else settle(tx, row, tx.now)
    if spec.timezone != row.spec.timezone:
        _add_zone_to_names(tx, row)
    changed = replace(row, spec=spec, cursor=cursor)
    skip_at, gone = skip_after(changed)
    schedules.put_spec(tx, row.id, spec, to_us(cursor), next_due(changed), skip_at)
    return gone


def next_due(row: ScheduleRow) -> int | None:
    """Return when a schedule is due next, in microseconds: its next fire, or the end of its pause."""
    if row.paused is not None:
        return to_us(row.paused.until) if row.paused.until is not None else None
    return first_fire(row.timing, row.cursor) if row.firing and not row.exhausted else None


def _add_zone_to_names(tx: Tx, row: ScheduleRow) -> None:
    """Add the old zone to the names of recent fires before a schedule moves to another zone.

    A fire is unique by its wall time, so a new fire with the same wall time would otherwise count as decided. Zones
    are at most 26 hours apart.
    """
    fires.name_zone(tx, row.id, row.spec.timezone, tx.now_us - 2 * 86_400_000_000)


def settle(tx: Tx, row: ScheduleRow, until: datetime) -> datetime:
    """Record every fire that is due by `until` as missed or skipped. Return the new cursor."""
    due = backlog(row.timing, row.cursor, until, jitter=False)
    outcome, reason = FireOutcome.MISSED, "missed: it was not decided before the schedule was changed"
    if row.paused is not None:
        outcome, reason = FireOutcome.SKIPPED, paused_words(row.paused)
    elif row.vanished is not None:
        outcome, reason = FireOutcome.SKIPPED, f"disabled: {row.vanished}"
    elif not row.spec.enabled:
        outcome, reason = FireOutcome.SKIPPED, "the schedule is disabled"
    elif row.exhausted:
        outcome = FireOutcome.SKIPPED
        reason = f"max_runs is {row.spec.max_runs}, and that many runs have started"
    if row.skip_next and due.fires:
        # The next fire, which an operator skipped, is one of these fires. No later fire is skipped for it.
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
                "missed: it was not decided before the schedule was paused",
            )
        else:
            record_fire(tx, row, nominal, outcome, reason)
    return max(row.cursor, until)


def remove(tx: Tx, schedule: str, *, actor: Actor | None, note: str = "") -> str:
    """Remove a schedule and keep its history. Return its whole id."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.REMOVE)
    settle(tx, row, tx.now)
    dependency_graph.set_upstream(tx, row.id, None)
    schedules.remove(tx, row.id)
    data = {"note": note} if note else None
    tx.event(EventKind.SCHEDULE_REMOVED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def store_pause(tx: Tx, row: ScheduleRow, info: PauseInfo) -> None:
    """Store a pause. It replaces an earlier pause."""
    cursor = settle(tx, row, tx.now) if row.paused is not None else row.cursor
    schedules.pause(tx, row.id, info, to_us(cursor))


def pause(tx: Tx, schedule: str, *, actor: Actor, note: str = "", until: datetime | None = None) -> str:
    """Pause a schedule. Fires during the pause are recorded as skipped when it ends."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.PAUSE)
    if until is not None and until <= tx.now:
        raise UsageError(
            f"the end of the pause, {until.isoformat()}, has passed; give an instant in the future"
        )
    store_pause(tx, row, PauseInfo(by=actor.user, at=tx.now, note=note, until=until))
    data: dict[str, Any] = {"note": note} if note else {}
    if until is not None:
        data["until"] = until.isoformat()
    tx.event(EventKind.SCHEDULE_PAUSED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def resume(tx: Tx, schedule: str, *, actor: Actor | None, note: str = "", at: datetime | None = None) -> str:
    """End a pause, or enable a schedule. Fires due until `at` (default: now) are recorded as skipped."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.RESUME)
    cursor = settle(tx, row, at or tx.now)
    # A pause that ends at its set time does not enable a disabled schedule.
    spec = row.spec if at is not None else msgspec.structs.replace(row.spec, enabled=True)
    changed = replace(row, spec=spec, cursor=cursor, paused=None)
    schedules.resume(tx, row.id, spec, to_us(cursor), next_due(changed))
    data: dict[str, Any] = {"note": note} if note else {}
    if at is not None and row.paused is not None:
        data["pause"] = msgspec.to_builtins(row.paused)  # it applies again if the clock was ahead
    tx.event(EventKind.SCHEDULE_RESUMED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    return row.id


def skip_next(tx: Tx, schedule: str, *, actor: Actor, note: str = "") -> str:
    """Skip the next fire of a schedule, by its instant. Return the whole id of the schedule."""
    row = locked(tx, schedule)
    _must_accept(row, ScheduleCommand.SKIP)
    nominal = next_open(tx, row, row.cursor)
    schedules.skip(tx, row.id, None if nominal is None else to_us(nominal.instant))
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
    """Start a run of a schedule now, regardless of its times. Return the key, id and priority of the run."""
    refuse_while_draining(tx)
    row = locked(tx, schedule)
    start = resolve(tx, row.workflow, row.spec.version)
    new = NewRun(
        workflow=row.workflow,
        definition_id=start.definition_id,
        start_node=start.node,
        choice=start.choice,
        inputs=start.inputs,
        state=dict(row.spec.initial_state if state is None else state),
        trigger="manual",
        actor=actor,
        schedule_id=row.id,
        priority=row.spec.priority,
        note=note,
    )
    return (*insert_run(tx, new), row.spec.priority)


def drain(tx: Tx, *, actor: Actor, note: str = "") -> None:
    """Start no further runs until `undrain`, also after a restart. Active runs continue."""
    info = PauseInfo(by=actor.user, at=tx.now, note=note)
    meta.drain(tx, info)
    tx.event(EventKind.ENGINE_DRAINING, actor=actor, data={"note": note} if note else None)


def undrain(tx: Tx, *, actor: Actor, note: str = "") -> None:
    """End a drain. Raise ConflictError if the engine is not draining."""
    if not meta.undrain(tx):
        raise ConflictError("the engine is not draining")
    tx.event(EventKind.ENGINE_UNDRAINED, actor=actor, data={"note": note} if note else None)


def refuse_while_draining(tx: Tx) -> None:
    """Raise ConflictError if the engine is draining."""
    info = tx.once("draining", lambda: meta.draining(tx))
    if info is not None:
        note = f" ({info.note})" if info.note else ""
        raise ConflictError(
            f"the engine has been draining since {info.at:%Y-%m-%d %H:%M} UTC, by {info.by}{note}, and starts no "
            "runs; end the drain with `victor scheduler undrain`"
        )
