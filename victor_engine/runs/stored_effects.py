"""The effects of one run on the store, in the loop of the engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from victor_engine.api import ErrorInfo
from victor_engine.clock import Clock, to_us
from victor_engine.definition.model import Node
from victor_engine.errors import NodeError, NodeTimeoutError, VictorError
from victor_engine.graph_walk.effects import HANDLED, NO_HISTORY, Done, Onward, Step, StepHistory
from victor_engine.graph_walk.stopwatch import Stopwatch, first_of
from victor_engine.graph_walk.team import role_of
from victor_engine.people.requests import withdraw_requests
from victor_engine.reserved import RUN
from victor_engine.runs import breakers, transitions
from victor_engine.runs.attempt_context import AttemptContext
from victor_engine.runs.branches import Branches
from victor_engine.runs.endings import without_facts
from victor_engine.runs.evaluation_note import Note
from victor_engine.runs.external_waits import ExternalWaits, RunPausedError, RunServices
from victor_engine.runs.map_items import StoredItems
from victor_engine.runs.overrides import with_overrides
from victor_engine.runs.run_record import RunRecord
from victor_engine.runs.transitions import RunEnd
from victor_engine.store.db import Store, Tx
from victor_engine.store.state import state_json
from victor_engine.work.attempt_log import LogWriter
from victor_engine.work.calls import Invoker, NodeCall, process_slot_of

if TYPE_CHECKING:
    from victor_engine.work.bindings import BindingTable

LONGEST_SLEEP = 60.0
"""Maximum seconds between two looks at the wall clock, because the clock may be set."""

_LARGE = 1_000_000
"""Characters of a text that is encoded in a thread."""

SNAPSHOT_BYTES = 65_536
"""A snapshot is written when the patches since the last one are larger than it and than this, in bytes."""


class EmbeddedEffects(ExternalWaits):
    """`Effects` for one run."""

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        clock: Clock,
        bindings: BindingTable,
        log_writer: LogWriter,
        services: RunServices,
        note: Note,
    ) -> None:
        super().__init__(record, store, clock, bindings, log_writer, services)
        self._note = note
        self.stopwatch = Stopwatch(clock, record.spent)
        self.skip_retry_wait: set[str] = set()  # nodes whose next wait for a retry is skipped
        self._waits: dict[str, asyncio.Event] = {}
        self._invokers: dict[tuple[str, str | None], Invoker] = {}
        self._patched = 0
        self._snapshot_size = record.state_bytes
        self.ending: asyncio.Future[Any] | None = None
        """The commit of the last step together with the end of the run."""

    # --- clock, limits and history -------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock.now()

    def random(self) -> float:
        return random.random()

    def visit(self, step: Step) -> None:
        self._note.visit(step.node.id)
        self.services.quarantine.memory.write(self._note)

    def history(self, step: Step) -> StepHistory:
        if not self.record.history:
            return NO_HISTORY
        return self.record.history.get((step.key, step.iteration), NO_HISTORY)

    def checkpoint(self) -> None:
        if self.pausing:
            raise RunPausedError

    def left(self) -> float | None:
        _, limit, active = self.record.active_limit(self.stopwatch.seconds)
        return None if limit is None else max(0.0, limit - active)

    def overrun(self) -> str | None:
        name, limit, active = self.record.active_limit(self.stopwatch.seconds)
        if limit is not None and active >= limit:
            return f"{name} has been active for {active:.0f} s, and its limit is {limit:g} s"
        return None

    def warn(self, node_id: str, message: str, **data: Any) -> None:
        # Not awaited: a warning never delays a run, and the writer keeps the order.
        task = asyncio.ensure_future(
            self.store.persist(lambda tx: transitions.warn(tx, self.run, node_id, message, data))
        )
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def describe(self, node: Node, role: str | None) -> str:
        return self._invoker(node, role).description

    def _invoker(self, node: Node, role: str | None) -> Invoker:
        invoker = self._invokers.get((node.id, role))
        if invoker is None:
            invoker = self.bindings.resolve(self.run.workflow, node, role)
            self._invokers[(node.id, role)] = invoker
        return invoker

    async def wait_for_retry(self, step: Step, due: datetime) -> None:
        if step.node.id in self.skip_retry_wait:
            self.skip_retry_wait.discard(step.node.id)
            return
        self.stop_if_pausing(with_one_more=True)
        skip = self._waits.setdefault(step.node.id, asyncio.Event())
        self.awaiting_retry += 1
        try:
            with self.stopwatch.measure():
                while (wait := (due - self.clock.now()).total_seconds()) > 0 and not skip.is_set():
                    left = self.left()
                    if left is not None and left <= 0:
                        break
                    pause = min(wait, LONGEST_SLEEP if left is None else left, LONGEST_SLEEP)
                    await first_of(self.clock.sleep(pause), skip.wait())
        finally:
            self.awaiting_retry -= 1

    def retry_now(self, node_id: str) -> None:
        """End the wait for another attempt of the node."""
        skip = self._waits.pop(node_id, None)
        if skip is not None:
            skip.set()

    def with_overrides(self, node: Node) -> Node:
        return with_overrides(node, self.record.overrides.get(node.id))

    # --- attempts ------------------------------------------------------------------------------

    async def begin(self, step: Step, number: int, binding: str) -> int:
        waiting = self.record.waiting.get((step.key, step.iteration))
        if waiting is not None and waiting.number == number:
            return waiting.id
        shown, self._shown_waiting = self._shown_waiting, False
        self.opened = True

        def transition(tx: Tx) -> int:
            if self.record.definition.breaker_for(step.node) is not None:
                breakers.admit(tx, self.run, step)
            if shown:
                transitions.set_working(tx, self.run)
            return transitions.begin_attempt(tx, self.run, step, number, binding)

        return await self.store.persist(transition)

    async def work(self, attempt: int, step: Step, call: NodeCall, limit: float | None) -> Any:
        invoker = self._invoker(step.node, role_of(step))
        # The wait for a process slot is not work of the node, so it counts towards no limit.
        async with process_slot_of(invoker):
            return await self._work(invoker, attempt, step, call, limit)

    async def _work(
        self, invoker: Invoker, attempt: int, step: Step, call: NodeCall, limit: float | None
    ) -> Any:
        override = self.record.overrides.get(step.node.id)
        if override is not None and override.timeout is not None:
            limit = override.timeout
            call = replace(call, timeout=limit, timeout_overridden=True)
        elif call.timeout is None:
            call = replace(call, timeout=limit)
        allowed, reason = limit, f"{step.key}: took longer than its limit of {limit:g} s" if limit else ""
        left, run_ends = self.left(), False
        if left is not None and (allowed is None or left < allowed):
            allowed, run_ends = left, True
            name, whole, _ = self.record.active_limit(self.stopwatch.seconds)
            reason = f"{step.key}: {name} reached its limit of {whole:g} s of active time"
        if call.state is None and getattr(invoker, "wants_state", False):
            seen = {key: value for key, value in self.record.state.items() if key != RUN}
            call = replace(call, state=seen)
        call = replace(
            call,
            inputs=await self.with_answers(call.inputs),
            config=await self.with_answers(call.config),
            process=await self.with_answers(call.process),
        )
        log = self.log_writer.open(self.run.key, attempt)
        context = AttemptContext(self.store, self.run, attempt, log, partial(self.warn, step.node.id))
        self._logs[attempt] = log
        try:
            with self.stopwatch.measure():
                async with self.clock.timeout(allowed) as scope:
                    return await invoker(call, context)
        except TimeoutError as error:
            if not scope.expired():
                raise NodeError(f"{step.key}: {error or 'timed out'}", error_type="TimeoutError") from error
            log.write("engine", reason)
            failure = NodeTimeoutError(reason)
            if run_ends:
                failure.error_type, failure.retryable = "ExecutionTimeoutError", False
            raise failure from None
        except VictorError:
            raise
        except Exception as error:
            # An exception from an invoker is a failure of the work, with its class as the type.
            bases = tuple(cls.__name__ for cls in type(error).__mro__[1:-1])
            raise NodeError(
                f"{step.key}: {type(error).__name__}: {error}", error_type=type(error).__name__, bases=bases
            ) from error
        finally:
            self._logs.pop(attempt, None)

    async def finish(self, step: Step, attempt: int | None, done: Done, onward: Onward | None) -> None:
        if self.services.quarantine.counted:
            self.services.quarantine.progressed(self.run.key)
        if _has_large_text(done):
            patch = await asyncio.to_thread(transitions.patch_json, step, done)
        else:
            patch = transitions.patch_json(step, done)
        snapshot = self._snapshot(done, patch) if onward is not None else None
        spent = self.stopwatch.microseconds
        if attempt is None and snapshot is None and done.rejected is None:
            pure = partial(transitions.pure_step, self.run, step, done, onward, patch)
            if onward is not None and not onward.frontier and self.record.definition.outputs is None:
                return await self._finish_with(pure, RunEnd("succeeded", spent, onward.ordinal))
            return await self.store.persist(pure, plain=True)
        counted = (
            attempt is not None
            and done.branch not in HANDLED
            and self.record.definition.breaker_for(step.node) is not None
        )

        def transition(tx: Tx) -> None:
            state = None if snapshot is None else snapshot()
            transitions.complete_attempt(tx, self.run, step, attempt, done, onward, patch, spent, state)
            if counted:
                breakers.succeeded(tx, self.run, step)

        if onward is not None and done.rejected is not None:
            # Committed alone, a run without pending nodes would count as succeeded after a crash.
            self.opened = True
            info = ErrorInfo(type="Rejected", message=done.rejected, node_id=step.node.id)
            return await self._finish_with(transition, RunEnd("rejected", spent, onward.ordinal, info))
        return await self.store.persist(transition)

    async def _finish_with(self, last: Callable[[Tx], None], end: RunEnd) -> None:
        """Commit the last step of a run together with its end.

        Only for a step that computes or was rejected: work with effects must not be repeated because the end of
        its run could not be committed.
        """
        await self.log_writer.settle()
        self.ending = self.services.end(self.run, end, opened=self.opened, last=last)
        # If the walk is cancelled during the commit, `ended` returns its result.
        await asyncio.shield(self.ending)

    async def ended(self) -> bool:
        """Return whether the end of the run is committed with its last step."""
        if self.ending is None:
            return False
        if not self.ending.done():
            await asyncio.wait({self.ending})
        return self.ending.exception() is None

    def _snapshot(self, done: Done, patch: str | None) -> Callable[[], str] | None:
        """Return a function that encodes the state after a step, if the patches since the last snapshot are larger.

        The thread of the store calls it, because encoding a large state takes long.
        """
        self._patched += len(patch) if patch else 0
        if self._patched <= max(SNAPSHOT_BYTES, self._snapshot_size):
            return None
        state = without_facts(self.record.state) if self.record.ending.status else dict(self.record.state)
        done.patch.apply(state)
        self._patched = 0

        def encode() -> str:
            text = state_json(state)
            self._snapshot_size = len(text)
            return text

        return encode

    async def fail(
        self, step: Step, attempt: int | None, number: int, error: ErrorInfo, retry_at: datetime | None
    ) -> int:
        due = to_us(retry_at) if retry_at is not None else None
        self.opened = True
        breaker = self.record.definition.breaker_for(step.node) if attempt is not None else None

        def transition(tx: Tx) -> int:
            if breaker is not None:
                breakers.failed(tx, self.run, step, breaker, error)
            return transitions.fail_attempt(tx, self.run, step, attempt, number, error, due)

        return await self.store.persist(transition)

    async def abandon(self, parent: Step) -> None:
        def transition(tx: Tx) -> None:
            transitions.end_live_attempts(tx, self.run, "cancelled", parent.node.id)
            reason = f"the result of {parent.node.id} was decided without this branch"
            withdraw_requests(tx, self.run.key, reason, cancelled_only=True)

        await self.store.persist(transition)

    # --- concurrent strands --------------------------------------------------------------------

    def items(self, step: Step, body: Node) -> StoredItems:
        mark = self.record.position.mark
        return StoredItems(self.store, self.run.key, step, body, mark, begun=self.opened)

    async def join(
        self,
        branches: Sequence[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
        most: int | None = None,
    ) -> list[Done | BaseException | None]:
        joined = Branches(self, self.stopwatch, self._show_waiting, self._note, branches, most)
        return await joined.join(wanted, tolerate, limit)

    async def _show_waiting(self) -> None:
        self._shown_waiting = True
        await self.store.persist(lambda tx: transitions.set_waiting(tx, self.run))
        self.services.idle(self.run.key)


def _has_large_text(done: Done) -> bool:
    """Return whether a step sets a text that takes long to encode."""
    return any(
        isinstance(value, str) and len(value) > _LARGE for value in islice(done.patch.set.values(), 100)
    )


__all__ = ["EmbeddedEffects", "RunPausedError"]
