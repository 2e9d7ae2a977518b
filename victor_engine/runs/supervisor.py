"""The runtime: it claims the runs of one engine, drives them to their end, and recovers them after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from victor_engine import jsonio
from victor_engine.api import FINAL_RUN_STATUSES, Actor, ErrorInfo
from victor_engine.clock import Clock
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import FencedError, StoreError
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Position
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.graph_walk.walk import Walk, WalkResult, with_outputs
from victor_engine.people.requests import Decision
from victor_engine.runs.child_runs import ChildRuns, Resolve
from victor_engine.runs.claims import LoadDefinition, RunLoader, history
from victor_engine.runs.command_handler import Handler
from victor_engine.runs.commands import Command
from victor_engine.runs.completion import BeforeCompletion, Completion, OnCompletion, OnFinished
from victor_engine.runs.control import Control
from victor_engine.runs.evaluation_note import Note
from victor_engine.runs.external_waits import RunPausedError, RunServices
from victor_engine.runs.quarantine import Quarantine
from victor_engine.runs.recovery import Recovery
from victor_engine.runs.request_deadlines import Decisions
from victor_engine.runs.run_plans import Expect
from victor_engine.runs.run_record import RunRecord
from victor_engine.runs.slots import ActiveRun, Slots
from victor_engine.runs.stored_effects import EmbeddedEffects
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import attempt_rows, runs
from victor_engine.store.runs import Created, NewRun, Start, create_run
from victor_engine.versioning import catalog
from victor_engine.work.attempt_log import LogWriter
from victor_engine.work.calls import RunIdentity
from victor_engine.work.evaluation import Evaluator
from victor_engine.work.migration_functions import MigrationFunctions, NoFunctions

if TYPE_CHECKING:
    from victor_engine.work.bindings import BindingTable

log = logging.getLogger(__name__)

T = TypeVar("T")

WIND_DOWN_CHECK = 0.1
"""Seconds between two checks whether the last active node waits now."""


def newest(tx: Tx, workflow: str, version: str | None) -> Start:
    """Return where a child run starts, without a check of the bindings of its nodes."""
    found = catalog.resolve(tx, workflow, version)
    definition, _ = catalog.load_definition(tx.connection, found.id)
    return Start(found.id, definition.start, inputs=definition.inputs)


class RunSupervisor:
    """The runs of one engine.

    For the parameters see `claims.LoadDefinition`, `completion.OnCompletion` and `completion.OnFinished`. `directory`
    is the state directory, in which the note of the quarantine outlives the process.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        load_definition: LoadDefinition,
        bindings: Callable[[], BindingTable],
        functions: Callable[[], FunctionRegistry],
        resolve: Resolve = newest,
        max_concurrent_runs: int = 10,
        mask: Callable[[str], str] = lambda text: text,
        migration_functions: MigrationFunctions | None = None,
        before_completion: BeforeCompletion = lambda tx, run: None,
        on_completion: OnCompletion = lambda tx, run, status: None,
        on_finished: OnFinished = lambda schedule_id, ending: None,
        directory: Path | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.log_writer = LogWriter(store, clock, mask)
        self.loader = RunLoader(load_definition)
        self._bindings = bindings
        self._functions = functions
        self.evaluator = Evaluator()
        self.quarantine = Quarantine(store, directory)
        self.slots = Slots(self._drive, max_concurrent_runs)
        self.decisions = Decisions(store, clock)
        self.children = ChildRuns(store)
        self.completion = Completion(
            store,
            self.log_writer,
            self.children,
            self.slots.run_completed,
            self.enqueue,
            self.loader.definition,
            before_completion,
            on_completion,
            on_finished,
        )
        handler = Handler(self.loader.definition, resolve)
        self.control = Control(
            store, self.slots, self.completion, handler, migration_functions or NoFunctions()
        )
        self._services = RunServices(
            decision=self.decisions.wait,
            deadlines_changed=self.decisions.deadlines_changed,
            idle=self._idle,
            reacquire_slot=lambda key: self.slots.reacquire_slot(self.slots.live[key]),
            resolve=resolve,
            claim_child=self._claim_child,
            child_end=self.children.end_of,
            end=self.completion.commit,
            quarantine=self.quarantine,
        )
        self._recovery = Recovery(store, clock, self.control, self.quarantine, self.enqueue)
        self._stopping = False
        self._winding_down = False

    # --- start and stop ------------------------------------------------------------------------

    async def start(self, *, recover: bool = True) -> None:
        """Recover the runs of an earlier engine, claim all runs that are not final, and watch deadlines.

        With `recover=False` no run is changed; call `recover` for a single run later.
        """
        await self.quarantine.open()
        self.store.listen(self.control.on_events)
        self.slots.open()
        if recover:
            await self.recover()
        self.decisions.start()

    async def wind_down(self, seconds: float) -> None:
        """Start no run and no node, and wait until the active nodes have ended, at most `seconds`."""
        self._winding_down = True
        self.slots.close()
        for live in self.slots.live.values():
            if live.effects is not None:
                live.effects.pausing = True
        with contextlib.suppress(TimeoutError):
            async with self.clock.timeout(seconds):
                while busy := [live.task for live in self.slots.live.values() if not live.is_idle]:
                    await asyncio.wait(busy, timeout=WIND_DOWN_CHECK, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Stop immediately. Active attempts are ended and tried again at the next start."""
        self._stopping = True
        self.slots.close()
        await self.decisions.stop()
        tasks = []
        for live in list(self.slots.live.values()):
            live.stop()
            tasks.append(live.task)
        self._recovery.stop()
        tasks += [*self.control.tasks, *self._recovery.tasks]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.evaluator.close()
        self.slots.clear()
        self.quarantine.close()
        await self.log_writer.close()

    def force_kill(self) -> None:
        """Force-kill the attempts that have not ended, while `stop` waits."""
        for live in list(self.slots.live.values()):
            live.stop()

    async def recover(self, run_key: int | None = None) -> None:
        """Recover the runs of an earlier engine, or only one; see `Recovery.recover`."""
        await self._recovery.recover(run_key)

    def enqueue(self, run_key: int, priority: int = 0, again: bool = False) -> None:
        """Claim a committed run as soon as a slot is free; higher priority first."""
        self.slots.enqueue(run_key, priority, again)

    @property
    def running(self) -> int:
        """The number of runs that hold a slot. Runs that wait for people do not."""
        return self.slots.in_use

    async def create(self, plan: Callable[[Tx], NewRun]) -> Created:
        """Create the run that `plan` returns, in a transition, and start it as soon as a slot is free.

        `plan` is a plain transition.
        """
        commit = self.store.write(lambda tx: create_run(tx, plan(tx)), plain=True)
        # A committed run is started even if the caller no longer waits.
        return await committed(commit, lambda created: self.enqueue(created.key, created.new.priority))

    def deliver(self, request_id: str, decision: Decision) -> None:
        """Deliver a committed decision to the run that waits for it."""
        self.decisions.deliver(request_id, decision)

    def deadlines_changed(self) -> None:
        """Check the deadlines of requests again, after a commit that changed them."""
        self.decisions.deadlines_changed()

    def drain(self, draining: bool) -> None:
        """Start or stop draining: claim only runs that have begun before."""
        self.slots.drain(draining)

    # --- one run -------------------------------------------------------------------------------

    async def _drive(self, key: int, again: bool) -> None:
        """Drive a run until it ends or pauses. If the store fails, claim it again as after a crash."""
        note = Note(key)
        try:
            await self.quarantine.memory.noted(note, self._drive_on(key, again, note))
        except StoreError as error:
            # No change was acknowledged that is not on disk.
            self._recovery.reclaim_later(key, error)

    async def _drive_on(self, key: int, again: bool, note: Note) -> None:
        live = self.slots.live[key]
        record = await self._claim(live, key, again)
        if record is None:
            return
        if live.cancelling:
            await self.control.end_cancelled(record.ref, record.spent)
            return
        effects = self._effects_of(live, record, note)
        identity = RunIdentity(
            record.ref.id, record.ref.workflow, record.version, self._zone(record.definition)
        )
        walk = Walk(record.definition, effects, self._functions(), self.evaluator, identity)
        while True:
            result = await self._walk(live, walk, effects, record)
            if effects.ending is not None and await effects.ended():
                return  # the end was committed with the last step; a later cancellation has no effect
            if result is None:
                return
            if not record.ending.status:
                result = with_outputs(record.definition, result)
            if result.status == "failed" and not record.ending.status and record.may_retry(result.error):
                await self._rerun(record, result)
                continue
            spent = int(effects.stopwatch.seconds * 1_000_000)
            end = RunEnd(result.status, spent, result.position.ordinal, result.error)
            await self.completion.finish(record.ref, end, opened=effects.opened)
            return

    def _effects_of(self, live: ActiveRun, record: RunRecord, note: Note) -> EmbeddedEffects:
        # Overrides take effect immediately, including those that were set while the run was read.
        live.overrides = record.overrides = {**record.overrides, **live.overrides}
        effects = EmbeddedEffects(
            record,
            self.store,
            self.clock,
            self._bindings(),
            self.log_writer,
            self._services,
            note,
        )
        effects.skip_retry_wait |= live.skip_retry_wait
        live.effects = effects
        effects.pausing = live.pausing or self._winding_down
        return effects

    async def _walk(
        self, live: ActiveRun, walk: Walk, effects: EmbeddedEffects, record: RunRecord
    ) -> WalkResult | None:
        """Walk until the end, a pause or a cancellation. Return None if the run did not end by itself."""
        live.begun = live.walking = True
        try:
            if live.cancelling or self._stopping:
                # Cancelled between two walks, or before the first, when there was no walk to cancel.
                raise asyncio.CancelledError
            return await walk.run(record.position, record.state)
        except asyncio.CancelledError:
            live.end_walk()
            await self._after_cancel(live, effects, record.ref)
        except RunPausedError:
            live.end_walk()
            await self.control.rest(record.ref, effects.stopwatch.seconds)
        except StoreError:
            raise
        except FencedError as error:
            # No change was acknowledged that is not on disk; the newer engine has claimed the run.
            log.error("run %s: %s", record.ref.id, error)
        except Exception as error:
            log.exception("run %s: internal error of the engine", record.ref.id)
            info = ErrorInfo(type=type(error).__name__, message=f"internal error of the engine: {error}")
            return WalkResult("failed", record.state, record.position, info)
        finally:
            live.end_walk()
        return None

    async def _after_cancel(self, live: ActiveRun, effects: EmbeddedEffects, ref: RunRef) -> None:
        """End, pause or leave a run whose walk was cancelled."""
        if await effects.ended():
            return
        if live.cancelling:
            await self.control.end_cancelled(ref, effects.stopwatch.seconds)
        elif self._stopping:
            await self.completion.interrupt(ref)
        elif live.detached:
            pass  # the caller of `detach` enqueues it again
        elif effects.pausing:
            # It was waiting for people: the request stays open, and the run pauses.
            await self.control.rest(ref, effects.stopwatch.seconds)

    async def _claim(self, live: ActiveRun, key: int, again: bool) -> RunRecord | None:
        """Start or continue a run. Return its record, or None if nothing remains to be done."""
        if not again:
            new = await self.store.persist(lambda tx: self.loader.begin(tx, key), plain=True)
            if new is not None:
                return new
        record = await self.store.read(lambda connection: self.loader.load(connection, key))
        handles = record.ending.continues
        starts = record.status == "queued" or (record.status == "running" and not handles)
        if starts and not await self.store.persist(lambda tx: self.loader.start(tx, record)):
            record = await self.store.read(lambda connection: self.loader.load(connection, key))
            if record.status == "queued":
                return None  # the end of another run with its concurrency key claims it
        if record.status in FINAL_RUN_STATUSES or record.status == "paused":
            return None
        if record.status == "pausing":
            await self.control.rest(record.ref, record.spent)
            return None
        live.cancelling = live.cancelling or (record.status == "cancelling" and not handles)
        return record

    def _zone(self, definition: WorkflowDefinition) -> str:
        """Return the time zone of a workflow: that of its schedule, else that of the workspace."""
        block = definition.schedule or {}
        return str(block.get("timezone") or block.get("tz") or self._bindings().timezone)

    def _idle(self, key: int) -> None:
        live = self.slots.live[key]
        live.became_idle.set()
        self.slots.release_slot(live)

    async def _rerun(self, record: RunRecord, result: WalkResult) -> None:
        """Retry the workflow: continue from the failed node, with its attempts counted from zero."""
        record.reruns += 1

        def transition(tx: Tx) -> Position:
            position = replace(result.position, mark=attempt_rows.last(tx, record.ref.key))
            runs.rerun(tx, record.ref.key, record.reruns, jsonio.dumps_text(position.to_data()))
            tx.event(
                EventKind.RUN_RESUMED,
                run_key=record.ref.key,
                run_id=record.ref.id,
                workflow=record.ref.workflow,
                data={"retry": record.reruns, "of": record.definition.max_retries},
            )
            return position

        record.position = await self.store.persist(transition)
        record.history = await self.store.read(
            lambda connection: history(connection, record.ref.key, record.position, record.definition)
        )

    # --- child runs ----------------------------------------------------------------------------

    def _claim_child(self, key: int, priority: int) -> None:
        # A child is part of a run that has begun, so it is claimed while the engine drains too.
        self.enqueue(key, priority, again=True)

    def definition(
        self, connection: sqlite3.Connection, definition_id: int
    ) -> tuple[WorkflowDefinition, str]:
        """Return a definition and its version."""
        return self.loader.definition(connection, definition_id)

    # --- commands ------------------------------------------------------------------------------

    async def command(self, command: Command, actor: Actor, expect: Expect | None = None) -> None:
        """Execute a command on a run; see `Control.command`."""
        await self.control.command(command, actor, expect)

    def exclusive(self, key: int) -> AbstractAsyncContextManager[bool]:
        """Return a context with exclusive access to a run; see `Control.exclusive`."""
        return self.control.exclusive(key)


__all__ = ["RunSupervisor"]
