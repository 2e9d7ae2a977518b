"""The actions of the port on schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from victor_engine.api import (
    BackfillInfo,
    BackfillSpec,
    EngineInfo,
    RunInfo,
    ScheduleAdded,
    ScheduleInfo,
    ScheduleSpec,
)
from victor_engine.engine.queries import Queries
from victor_engine.engine.runs import RunActions
from victor_engine.identity import acting
from victor_engine.runtime.stopwatch import committed
from victor_engine.scheduler import backfill, operations, rows
from victor_engine.scheduler.firing import Firing
from victor_engine.store.db import Tx
from victor_engine.versioning import catalog

T = TypeVar("T")


class ScheduleActions(Queries, RunActions):
    """Each is one transition, after which the scheduler looks at the schedule again."""

    async def _schedule_changed(self, schedule_id: str) -> ScheduleInfo:
        if self._working:
            await self.scheduler.refresh(schedule_id)
        return await self.schedule(schedule_id)

    async def _check_calendars(self, names: tuple[str, ...]) -> None:
        """UsageError or NotFoundError for a calendar that cannot be read: its fires would all be skipped."""
        for name in names:
            await asyncio.to_thread(self._calendars().get, name)

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        actor = acting()
        origin = actor.via if actor.via in ("console", "cli") else "python"
        await self._check_calendars(spec.exclude)

        def transition(tx: Tx) -> ScheduleAdded:
            catalog.resolve(tx, spec.workflow, spec.version)
            return operations.add(tx, spec, actor=actor, origin=origin, note=note)

        added = await self.store.write(transition)
        await self._schedule_changed(added.id)
        return added

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        actor = acting()
        before = (await self.schedule(schedule_id)).spec.exclude
        await self._check_calendars(tuple(name for name in spec.exclude if name not in before))

        def transition(tx: Tx) -> str:
            known = rows.get(tx, schedule_id)
            if spec.version != known.spec.version:
                # Refuse a version, range or alias that does not exist.
                catalog.resolve(tx, known.workflow, spec.version)
            return operations.edit(tx, known.id, spec, actor=actor, note=note)

        return await self._schedule_changed(await self.store.write(transition))

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        actor = acting()
        full = await self.store.write(lambda tx: operations.remove(tx, schedule_id, actor=actor, note=note))
        if self._working:
            await self.scheduler.refresh(full)

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._may_run()
        actor = acting()
        commit = self.store.write(
            lambda tx: operations.trigger(tx, schedule_id, self._resolve, actor=actor, state=state, note=note)
        )

        def begin(run: tuple[int, str, int]) -> None:
            if self._working:
                self.runtime.enqueue(run[0], run[2])

        _, run_id, _ = await committed(commit, begin)
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

    # --- backfill, drain -----------------------------------------------------------------------

    async def _with_firing(self, action: Callable[[Firing], T]) -> T:
        """An action that may start runs, in one transition."""

        def transition(tx: Tx) -> tuple[Firing, T]:
            firing = self.scheduler.firing(tx)
            return firing, action(firing)

        def react(done: tuple[Firing, T]) -> None:
            if self._working:
                self.scheduler.committed(done[0])

        _, result = await committed(self.store.write(transition), react)
        return result

    async def start_backfill(self, spec: BackfillSpec, note: str = "") -> BackfillInfo:
        self._may_run()
        actor = acting()

        def begin(firing: Firing) -> int:
            operations.refuse_while_draining(firing.tx)
            return backfill.start(firing, spec, actor=actor, note=note)

        return await self._backfill(await self._with_firing(begin))

    async def _backfill(self, backfill_id: int) -> BackfillInfo:
        return await self._read(backfill.info, backfill_id)

    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._with_firing(lambda firing: backfill.pause(firing, backfill_id, actor=actor, note=note))
        return await self._backfill(backfill_id)

    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._with_firing(lambda firing: backfill.resume(firing, backfill_id, actor=actor, note=note))
        return await self._backfill(backfill_id)

    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        actor = acting()
        await self._with_firing(lambda firing: backfill.cancel(firing, backfill_id, actor=actor, note=note))
        return await self._backfill(backfill_id)

    async def drain(self, note: str = "") -> EngineInfo:
        """Finish what runs, start nothing; it stays so over restarts, until `undrain`."""
        actor = acting()
        await self.store.write(lambda tx: operations.drain(tx, actor=actor, note=note))
        if self._working:
            self.runtime.drain(True)
        return await self.engine()

    async def undrain(self, note: str = "") -> EngineInfo:
        actor = acting()
        await self.store.write(lambda tx: operations.undrain(tx, actor=actor, note=note))
        if self._working:
            self.runtime.drain(False)
            if self._fires:
                await self.scheduler.go_on()
        return await self.engine()
