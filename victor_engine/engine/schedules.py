"""The actions of the port on schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from victor_engine.api import (
    RunInfo,
    ScheduleAdded,
    ScheduleInfo,
    ScheduleSpec,
)
from victor_engine.engine.queries import Queries
from victor_engine.engine.runs import RunActions
from victor_engine.identity import acting
from victor_engine.scheduler import operations
from victor_engine.store.db import Tx
from victor_engine.versioning import catalog


class ScheduleActions(Queries, RunActions):
    """Each is one transition, after which the scheduler looks at the schedule again."""

    async def _schedule_changed(self, schedule_id: str) -> ScheduleInfo:
        if self._working:
            await self.scheduler.refresh(schedule_id)
        return await self.schedule(schedule_id)

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        actor = acting()
        origin = actor.via if actor.via in ("console", "cli") else "python"

        def transition(tx: Tx) -> ScheduleAdded:
            catalog.resolve(tx, spec.workflow, spec.version)
            return operations.add(tx, spec, actor=actor, origin=origin, note=note)

        added = await self.store.write(transition)
        await self._schedule_changed(added.id)
        return added

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.edit(tx, schedule_id, spec, actor=actor, note=note)
        )
        return await self._schedule_changed(full)

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        actor = acting()
        await self.store.write(lambda tx: operations.remove(tx, schedule_id, actor=actor, note=note))
        if self._working:
            await self.scheduler.refresh()

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._may_run()
        actor = acting()
        key, run_id = await self.store.write(
            lambda tx: operations.trigger(tx, schedule_id, self._resolve, actor=actor, state=state, note=note)
        )
        if self._working:
            self.runtime.enqueue(key)
        return await self._run_info(run_id)

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.pause(tx, schedule_id, actor=actor, note=note, until=until)
        )
        return await self._schedule_changed(full)

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(lambda tx: operations.resume(tx, schedule_id, actor=actor, note=note))
        return await self._schedule_changed(full)

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.skip_next(tx, schedule_id, actor=actor, note=note)
        )
        return await self._schedule_changed(full)
