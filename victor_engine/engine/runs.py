"""The actions of the port on runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import NodeOverride, RetentionInfo, RunInfo, RunPlanCommand
from victor_engine.clock import Clock, to_us
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.execution import Execution
from victor_engine.engine.queries import RunQueries
from victor_engine.errors import ConflictError, UsageError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.identity import acting
from victor_engine.reserved import RUN, SECRETS
from victor_engine.run_instant import instant_in, instant_of_fire
from victor_engine.runs import run_plans
from victor_engine.runs.commands import Cancel, Discard, Override, Pause, Redrive, Resume, Retry
from victor_engine.runs.conflicts import refuse_question
from victor_engine.scheduling import schedule_commands
from victor_engine.scheduling.timezones import get_zone
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import retention, runs, start_keys
from victor_engine.store.repositories.run_rows import RunRef, pinned
from victor_engine.store.runs import NewRun, insert_run
from victor_engine.store.state import given_state
from victor_engine.versioning import catalog

MOST_KEY = 200
"""Maximum characters of the key of a start."""


class _StartedBefore(Exception):
    """An earlier call started a run with the same key."""

    def __init__(self, run_id: str, workflow: str) -> None:
        self.run_id = run_id
        self.workflow = workflow


class RunService:
    """The actions on runs."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        current: CurrentWorkspace,
        execution: Execution,
        queries: RunQueries,
    ) -> None:
        self._store = store
        self._clock = clock
        self._current = current
        self._runtime = execution.runtime
        self._pruner = execution.pruner
        self._starting = execution.starting
        self._queries = queries

    async def _ref(self, run_id: str) -> RunRef:
        return await self._store.read(lambda connection: queries.run_ref(connection, run_id))

    def _expect(
        self,
        plan: str | None,
        command: RunPlanCommand,
        version: str | None = None,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
    ) -> run_plans.Expect | None:
        if plan is None:
            return None
        now = self._clock.now()
        return run_plans.expect(plan, command, now, version=version, from_node=from_node, state=state)

    async def start_run(
        self,
        workflow: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        nominal: datetime | None = None,
        key: str = "",
    ) -> RunInfo:
        self._current.require_trust()
        if len(key) > MOST_KEY:
            raise UsageError(f"start_run: the key is longer than {MOST_KEY} characters")
        actor = acting()
        instant = {} if nominal is None else self._instant(nominal)

        def plan(tx: Tx) -> NewRun:
            if key:
                tx.apart()
                if (known := start_keys.run_of(tx, actor.uid, key)) is not None:
                    raise _StartedBefore(*known)
            schedule_commands.refuse_while_draining(tx)
            start = self._starting.resolve(tx, workflow, version)
            return NewRun(
                start_key=key,
                workflow=workflow,
                definition_id=start.definition_id,
                start_node=start.node,
                choice=start.choice,
                inputs=start.inputs,
                state=self._current.masked(state or {}),
                trigger="manual",
                actor=actor,
                note=note,
                nominal_us=None if nominal is None else to_us(nominal),
                instant=instant,
            )

        try:
            created = await self._runtime.create(plan)
        except _StartedBefore as before:
            if before.workflow != workflow:
                raise ConflictError(
                    f"the key {key!r} started run {before.run_id} of {before.workflow}; use another key for {workflow}"
                ) from None
            return await self._queries.info(before.run_id)
        definition_id = created.new.definition_id
        pace = self._queries.paces.remembered(definition_id, self._clock.now())
        known = self._runtime.loader.known_definition(definition_id)
        if pace is None or known is None or created.noticed:
            return await self._queries.info(created.id)
        return queries.new_run_info(created, known[1], pace)

    def _instant(self, nominal: datetime) -> dict[str, Any]:
        """Return the instant of a manual run, in the default time zone of schedules."""
        if nominal.tzinfo is None:
            raise UsageError("the nominal time needs a time zone, such as 2026-03-08T02:30+01:00")
        zone = get_zone(self._current.loaded.config.scheduler.defaults.timezone)
        return instant_of_fire(nominal, zone, None, trigger="manual", schedule=None)

    async def cancel_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        expect = self._expect(plan, "cancel")
        ref = await self._ref(run_id)
        await self._runtime.command(Cancel(ref.id, note), acting(), expect)
        return await self._queries.info(ref.id)

    async def pause_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        expect = self._expect(plan, "pause")
        ref = await self._ref(run_id)
        await self._runtime.command(Pause(ref.id, note), acting(), expect)
        return await self._queries.info(ref.id)

    async def resume_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        expect = self._expect(plan, "resume")
        ref = await self._ref(run_id)
        await self._runtime.command(Resume(ref.id, note), acting(), expect)
        return await self._queries.info(ref.id)

    async def retry_run(
        self, run_id: str, note: str = "", plan: str | None = None, restart_children: bool = False
    ) -> RunInfo:
        expect = self._expect(plan, "retry")
        ref = await self._ref(run_id)
        await self._runtime.command(Retry(ref.id, note, restart_children), acting(), expect)
        return await self._queries.info(ref.id)

    async def redrive_run(
        self,
        run_id: str,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
        version: str | None = None,
        revision: int | None = None,
        note: str = "",
        rewind: bool = False,
        plan: str | None = None,
        restart_children: bool = False,
    ) -> RunInfo:
        self._current.require_trust()
        expect = self._expect(plan, "redrive", version, from_node, state)
        if expect is not None and rewind:
            raise UsageError("`rewind` cannot be combined with a plan; use it without a plan")
        ref = await self._ref(run_id)
        await self._runtime.command(
            Redrive(
                ref.id,
                from_node=from_node,
                state=self._current.masked(state),
                rewind=rewind,
                version=version,
                revision=revision,
                note=note,
                restart_children=restart_children,
            ),
            acting(),
            expect,
        )
        return await self._queries.info(ref.id)

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        plan: str | None = None,
    ) -> RunInfo:
        self._current.require_trust()
        expect = self._expect(plan, "rerun", version, state=state)
        ref = await self._ref(run_id)
        refuse_question(ref.id, ref.workflow)
        actor = acting()

        def transition(tx: Tx) -> tuple[int, str, int]:
            if expect is not None:
                expect(tx, runs.lock(tx, ref.key))
            definition_id, priority = pinned(tx, ref.key)
            if version is None:
                catalog.refuse_removed(tx, definition_id)
                start = self._starting.start(tx, definition_id)
            else:
                start = self._starting.resolve(tx, ref.workflow, version)
            before = jsonio.loads(given_state(tx, ref.key))
            instant = instant_in(before)
            given, secrets = _given_again(before, self._current.masked(state))
            new = NewRun(
                workflow=ref.workflow,
                definition_id=start.definition_id,
                start_node=start.node,
                choice=start.choice,
                inputs=start.inputs,
                state=given,
                secrets=secrets,
                instant=instant,
                trigger="rerun",
                actor=actor,
                parent_key=ref.key,
                priority=priority,
                note=note,
            )
            return (*insert_run(tx, new), priority)

        _, new_id, _ = await committed(
            self._store.write(transition), lambda run: self._runtime.enqueue(run[0], run[2])
        )
        return await self._queries.info(new_id)

    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        ref = await self._ref(run_id)
        wanted = NodeOverride(node_id, timeout, max_attempts)
        await self._runtime.command(Override(ref.id, wanted, retry_now, note), acting())
        return await self._queries.info(ref.id)

    async def discard_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        expect = self._expect(plan, "discard")
        ref = await self._ref(run_id)
        await self._runtime.command(Discard(ref.id, note), acting(), expect)
        return await self._queries.info(ref.id)

    async def confirm_retention(self, digest: str) -> RetentionInfo:
        actor, rules = acting(), self._current.loaded.config.retention
        if rules.digest != digest:
            raise ConflictError(
                "the rules of retention have changed; look at them again: victor db prune --dry-run",
                rules=list(rules.texts),
            )
        if not rules.deletes:
            raise ConflictError(
                "the rules of retention keep everything, so there is nothing to confirm; write rules with days or count "
                "into retention of victor.yaml"
            )

        def confirm(tx: Tx) -> None:
            retention.confirm(tx, digest, actor.user)
            tx.event(EventKind.RETENTION_CONFIRMED, actor=actor, data={"rules": list(rules.texts)})

        await committed(self._store.write(confirm), lambda _: self._pruner.changed())
        return await self._queries.retention()


def _given_again(
    before: dict[str, Any], wanted: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of a rerun, and the references to secrets of the keys that did not change."""
    secrets = before.pop(SECRETS, {})
    before.pop(RUN, None)
    if wanted is None:
        return before, secrets
    state = {
        key: value for key, value in wanted.items() if key != RUN and (key != SECRETS or value != secrets)
    }
    return state, {key: places for key, places in secrets.items() if state.get(key) == before.get(key)}
