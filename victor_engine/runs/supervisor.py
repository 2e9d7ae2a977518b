"""All runs of one engine: taking up, driving to the end, recovery after a crash."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
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
from victor_engine.graph_walk.walk import Walk, WalkResult
from victor_engine.people.requests import Decision
from victor_engine.runs import transitions
from victor_engine.runs.child_runs import ChildRuns, Resolve
from victor_engine.runs.claims import LoadDefinition, RunLoader, history
from victor_engine.runs.command_handler import Handler
from victor_engine.runs.commands import Command
from victor_engine.runs.completion import BeforeCompletion, Completion, OnCompletion, OnFinished
from victor_engine.runs.control import Control
from victor_engine.runs.external_waits import RunPausedError, RunServices
from victor_engine.runs.request_deadlines import Decisions
from victor_engine.runs.run_plans import Expect
from victor_engine.runs.run_record import RunRecord
from victor_engine.runs.slots import ActiveRun, Slots
from victor_engine.runs.stored_effects import EmbeddedEffects
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.repositories.runs import Unfinished
from victor_engine.store.runs import Created, NewRun, Start, create_run
from victor_engine.versioning import catalog
from victor_engine.versioning.catalog import Load
from victor_engine.work.attempt_log import Logbook
from victor_engine.work.calls import RunIdentity
from victor_engine.work.evaluation import Evaluator
from victor_engine.work.process import end_process_group

if TYPE_CHECKING:
    from victor_engine.work.bindings import BindingTable

log = logging.getLogger(__name__)

T = TypeVar("T")

RECLAIM_SECONDS = 30.0
"""How long a run rests that the store has failed, before it is taken up again."""

NOT_RETRIED = frozenset(
    {"IterationLimitError", "ExecutionTimeoutError", "HumanTimeoutError", "CircuitOpenError", "RunDepthError"}
)
"""Failures that a workflow-level retry cannot mend: the same limit would be met again."""


def newest(tx: Tx, workflow: str, version: str | None) -> Start:
    """What a child starts on, where nobody looks at what its work is bound to."""
    found = catalog.resolve(tx, workflow, version)
    return Start(found.id, catalog.load_definition(tx.connection, found.id)[0].start)


class Runtime:
    """Drives runs, and does what people tell them.

    For what it is given see `taking.LoadDefinition`, `ending.OnCompletion` and `ending.OnFinished`.
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
        load_functions: Callable[[], Load | None] = lambda: None,
        before_completion: BeforeCompletion = lambda tx, run: None,
        on_completion: OnCompletion = lambda tx, run, status: None,
        on_finished: OnFinished = lambda schedule_id, ending: None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.logbook = Logbook(store, clock, mask)
        self.loader = RunLoader(load_definition)
        self._bindings = bindings
        self._functions = functions
        self.evaluator = Evaluator()
        self.slots = Slots(self._drive, max_concurrent_runs)
        self.decisions = Decisions(store, clock)
        self.children = ChildRuns(store)
        self.completion = Completion(
            store,
            self.logbook,
            self.children,
            self.slots.run_completed,
            before_completion,
            on_completion,
            on_finished,
        )
        handler = Handler(self.loader.definition, resolve, load_functions)
        self.control = Control(store, self.slots, self.completion, handler)
        self._services = RunServices(
            decision=self.decisions.wait,
            deadlines_changed=self.decisions.deadlines_changed,
            idle=self._idle,
            reacquire_slot=lambda key: self.slots.reacquire_slot(self.slots.live[key]),
            resolve=resolve,
            claim_child=self._claim_child,
            child_end=self.children.end_of,
            end=self.completion.commit,
        )
        self._reclaims: set[asyncio.Task[None]] = set()
        self._stopping = False

    # --- beginning and end ---------------------------------------------------------------------

    async def start(self, *, recover: bool = True) -> None:
        """Recover what a dead engine left, take up every run that is not final, watch deadlines.

        With `recover=False` no run is touched; `recover` takes up a single one later.
        """
        self.store.listen(self.control.on_events)
        self.slots.open()
        if recover:
            await self.recover()
        self.decisions.start()

    async def stop(self) -> None:
        """Stop at once: what runs is ended and will be tried again at the next start."""
        self._stopping = True
        self.slots.close()
        await self.decisions.stop()
        tasks = []
        for live in list(self.slots.live.values()):
            live.stop()
            tasks.append(live.task)
        for reclaim in self._reclaims:
            reclaim.cancel()
        tasks += [*self.control.tasks, *self._reclaims]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.evaluator.close()
        self.slots.clear()
        await self.logbook.close()

    def hurry(self) -> None:
        """While `stop` waits: kill what has not ended yet."""
        for live in list(self.slots.live.values()):
            live.stop()

    async def recover(self, run_key: int | None = None) -> None:
        """End processes of a dead engine, mark what it was doing as interrupted, queue its runs.

        Until it gets a place, a run that was at work is `queued`: there may be fewer places than before.

        All of them, or the one with `run_key`. Runs that wait behind another one of their schedule are
        left to the scheduler.
        """

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[int, int, int, int]], list[Unfinished]]:
            return attempts.orphans(connection, run_key), runs.unfinished(connection, run_key)

        orphans, unfinished = await self.store.read(read)
        for attempt, pid, pgid, start_ticks in orphans:
            ended = await end_process_group(pid, pgid, start_ticks)
            if ended:
                log.warning("attempt %s: its process group %s still ran and was ended", attempt, pgid)

        def mark(tx: Tx) -> None:
            for each in begun:
                if transitions.rest(tx, each.ref) == "running":
                    runs.set_queued(tx, each.ref.key)

        begun = [each for each in unfinished if each.status != "queued"]
        if begun:
            await self.store.persist(mark)
        for each in unfinished:
            if each.status == "cancelling":
                await self.control.end_cancelled(each.ref, 0.0)
            elif each.status != "pausing":
                self.enqueue(each.ref.key, each.priority, each.begun)

    def enqueue(self, run_key: int, priority: int = 0, again: bool = False) -> None:
        """Let a committed run be taken up as soon as there is a place; higher priority first."""
        self.slots.enqueue(run_key, priority, again)

    @property
    def running(self) -> int:
        """Runs that hold a place: those that wait for a person do not."""
        return self.slots.in_use

    async def create(self, plan: Callable[[Tx], NewRun]) -> Created:
        """Create the run that `plan` says, in a transition, and let it begin as soon as there is a place.

        `plan` is a plain transition.
        """
        commit = self.store.write(lambda tx: create_run(tx, plan(tx)), plain=True)
        # Whether or not the caller still waits for it then: what was committed is driven.
        return await committed(commit, lambda created: self.enqueue(created.key, created.new.priority))

    def deliver(self, request_id: str, decision: Decision) -> None:
        """Hand a committed decision to the run that waits for it."""
        self.decisions.deliver(request_id, decision)

    def deadlines_changed(self) -> None:
        self.decisions.deadlines_changed()

    def drain(self, draining: bool) -> None:
        """Take up no run that has not begun; or do so again."""
        self.slots.drain(draining)

    # --- one run -------------------------------------------------------------------------------

    async def _drive(self, key: int, again: bool) -> None:
        """Drive a run until it ends or idle; where the store fails it, take it up again as after a crash."""
        try:
            await self._drive_on(key, again)
        except StoreError as error:
            # Nothing was acknowledged that is not on disk.
            log.error("run %s is taken up again in %g s: %s", key, RECLAIM_SECONDS, error)
            task = asyncio.create_task(self._reclaim(key), name=f"victor-reclaim-{key}")
            self._reclaims.add(task)
            task.add_done_callback(self._reclaims.discard)

    async def _reclaim(self, key: int) -> None:
        while not self._stopping:
            await self.clock.sleep(RECLAIM_SECONDS)
            try:
                await self.recover(key)
                return
            except StoreError as error:
                log.error("run %s cannot be taken up again yet: %s", key, error)

    async def _drive_on(self, key: int, again: bool) -> None:
        live = self.slots.live[key]
        record = await self._claim(live, key, again)
        if record is None:
            return
        if live.cancelling:
            await self.control.end_cancelled(record.ref, record.spent)
            return
        effects = self._effects_of(live, record)
        identity = RunIdentity(
            record.ref.id, record.ref.workflow, record.version, self._zone(record.definition)
        )
        walk = Walk(record.definition, effects, self._functions(), self.evaluator, identity)
        while True:
            result = await self._walk(live, walk, effects, record)
            if effects.ending is not None and await effects.ended():
                return  # with its last step, as one; who cancelled it meanwhile came too late
            if result is None:
                return
            if result.status == "failed" and self._may_retry(record, result):
                await self._rerun(record, result)
                continue
            spent = int(effects.stopwatch.seconds * 1_000_000)
            end = RunEnd(result.status, spent, result.position.ordinal, result.error)
            await self.completion.finish(record.ref, end, opened=effects.opened)
            return

    def _effects_of(self, live: ActiveRun, record: RunRecord) -> EmbeddedEffects:
        # What an operator sets from now on is seen at once; what was set while it was read, too.
        live.overrides = record.overrides = {**record.overrides, **live.overrides}
        effects = EmbeddedEffects(
            record,
            self.store,
            self.clock,
            self._bindings(),
            self.logbook,
            self._services,
        )
        effects.skip_retry_wait |= live.skip_retry_wait
        live.effects = effects
        effects.pausing = live.pausing
        return effects

    async def _walk(
        self, live: ActiveRun, walk: Walk, effects: EmbeddedEffects, record: RunRecord
    ) -> WalkResult | None:
        """Walk until the end, a pause or a cancellation; None if the run does not end by itself."""
        live.begun = live.walking = True
        try:
            if live.cancelling or self._stopping:
                # Told between two walks, or before the first: there was nothing to cancel then.
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
            # Nothing was acknowledged that is not on disk; the newer engine has taken the run up.
            log.error("run %s: %s", record.ref.id, error)
        except Exception as error:
            log.exception("run %s: fault in the engine", record.ref.id)
            info = ErrorInfo(type=type(error).__name__, message=f"fault in the engine: {error}")
            return WalkResult("failed", record.state, record.position, info)
        finally:
            live.end_walk()
        return None

    async def _after_cancel(self, live: ActiveRun, effects: EmbeddedEffects, ref: RunRef) -> None:
        """A walk was cancelled: see to what is to become of its run."""
        if await effects.ended():
            return
        if live.cancelling:
            await self.control.end_cancelled(ref, effects.stopwatch.seconds)
        elif self._stopping:
            await self.completion.interrupt(ref)
        elif live.detached:
            pass  # it stays as it is in the store, and whoever parked it lets it be taken up again
        elif effects.pausing:
            # It was waiting for a person: the question stays open, the run rests.
            await self.control.rest(ref, effects.stopwatch.seconds)

    async def _claim(self, live: ActiveRun, key: int, again: bool) -> RunRecord | None:
        """Start a run, or go on with one; None if there is nothing to do for it."""
        if not again:
            new = await self.store.persist(lambda tx: self.loader.begin(tx, key), plain=True)
            if new is not None:
                return new
        record = await self.store.read(lambda connection: self.loader.load(connection, key))
        if record.status in ("queued", "running") and not await self.store.persist(
            lambda tx: transitions.start(tx, record.ref, record.started)
        ):
            record = await self.store.read(lambda connection: self.loader.load(connection, key))
        if record.status in FINAL_RUN_STATUSES or record.status == "paused":
            return None
        if record.status == "pausing":
            await self.control.rest(record.ref, record.spent)
            return None
        live.cancelling = live.cancelling or record.status == "cancelling"
        return record

    def _zone(self, definition: WorkflowDefinition) -> str:
        """The zone of wall times in a workflow: its schedule's, else the workspace's."""
        block = definition.schedule or {}
        return str(block.get("timezone") or block.get("tz") or self._bindings().timezone)

    def _idle(self, key: int) -> None:
        live = self.slots.live[key]
        live.became_idle.set()
        self.slots.release_slot(live)

    def _may_retry(self, record: RunRecord, result: WalkResult) -> bool:
        kind = result.error.type if result.error is not None else ""
        return record.reruns < record.definition.max_retries and kind not in NOT_RETRIED

    async def _rerun(self, record: RunRecord, result: WalkResult) -> None:
        """A workflow-level retry: go on from the failed node, its own attempts counted anew."""
        record.reruns += 1

        def transition(tx: Tx) -> Position:
            position = replace(result.position, mark=attempts.last(tx, record.ref.key))
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

    # --- runs that runs start ------------------------------------------------------------------

    def _claim_child(self, key: int, priority: int) -> None:
        # As a part of a run that has begun: it is taken up while the engine drains, too.
        self.enqueue(key, priority, again=True)

    def definition(
        self, connection: sqlite3.Connection, definition_id: int
    ) -> tuple[WorkflowDefinition, str]:
        return self.loader.definition(connection, definition_id)

    # --- what people tell runs -----------------------------------------------------------------

    async def command(self, command: Command, actor: Actor, expect: Expect | None = None) -> None:
        """Carry out a command on a run; see `Control.command`."""
        await self.control.command(command, actor, expect)

    def exclusive(self, key: int) -> AbstractAsyncContextManager[bool]:
        """Have a run to oneself; see `Control.aside`."""
        return self.control.exclusive(key)


__all__ = ["Runtime"]
