"""The actions of the port that move runs and schedules to another version."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec

from victor_engine.api import Actor, MigrationReport, MigrationSpec, RunInfo, RunMove, ScheduleMove
from victor_engine.engine.planning import Planner, detailed
from victor_engine.engine.runs import RunActions
from victor_engine.errors import ConflictError, StorageError, VictorError
from victor_engine.identity import acting
from victor_engine.runtime import journal
from victor_engine.runtime.moving import MovedMeanwhileError, Plan, apply, undo
from victor_engine.scheduler import operations
from victor_engine.store.db import Tx
from victor_engine.versioning import catalog

AT_ONCE = 250
"""Runs that are planned in one look and then moved together: bounds how old a plan may get."""

TRIES = 4
"""How often a run is planned again that was answered, paused or resumed meanwhile."""


class MovingActions(RunActions):
    """Each run by itself: let go of, moved in one transition or not at all, and taken up again."""

    def _load_function(self) -> catalog.Load | None:
        if not self.trusted:
            return None
        from victor_engine.runtime.pyworker import load_function

        workspace = str(self.workspace_path)
        return lambda reference: load_function(reference, workspace)

    async def migrate_runs(self, spec: MigrationSpec, note: str = "") -> MigrationReport:
        self._may_run()
        actor = acting()

        def select(connection: sqlite3.Connection) -> tuple[str, int, list[int], list[RunMove]]:
            planner = Planner(connection, spec, self.clock.now(), self._load_function())
            return planner.to_version, planner.target.id, planner.keys(), planner.not_found

        version, target, keys, results = await self.store.read(select)
        await self.store.write(lambda tx: self._start_node(tx, target))  # refuses what cannot run here
        # What `latest` or an alias means may change meanwhile: every chunk goes to the same version.
        exact = msgspec.structs.replace(spec, to_version=version, detail=detailed(spec, len(keys)))
        for first in range(0, len(keys), AT_ONCE):
            results += await self._move_some(exact, keys[first : first + AT_ONCE], actor, note)
        schedules = await self._move_schedules(exact, actor, note)
        return MigrationReport(spec.workflow, version, True, tuple(results), tuple(schedules))

    async def _plan(self, spec: MigrationSpec, keys: list[int]) -> list[Plan]:
        def look(connection: sqlite3.Connection) -> list[Plan]:
            planner = Planner(connection, spec, self.clock.now(), self._load_function())
            return list(planner.plans(keys))

        return await self.store.read(look)

    async def _move_some(
        self, spec: MigrationSpec, keys: list[int], actor: Actor, note: str
    ) -> list[RunMove]:
        plans = await self._plan(spec, keys)
        return list(await asyncio.gather(*(self._move(spec, planned, actor, note) for planned in plans)))

    async def _move(self, spec: MigrationSpec, planned: Plan, actor: Actor, note: str) -> RunMove:
        key = planned.run.ref.key
        for _ in range(TRIES):
            if not planned.ready:
                return planned.move
            try:
                async with self.runtime.aside(key) as parked:
                    if not parked:
                        return _refused(
                            planned, "it is at work just now; pause it, and it can be moved once it rests"
                        )
                    row = await self.store.write(lambda tx, planned=planned: apply(tx, planned, actor, note))  # type: ignore[misc]
            except MovedMeanwhileError:
                (planned,) = await self._plan(spec, [key])
            except VictorError as error:
                return _refused(planned, error.message)
            else:
                return msgspec.structs.replace(planned.move, outcome="migrated", migration=row)
            finally:
                await self._return(key)
        return _refused(planned, "it keeps changing; try again")

    async def _return(self, key: int) -> None:
        """Give a run back to the runtime; where the store takes nothing, as soon as it does again."""
        try:
            await self._take_up_again(key)
        except StorageError:
            self._later(self._return_when_writable(key))

    async def _return_when_writable(self, key: int) -> None:
        while True:
            await self.store.writable()
            try:
                return await self._take_up_again(key)
            except StorageError:
                continue

    async def _take_up_again(self, key: int) -> None:
        """Let a run that was let go of be taken up, if there is something to do for it."""
        if not self._working:
            return
        status, priority = await self.store.read(
            lambda c: c.execute("SELECT status, priority FROM runs WHERE key = ?", (key,)).fetchone()
        )
        if key not in self.runtime.places.live:
            # What holds others, a parallel, is begun again.
            ref = await self.store.read(lambda c: self._ref_of_key(c, key))
            if await self.store.read(lambda c: journal.at_work(c, key)):
                await self.store.write(lambda tx: journal.end_live_attempts(tx, ref, "interrupted"))
        if status in ("queued", "running", "waiting"):
            self.runtime.enqueue(key, priority, True)

    async def _move_schedules(self, spec: MigrationSpec, actor: Actor, note: str) -> list[ScheduleMove]:
        def transition(tx: Tx) -> list[ScheduleMove]:
            planner = Planner(tx.connection, spec, self.clock.now(), self._load_function())
            done = []
            for move, changed in planner.schedules():
                if move.outcome == "ready":
                    operations.edit(tx, move.schedule_id, changed, actor=actor, note=note)
                    move = msgspec.structs.replace(move, outcome="migrated")
                done.append(move)
            return done

        if not (spec.schedules or spec.schedule_ids):
            return []
        found = await self.store.write(transition)
        if self._working and found:
            await self.scheduler.refresh()
        return found

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        actor = acting()

        def transition(tx: Tx) -> Any:
            return undo(tx, ref.key, actor, note)

        try:
            async with self.runtime.aside(ref.key) as parked:
                if not parked:
                    run = await self._run_info(ref.id)
                    wait = "wait until it is paused" if run.status == "pausing" else "pause it"
                    raise ConflictError(f"run {ref.id} is at work; {wait}, and it can go back once it rests")
                await self.store.write(transition)
        finally:
            await self._return(ref.key)
        return await self._run_info(ref.id)


def _refused(planned: Plan, reason: str) -> RunMove:
    return msgspec.structs.replace(planned.move, outcome="refused", reason=reason)
