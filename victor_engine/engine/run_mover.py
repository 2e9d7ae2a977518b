"""The actions of the port that migrate runs and schedules."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from victor_engine.api import (
    Actor,
    MigrationReport,
    MigrationSpec,
    RunInfo,
    RunMove,
    ScheduleMove,
    ScheduleSpec,
)
from victor_engine.clock import Clock
from victor_engine.domain import plans
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.execution import Execution
from victor_engine.engine.migration_planning import (
    KIND,
    Planner,
    detailed,
    run_facts,
    schedule_facts,
    what_changed,
)
from victor_engine.engine.queries import RunQueries
from victor_engine.engine.schedule_mover import move_back
from victor_engine.errors import ConflictError, StorageError, VictorError
from victor_engine.identity import acting
from victor_engine.ids import new_id
from victor_engine.runs import transitions
from victor_engine.runs.migration import MovedMeanwhileError, Plan, apply, undo
from victor_engine.scheduling import schedule_commands
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import schedule_moves
from victor_engine.store.repositories.run_rows import RunRef, ref_of, status_and_priority
from victor_engine.work.migration_functions import Calls

AT_ONCE = 250
"""Maximum runs that are planned on one snapshot and then migrated, which limits the age of a plan."""

TRIES = 4
"""How often a run is planned again if it changes between the plan and the migration."""


class RunMover:
    """The migration of runs and schedules. Each run is released by the runtime, migrated in its own transition,
    and given back."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        current: CurrentWorkspace,
        execution: Execution,
        runs: RunQueries,
    ) -> None:
        self.store = store
        self.clock = clock
        self.runtime = execution.runtime
        self._current = current
        self._execution = execution
        self._runs = runs
        self._functions = current.migration_functions

    async def migrate_runs(
        self, spec: MigrationSpec, note: str = "", plan: str | None = None
    ) -> MigrationReport:
        self._current.require_trust()
        if plan is not None:
            # A long plan takes tens of milliseconds to read.
            shown = await asyncio.to_thread(plans.read_plan, plan, KIND, self.clock.now())
            return await self._migrate_planned(spec, shown, note)
        batch = _Batch(acting(), note, new_id(self.clock.now()))

        def select(connection: sqlite3.Connection) -> tuple[str, int, list[int], list[RunMove]]:
            planner = Planner(connection, spec, self.clock.now(), None)
            return planner.to_version, planner.target.id, planner.keys(), planner.not_found

        version, target, keys, results = await self.store.read(select)
        await self.store.write(
            lambda tx: self._execution.starting.check(tx.connection, target)
        )  # refuses a version that cannot run here
        # `latest` or an alias may change, so that all batches use the version that was resolved first.
        exact = msgspec.structs.replace(spec, to_version=version, detail=detailed(spec, len(keys)))
        for first in range(0, len(keys), AT_ONCE):
            results += await self._move_some(exact, keys[first : first + AT_ONCE], batch)
        schedules = await self._move_schedules(exact, batch)
        return _report(spec, version, results, schedules, batch)

    async def _migrate_planned(self, spec: MigrationSpec, plan: plans.Plan, note: str) -> MigrationReport:
        """Migrate exactly the items that a plan lists as ready. Refuse items that have changed since."""
        batch = _Batch(acting(), note, new_id(self.clock.now()))
        items = {item.id.removeprefix("run "): item for item in plan.items if item.id.startswith("run ")}

        def look(connection: sqlite3.Connection) -> tuple[str, int, dict[str, int]]:
            planner = Planner(connection, spec, self.clock.now(), None)
            planner.check(plan)
            ready = [run_id for run_id, item in items.items() if item.effect]
            return planner.to_version, planner.target.id, queries.run_keys(connection, ready)

        version, target, keys = await self.store.read(look)
        await self.store.write(lambda tx: self._execution.starting.check(tx.connection, target))
        exact = msgspec.structs.replace(spec, to_version=version, detail=detailed(spec, len(keys)))
        shown = {key: items[run_id].facts for run_id, key in keys.items()}
        moved: dict[str, RunMove] = {}
        for first in range(0, len(keys), AT_ONCE):
            some = list(keys.values())[first : first + AT_ONCE]
            moved |= {move.run_id: move for move in await self._move_some(exact, some, batch, shown)}
        runs = [moved.get(run_id) or _not_moved(run_id, item, version) for run_id, item in items.items()]
        schedules = await self._move_schedules(exact, batch, plan)
        return _report(spec, version, runs, schedules, batch)

    async def _plan(self, spec: MigrationSpec, keys: list[int]) -> list[Plan]:
        def look(connection: sqlite3.Connection, calls: Calls | None) -> list[Plan]:
            planner = Planner(connection, spec, self.clock.now(), calls)
            return list(planner.plans(keys))

        return await self._functions.settled(lambda calls: self.store.read(lambda c: look(c, calls)))

    async def _move_some(
        self,
        spec: MigrationSpec,
        keys: list[int],
        batch: _Batch,
        shown: Mapping[int, plans.Facts] | None = None,
    ) -> list[RunMove]:
        """Migrate a batch of runs. `shown` has the planned facts of each run; a run that differs is refused."""
        planned = await self._plan(spec, keys)
        facts = shown or {}
        return list(
            await asyncio.gather(
                *(self._move(spec, each, batch, facts.get(each.run.ref.key)) for each in planned)
            )
        )

    async def _move(
        self, spec: MigrationSpec, planned: Plan, batch: _Batch, shown: plans.Facts | None
    ) -> RunMove:
        key = planned.run.ref.key
        for _ in range(TRIES):
            changed = "" if shown is None else what_changed(shown, run_facts(planned))
            if changed:
                return msgspec.structs.replace(_refused(planned, plans.left_out(changed)), changed=changed)
            if not planned.ready:
                return planned.move
            try:
                async with self.runtime.exclusive(key) as parked:
                    if not parked:
                        return _refused(
                            planned, "the run is active; pause it, wait until it is paused, and migrate again"
                        )
                    row = await self.store.write(lambda tx, planned=planned: batch.apply(tx, planned))  # type: ignore[misc]
            except MovedMeanwhileError:
                (planned,) = await self._plan(spec, [key])
            except VictorError as error:
                return _refused(planned, error.message)
            else:
                return msgspec.structs.replace(planned.move, outcome="migrated", migration=row)
            finally:
                await self._return(key)
        return _refused(planned, f"the run changed {TRIES} times during the migration; migrate again")

    async def _return(self, key: int) -> None:
        """Give a run back to the runtime. In a storage outage, do so when the store is writable again."""
        try:
            await self._enqueue_again(key)
        except StorageError:
            self._execution.start_task(self._return_when_writable(key))

    async def _return_when_writable(self, key: int) -> None:
        while True:
            await self.store.writable()
            try:
                return await self._enqueue_again(key)
            except StorageError:
                continue

    async def _enqueue_again(self, key: int) -> None:
        """Enqueue a released run, unless it is paused or finished."""
        if not self._execution.working:
            return
        status, priority = await self.store.read(lambda c: status_and_priority(c, key))
        if key not in self.runtime.slots.live:
            # Attempts of nodes with members, such as parallel, start again.
            ref = await self.store.read(lambda c: ref_of(c, key))
            if await self.store.read(lambda c: transitions.at_work(c, key)):
                await self.store.write(lambda tx: transitions.end_live_attempts(tx, ref, "interrupted"))
        if status in ("queued", "running", "waiting"):
            self.runtime.enqueue(key, priority, True)

    async def _move_schedules(
        self, spec: MigrationSpec, batch: _Batch, plan: plans.Plan | None = None
    ) -> list[ScheduleMove]:
        """Migrate the schedules of the spec, or with a plan its unchanged schedules."""

        def move_one(tx: Tx, move: ScheduleMove, old: ScheduleSpec, changed: ScheduleSpec) -> ScheduleMove:
            if move.outcome != "ready":
                return move
            schedule_commands.edit(tx, move.schedule_id, changed, actor=batch.actor, note=batch.note)
            schedule_moves.add(tx, batch.id, move.schedule_id, old, changed)
            return msgspec.structs.replace(move, outcome="migrated")

        def transition(tx: Tx, calls: Calls | None) -> list[ScheduleMove]:
            planner = Planner(tx.connection, spec, self.clock.now(), calls)
            done = moved(tx, planner)
            if calls is not None:
                calls.check()
            return done

        def moved(tx: Tx, planner: Planner) -> list[ScheduleMove]:
            if plan is None:
                return [move_one(tx, move, old, changed) for move, old, changed in planner.schedules()]
            done = []
            for item in plan.items:
                if not item.id.startswith("schedule "):
                    continue
                schedule_id = item.id.removeprefix("schedule ")
                found = planner.schedule(schedule_id) if item.effect else None
                changed = what_changed(item.facts, found and schedule_facts(found[1])) if item.effect else ""
                if found is None or changed:
                    reason = plans.left_out(changed) if changed else item.reason
                    old = str(item.facts["version"])
                    done.append(
                        ScheduleMove(schedule_id, old, spec.to_version, "refused", reason, changed=changed)
                    )
                else:
                    done.append(move_one(tx, *found))
            return done

        if not (spec.schedules or spec.schedule_ids):
            return []
        found = await self._functions.settled(
            lambda calls: self.store.write(lambda tx: transition(tx, calls))
        )
        if found:
            await self._execution.refresh()
        return found

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self.store.read(lambda c: queries.run_ref(c, run_id))
        actor = acting()
        await self._undo(ref, lambda tx: undo(tx, ref.key, actor, note))
        return await self._runs.info(ref.id)

    async def unmigrate_runs(self, batch: str, note: str = "") -> MigrationReport:
        found = await self.store.read(lambda c: queries.batch_of_moves(c, batch))
        if not found.moves and not found.schedules:
            raise ConflictError(f"all migrations of {found.id} are undone, so there is nothing to undo")
        actor = acting()

        async def back(ref: RunRef, old: str, new: str) -> RunMove:
            try:
                await self._undo(ref, lambda tx: undo(tx, ref.key, actor, note, found.id))
            except VictorError as error:
                return RunMove(ref.id, new, old, "refused", reason=error.message)
            return RunMove(ref.id, new, old, "migrated")

        runs: list[RunMove] = []
        for first in range(0, len(found.moves), AT_ONCE):
            some = found.moves[first : first + AT_ONCE]
            runs += await asyncio.gather(*(back(*move) for move in some))
        schedules = await self.store.write(lambda tx: move_back(tx, found.schedules, actor, note))
        if schedules:
            await self._execution.refresh()
        versions = ", ".join(sorted({move.to_version for move in runs or schedules}))
        return MigrationReport(found.workflow, versions, True, tuple(runs), tuple(schedules), batch=found.id)

    async def _undo(self, ref: RunRef, transition: Callable[[Tx], None]) -> None:
        """Commit the undo of the migration of a run while the runtime does not hold it."""
        try:
            async with self.runtime.exclusive(ref.key) as parked:
                if not parked:
                    run = await self._runs.info(ref.id)
                    first = "wait until it is paused" if run.status == "pausing" else "pause it first"
                    raise ConflictError(f"run {ref.id} is active, so its migration cannot be undone; {first}")
                await self.store.write(transition)
        finally:
            await self._return(ref.key)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The migrations of one command: who gave it, and the id that they have in common."""

    actor: Actor
    note: str
    id: str

    def apply(self, tx: Tx, planned: Plan) -> int:
        return apply(tx, planned, self.actor, self.note, self.id)


def _report(
    spec: MigrationSpec,
    version: str,
    runs: Sequence[RunMove],
    schedules: Sequence[ScheduleMove],
    batch: _Batch,
) -> MigrationReport:
    moved = "migrated" in {*(run.outcome for run in runs), *(move.outcome for move in schedules)}
    return MigrationReport(
        spec.workflow, version, True, tuple(runs), tuple(schedules), batch=batch.id if moved else ""
    )


def _refused(planned: Plan, reason: str) -> RunMove:
    return msgspec.structs.replace(planned.move, outcome="refused", reason=reason)


def _not_moved(run_id: str, item: plans.PlanItem, version: str) -> RunMove:
    """Return the result of a run that the plan lists as refused, or that does not exist any more."""
    old = str(item.facts.get("version", ""))
    if not item.effect:
        return RunMove(run_id, old, version, "refused", str(item.facts.get("status", "")), item.reason)
    changed = what_changed(item.facts, None)
    return RunMove(run_id, old, version, "refused", reason=plans.left_out(changed), changed=changed)
