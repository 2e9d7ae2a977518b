"""The actions of the port on schedules."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from victor_engine.api import (
    BackfillInfo,
    BackfillSpec,
    RunInfo,
    ScheduleAdded,
    ScheduleInfo,
    ScheduleSpec,
)
from victor_engine.domain import plans
from victor_engine.engine.current_workspace import CurrentWorkspace, check_size
from victor_engine.engine.execution import Execution
from victor_engine.engine.queries import RunQueries, ScheduleQueries
from victor_engine.engine.queries.schedules import version_started
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.identity import acting
from victor_engine.scheduling import backfill, plan_fingerprints, schedule_commands, stored_schedules
from victor_engine.scheduling.fires import Firing
from victor_engine.store.db import Store, Tx


class ScheduleService:
    """The actions on schedules. Each is one transition, after which the scheduler reads the schedule again."""

    def __init__(
        self,
        store: Store,
        current: CurrentWorkspace,
        execution: Execution,
        queries: ScheduleQueries,
        runs: RunQueries,
    ) -> None:
        self._store = store
        self._current = current
        self._execution = execution
        self._queries = queries
        self._runs = runs

    async def _schedule_changed(self, schedule_id: str) -> ScheduleInfo:
        await self._execution.refresh(schedule_id)
        return await self._queries.schedule(schedule_id)

    async def _check_calendars(self, names: tuple[str, ...]) -> None:
        """Raise UsageError or NotFoundError for a calendar that cannot be read, since all fires would be skipped."""
        for name in names:
            await asyncio.to_thread(self._current.calendars().get, name)

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        actor = acting()
        check_size(spec.initial_state)
        origin = {"console": "console", "web": "console", "cli": "cli"}.get(actor.via, "python")
        await self._check_calendars(spec.exclude)

        def transition(tx: Tx) -> ScheduleAdded:
            self._check_inputs(tx, spec)
            return schedule_commands.add(tx, spec, actor=actor, origin=origin, note=note)

        added = await self._store.write(transition)
        await self._schedule_changed(added.id)
        return added

    async def edit_schedule(
        self, schedule_id: str, spec: ScheduleSpec, note: str = "", plan: str | None = None
    ) -> ScheduleInfo:
        actor = acting()
        check_size(spec.initial_state)
        shown = (
            None if plan is None else plans.read_plan(plan, plan_fingerprints.EDIT, self._store.clock.now())
        )
        before = (await self._queries.schedule(schedule_id)).spec.exclude
        await self._check_calendars(tuple(name for name in spec.exclude if name not in before))

        def transition(tx: Tx) -> str:
            known = stored_schedules.get(tx, schedule_id)
            if shown is not None:
                version = version_started(tx.connection, spec.workflow, spec.version)
                plan_fingerprints.check_edit(shown, known.id, known.spec, spec, version)
            if (spec.version, spec.initial_state) != (known.spec.version, known.spec.initial_state):
                self._check_inputs(tx, msgspec.structs.replace(spec, workflow=known.workflow))
            return schedule_commands.edit(tx, known.id, spec, actor=actor, note=note)

        return await self._schedule_changed(await self._store.write(transition))

    def _check_inputs(self, tx: Tx, spec: ScheduleSpec) -> None:
        """Raise NotFoundError if the version does not exist, InvalidInputError if the state does not match its inputs.

        A dependency adds the keys that it takes when it fires.
        """
        later = () if spec.after is None else spec.after.take
        self._execution.starting.check_inputs(tx, spec.workflow, spec.version, spec.initial_state, later)

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        actor = acting()
        full = await self._store.write(
            lambda tx: schedule_commands.remove(tx, schedule_id, actor=actor, note=note)
        )
        await self._execution.refresh(full)

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._current.require_trust()
        actor, resolve, state = acting(), self._execution.starting.resolve, self._current.masked(state)
        commit = self._store.write(
            lambda tx: schedule_commands.trigger(
                tx, schedule_id, resolve, actor=actor, state=state, note=note
            )
        )
        _, run_id, _ = await committed(commit, lambda run: self._execution.enqueue(run[0], run[2]))
        return await self._runs.info(run_id)

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        actor = acting()
        full = await self._store.write(
            lambda tx: schedule_commands.pause(tx, schedule_id, actor=actor, note=note, until=until)
        )
        return await self._schedule_changed(full)

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self._store.write(
            lambda tx: schedule_commands.resume(tx, schedule_id, actor=actor, note=note)
        )
        return await self._schedule_changed(full)

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self._store.write(
            lambda tx: schedule_commands.skip_next(tx, schedule_id, actor=actor, note=note)
        )
        return await self._schedule_changed(full)

    async def start_backfill(
        self, spec: BackfillSpec, note: str = "", plan: str | None = None
    ) -> BackfillInfo:
        self._current.require_trust()
        actor = acting()
        shown = None
        if plan is not None:  # a long plan takes tens of milliseconds to read
            now = self._store.clock.now()
            shown = await asyncio.to_thread(plans.read_plan, plan, plan_fingerprints.BACKFILL, now)

        def begin(firing: Firing) -> tuple[int, tuple[str, ...]]:
            schedule_commands.refuse_while_draining(firing.tx)
            if shown is None:
                return backfill.start(firing, spec, actor=actor, note=note), ()
            return backfill.start_planned(firing, spec, shown, version_started, actor=actor, note=note)

        number, left_out = await self._execution.fire(begin)
        return msgspec.structs.replace(await self._queries.backfill(number), left_out=left_out)

    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._execution.fire(lambda firing: backfill.pause(firing, backfill_id, actor=actor, note=note))
        return await self._queries.backfill(backfill_id)

    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._execution.fire(
            lambda firing: backfill.resume(firing, backfill_id, actor=actor, note=note)
        )
        return await self._queries.backfill(backfill_id)

    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._execution.fire(
            lambda firing: backfill.cancel(firing, backfill_id, actor=actor, note=note)
        )
        return await self._queries.backfill(backfill_id)
