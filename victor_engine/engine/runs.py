"""The actions of the port on runs."""

from __future__ import annotations

from typing import Any

from victor_engine import jsonio
from victor_engine.api import NodeOverride, RunInfo
from victor_engine.engine.base import EngineBase
from victor_engine.identity import acting
from victor_engine.reserved import SECRETS
from victor_engine.runtime.stopwatch import committed
from victor_engine.scheduler import operations
from victor_engine.store import queries
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, Start, insert_run
from victor_engine.store.state import given_state
from victor_engine.versioning import catalog


class RunActions(EngineBase):
    """Start, cancel, pause, resume, retry, redrive, rerun, discard, and what is set while it retries."""

    async def _run_info(self, run_id: str) -> RunInfo:
        return await self._read(queries.run_info, run_id, self.clock.now(), self._paces)

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._may_run()
        actor = acting()

        def plan(tx: Tx) -> NewRun:
            operations.refuse_while_draining(tx)
            start = self._resolve(tx, workflow, version)
            return NewRun(
                workflow=workflow,
                definition_id=start.definition_id,
                start_node=start.node,
                choice=start.choice,
                state=self._masked(state or {}),
                trigger="manual",
                actor=actor,
                note=note,
            )

        created = await self.runtime.create(plan)
        definition_id = created.new.definition_id
        pace = self._paces.remembered(definition_id, self.clock.now())
        known = self.runtime.records.known_definition(definition_id)
        if pace is None or known is None or created.noticed:
            return await self._run_info(created.id)
        return queries.new_run_info(created, known[1], pace)

    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.cancel(ref, acting(), note)
        return await self._run_info(ref.id)

    async def pause_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.pause(ref, acting(), note)
        return await self._run_info(ref.id)

    async def resume_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.resume(ref, acting(), note)
        return await self._run_info(ref.id)

    async def retry_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.retry(ref, acting(), note)
        return await self._run_info(ref.id)

    async def redrive_run(
        self,
        run_id: str,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
        version: str | None = None,
        revision: int | None = None,
        note: str = "",
        rewind: bool = False,
    ) -> RunInfo:
        self._may_run()
        ref = await self._ref(run_id)
        await self.runtime.redrive(
            ref,
            acting(),
            from_node=from_node,
            state=self._masked(state),
            resolve=None
            if version is None
            else lambda tx: self._resolve(tx, ref.workflow, version).definition_id,
            revision=revision,
            note=note,
            rewind=rewind,
            load=self._load_function(),
        )
        return await self._run_info(ref.id)

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
    ) -> RunInfo:
        self._may_run()
        ref = await self._ref(run_id)
        actor = acting()

        def transition(tx: Tx) -> tuple[int, str, int]:
            definition_id, priority = tx.execute(
                "SELECT definition_id, priority FROM runs WHERE key = ?", (ref.key,)
            ).fetchone()
            if version is None:
                catalog.refuse_removed(tx, definition_id)
                start = Start(definition_id, self._start_node(tx, definition_id))
            else:
                start = self._resolve(tx, ref.workflow, version)
            given, secrets = _given_again(jsonio.loads(given_state(tx, ref.key)), self._masked(state))
            new = NewRun(
                workflow=ref.workflow,
                definition_id=start.definition_id,
                start_node=start.node,
                choice=start.choice,
                state=given,
                secrets=secrets,
                trigger="rerun",
                actor=actor,
                parent_key=ref.key,
                priority=priority,
                note=note,
            )
            return (*insert_run(tx, new), priority)

        _, new_id, _ = await committed(
            self.store.write(transition), lambda run: self.runtime.enqueue(run[0], run[2])
        )
        return await self._run_info(new_id)

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
        await self.runtime.override(ref, acting(), wanted, retry_now=retry_now, note=note)
        return await self._run_info(ref.id)

    async def discard_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.discard(ref, acting(), note)
        return await self._run_info(ref.id)


def _given_again(
    before: dict[str, Any], wanted: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of a rerun, and the references to secrets that are still in the place of the first."""
    secrets = before.pop(SECRETS, {})
    if wanted is None:
        return before, secrets
    state = {key: value for key, value in wanted.items() if key != SECRETS or value != secrets}
    return state, {key: places for key, places in secrets.items() if state.get(key) == before.get(key)}
