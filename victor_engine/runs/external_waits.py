"""The external waits of a run: people, times, files, HTTP responses, child runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from victor_engine.clock import Clock, from_us, to_us
from victor_engine.definition.model import HITLNode, SubWorkflowNode
from victor_engine.definition.secret_fields import asked_secrets
from victor_engine.errors import ConfigError, NodeError
from victor_engine.graph_walk.effects import Child, ChildEnd, Step
from victor_engine.graph_walk.waits import Wait, WaitEnd
from victor_engine.people.questions import Ask, interrupted_ask, with_defaults
from victor_engine.people.requests import Decision, build_ask, open_request
from victor_engine.people.secret_answers import require_key
from victor_engine.runs import breakers, transitions
from victor_engine.runs.child_runs import (
    Resolve,
    Started,
    child_that_ends,
    continue_child,
    known_child,
    start_child,
)
from victor_engine.runs.polling import LONGEST_SLEEP, FileWatch, HttpWatch, wait_over
from victor_engine.runs.quarantine import Quarantine
from victor_engine.runs.run_record import RunRecord
from victor_engine.runs.secret_references import for_child, with_answers
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import attempts, requests, run_rows, secret_answers
from victor_engine.work.attempt_log import AttemptLog, LogWriter

if TYPE_CHECKING:
    from victor_engine.work.bindings import BindingTable


_IN_STATE = (
    "the secret fields {} of the answer are stored in plain text, because this version was registered before they "
    "were encrypted; register a new version that names them as $secret.<node id>.<field>. The next release does not "
    "store them any more"
)


class RunPausedError(Exception):
    """A pausing run has become idle, so its walk ends."""


@dataclass(frozen=True, slots=True)
class RunServices:
    """The services of the engine for the effects of a run.

    `decision(request_id)` and `child_end(key)` return when the decision or the end is committed. `idle(run_key)`
    reports that a strand waits, so that the run may release its slot, and `reacquire_slot(run_key)` returns when it
    has a slot again. `resolve` finds the version of a child. `claim_child(key, priority)` starts a committed child.
    `end` is `Completion.commit`.
    """

    decision: Callable[[str], Awaitable[Decision]]
    deadlines_changed: Callable[[], None]
    idle: Callable[[int], None]
    reacquire_slot: Callable[[int], Awaitable[None]]
    resolve: Resolve
    claim_child: Callable[[int, int], None]
    child_end: Callable[[int], Awaitable[ChildEnd]]
    end: Callable[..., asyncio.Future[Any]]
    quarantine: Quarantine


class ExternalWaits:
    """The effects of a run that wait. A wait counts towards no time limit and holds no slot."""

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        clock: Clock,
        bindings: BindingTable,
        log_writer: LogWriter,
        services: RunServices,
    ) -> None:
        self.record = record
        self.run = record.ref
        self.store = store
        self.clock = clock
        self.bindings = bindings
        self.log_writer = log_writer
        self.services = services
        self.pausing = False
        self.strands = 1  # the walk, or the branches into which it has divided
        self.idle = 0  # the number of strands in an external wait
        self.awaiting_retry = 0  # the number of strands between two attempts
        self.opened = record.started  # whether the run may have open attempts or requests
        self._shown_waiting = record.status == "waiting"
        self._logs: dict[int, AttemptLog] = {}

    # --- people --------------------------------------------------------------------------------

    async def ask(self, attempt: int, step: Step, node: HITLNode, state: dict[str, Any]) -> Decision:
        node = with_defaults(node, self.bindings.config.hitl)
        fields = asked_secrets(node)
        in_state = bool(fields) and await self.store.read(
            lambda c: secret_answers.in_state(c, self.run.definition_id)
        )
        sealed = bool(fields) and not in_state
        if sealed:
            await self._require_key(node)
        ask, deadline = build_ask(node, state, self.record.requested_by, self.clock.now(), sealed=sealed)
        idle = self._idle_with_one_more()

        def transition(tx: Tx) -> str:
            known = requests.of_step(tx, self.run.key, step.key, step.iteration, attempt)
            if in_state and known is None:
                transitions.warn(tx, self.run, node.id, _IN_STATE.format(", ".join(fields)), {})
            attempts.set_waiting(tx, self.run.key, attempt)
            return self._open_request(tx, attempt, step, ask, deadline, idle)

        request_id = await self.store.persist(transition)
        self.services.deadlines_changed()
        async with self._external_wait():
            return await self.services.decision(request_id)

    async def _require_key(self, node: HITLNode) -> None:
        """Raise NodeError if the secret fields of an answer cannot be encrypted."""
        try:
            await asyncio.to_thread(require_key, self.store.path.parent)
        except ConfigError as error:
            raise NodeError(
                f"{node.id}: the question has secret fields and is not asked: {error.message}",
                error_type="SecretKeyError",
                retryable=False,
            ) from None

    async def with_answers(self, value: Any) -> Any:
        """Return a value with its references to secret answers replaced. Raise NodeError if one is missing."""
        masker = self.bindings.secrets.masker
        record = self.record
        return await with_answers(value, record.definition, self.run.id, record.state, self.store, masker)

    async def ask_about_interruption(self, attempt: int, step: Step) -> Decision:
        self.opened = True
        idle = self._idle_with_one_more()

        def transition(tx: Tx) -> str:
            number, started_at, binding = transitions.await_decision(tx, self.run, attempt)
            context = {
                "attempt": number,
                "started_at": from_us(started_at).isoformat().replace("+00:00", "Z"),
                "done_by": binding,
                "idempotency_key": step.idempotency_key(self.run.id),
            }
            ask = interrupted_ask(step.node, step.key, number, context, self.record.requested_by)
            return self._open_request(tx, attempt, step, ask, None, idle)

        request_id = await self.store.persist(transition)
        async with self._external_wait():
            decision = await self.services.decision(request_id)
        if decision.abort is None and decision.value["action"] == "retry":
            await self.store.persist(lambda tx: transitions.stay_interrupted(tx, self.run, attempt))
        return decision

    def _open_request(
        self, tx: Tx, attempt: int, step: Step, ask: Ask, deadline: datetime | None, idle: bool
    ) -> str:
        """Open the request of an attempt and return its id. `idle` says that all strands of the run wait."""
        request = open_request(
            tx,
            run_key=self.run.key,
            run_id=self.run.id,
            workflow=self.run.workflow,
            attempt_id=attempt,
            node_id=step.key,
            iteration=step.iteration,
            ask=ask,
            deadline_us=to_us(deadline) if deadline is not None else None,
        )
        if idle:
            transitions.set_waiting(tx, self.run)
        return request.id

    # --- waiting -------------------------------------------------------------------------------

    def _idle_with_one_more(self) -> bool:
        """Return whether all strands wait once one more strand waits."""
        idle = self.idle + 1 >= self.strands
        self._shown_waiting = self._shown_waiting or idle
        return idle

    def stop_if_pausing(self, *, with_one_more: bool = False) -> None:
        """Raise RunPausedError if the run is pausing and idle.

        `with_one_more`: count the calling strand as idle.
        """
        if self.pausing and self.idle + self.awaiting_retry + with_one_more >= self.strands:
            raise RunPausedError

    @asynccontextmanager
    async def _external_wait(self) -> AsyncIterator[None]:
        """Return a context for an external wait of a strand. It counts towards no time limit and holds no slot. A
        pausing run pauses here, and a run that continues acquires a slot again."""
        self.stop_if_pausing(with_one_more=True)
        self.idle += 1
        try:
            self.services.idle(self.run.key)
            yield
            await self.services.reacquire_slot(self.run.key)
        finally:
            self.idle -= 1

    async def begin_wait(self, step: Step, number: int, wait: Wait) -> tuple[int, Wait]:
        self.opened = True
        known = self.record.waiting.get((step.key, step.iteration))
        idle = self._idle_with_one_more()
        if known is not None and known.number == number and known.wait is not None:
            if idle:
                await self.store.persist(lambda tx: transitions.set_waiting(tx, self.run))
            return known.id, wait.with_data(known.wait)
        attempt = await self.store.persist(
            lambda tx: transitions.begin_wait(
                tx, self.run, step, number, f"wait: {wait.text}", wait.to_data(), idle=idle
            )
        )
        return attempt, wait

    async def wait(
        self, attempt: int, step: Step, wait: Wait, satisfied: Callable[[int, Any], Awaitable[str | None]]
    ) -> WaitEnd:
        log = self.log_writer.open(self.run.key, attempt)
        self._logs[attempt] = log
        watch: FileWatch | HttpWatch | None = None
        try:
            if wait.file is not None:
                watch = FileWatch(wait, self.clock, self.bindings.workspace)
            elif wait.http is not None:
                http = wait.http
                watch = HttpWatch(
                    replace(
                        http,
                        url=await self.with_answers(http.url),
                        headers=await self.with_answers(http.headers),
                    ),
                    self.clock,
                    self.bindings.secrets,
                    satisfied,
                    lambda text: log.write("engine", text),
                )
            async with self._external_wait():
                return await wait_over(wait, self.clock, watch)
        finally:
            if isinstance(watch, HttpWatch):
                await watch.close()
            self._logs.pop(attempt, None)

    # --- child runs ----------------------------------------------------------------------------

    async def start_child(
        self, step: Step, number: int, node: SubWorkflowNode, inputs: dict[str, Any]
    ) -> tuple[int, Child]:
        self.opened = True
        inputs = for_child(inputs, self.record.definition, self.run.id, self.record.state)
        known = self.record.waiting.get((step.key, step.iteration))
        goes_on = number > 1 and node.wait and node.on_retry == "continue"
        if goes_on and known is None:
            await self._end_of_cancelled_child(step)
        idle = self._idle_with_one_more() if node.wait else False
        if known is not None and known.number == number and known.child_key is not None:
            key, due = known.child_key, (known.wait or {}).get("deadline")
            deadline = from_us(due) if due is not None else None
            if idle:
                await self.store.persist(lambda tx: transitions.set_waiting(tx, self.run))
            return known.id, await self.store.read(lambda c: known_child(c, key, deadline))

        def transition(tx: Tx) -> Started:
            if self.record.definition.breaker_for(node) is not None:
                breakers.admit(tx, self.run, step)
            resolve, fresh = self.services.resolve, self.record.position.fresh
            goes_on_in = None
            if goes_on:
                goes_on_in = continue_child(tx, self.run, step, number, node, fresh, resolve, idle=idle)
            return goes_on_in or start_child(tx, self.run, step, number, node, inputs, resolve, idle=idle)

        started = await self.store.persist(transition)
        if started.queued:
            self.services.claim_child(started.child.handle, started.priority)
        return started.attempt, started.child

    async def _end_of_cancelled_child(self, step: Step) -> None:
        """Wait until the child of an earlier attempt has ended, if it is being cancelled."""
        fresh = self.record.position.fresh
        key = await self.store.read(lambda c: child_that_ends(c, self.run, step, fresh))
        if key is not None:
            async with self._external_wait():
                await self.services.child_end(key)

    async def _timed_out(self, child: Child, ended: asyncio.Future[ChildEnd]) -> ChildEnd:
        """Cancel a child that took too long, and wait for its end.

        The run has no slot here, because the child may hold the last one.
        """
        await self.store.persist(
            lambda tx: transitions.cancel_child(tx, self.run, run_rows.ref_of(tx, child.handle))
        )
        end = await ended
        return ChildEnd("timed_out", {}) if end.status == "cancelled" else end

    async def child_end(self, child: Child) -> ChildEnd:
        async with self._external_wait():
            ended = asyncio.ensure_future(self.services.child_end(child.handle))
            try:
                while child.deadline is not None and not ended.done():
                    left = (child.deadline - self.clock.now()).total_seconds()
                    if left <= 0:
                        return await self._timed_out(child, ended)
                    sleep = asyncio.ensure_future(self.clock.sleep(min(left, LONGEST_SLEEP)))
                    try:
                        await asyncio.wait({ended, sleep}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        sleep.cancel()
                return await ended
            finally:
                ended.cancel()
