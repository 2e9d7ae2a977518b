"""The actions on the files of a workspace: read them again, plan and make a deployment, trust their content."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from victor_engine.api import Actor, DeploymentInfo, DeploymentPlan, ProblemInfo, TrustInfo
from victor_engine.clock import Clock
from victor_engine.config.content import Content
from victor_engine.config.trust_rules import Verdict
from victor_engine.engine.content_trust import (
    give_trust,
    recorded_text,
    refusal,
    trust_info,
    untrusted,
)
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.deployments import apply_valid, deploy, prepare
from victor_engine.engine.execution import Execution
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import UntrustedError, VictorError
from victor_engine.events import EventKind
from victor_engine.identity import acting
from victor_engine.store.db import Store

log = logging.getLogger(__name__)


class WorkspaceFiles:
    """The files of the workspace of one engine, and the actions that put them into use."""

    def __init__(self, store: Store, clock: Clock, current: CurrentWorkspace, execution: Execution) -> None:
        self._store = store
        self._clock = clock
        self._current = current
        self._execution = execution
        self.on_used: Callable[[], Awaitable[None]] | None = None
        """Called after a load was put into use."""
        self.notices: list[str] = []
        """Sentences about the start for its operator."""
        self.not_applied: ProblemInfo | None = None
        """Why `watch: apply` did not deploy the files; None if it did, or does not apply them."""

        self._notes: dict[str, ProblemInfo] = {}

    def note(self, setting: str, problem: ProblemInfo | None) -> None:
        """Report why a setting of the configuration has no effect; None if it has."""
        self._notes.pop(setting, None)
        if problem is not None:
            self._notes[setting] = problem

    def open_problems(self) -> tuple[ProblemInfo, ...]:
        """Return why `watch: apply` did not deploy the files, and why settings have no effect."""
        applied = () if self.not_applied is None else (self.not_applied,)
        return (*applied, *self._notes.values())

    async def apply_at_start(self) -> DeploymentInfo | None:
        return await apply_valid(self._store, self._current.loaded, "start")

    async def record_first_content(self) -> None:
        """Record the content of a workspace that was trusted by its path. An error does not prevent the start."""
        workspace = self._current.loaded
        if not workspace.judgement.verdict.first:
            return
        try:
            await asyncio.to_thread(self._give, workspace, "", checked=False)
        except VictorError as error:
            self.notices.append(f"the trusted content could not be recorded: {error.message}")
            return
        await self._trust_event(None, workspace, recorded=True)
        self.notices.append(recorded_text(workspace))

    async def reload(self) -> list[ProblemInfo]:
        """Read the workspace again. Active runs keep their definitions.

        Raise UntrustedError if the workspace is trusted and something of its new content is not.
        """
        async with self._current.loading:
            return await self._reload()

    async def _reload(self) -> list[ProblemInfo]:
        workspace = await self._current.load()
        found = untrusted(workspace)
        if found and self._current.trusted:
            await workspace.bindings.close()
            raise UntrustedError(f"the files were not taken into use: {found[0].message}. {found[0].remedy}")
        await apply_valid(self._store, workspace, "reload")
        await self._use(workspace)
        return list(workspace.problems)

    async def plan(self, undo: bool) -> DeploymentPlan:
        async with self._current.loading:
            workspace = await self._current.load()
        now = self._clock.now()
        found = await self._store.read(lambda connection: prepare(connection, workspace, now, undo=undo))
        await workspace.bindings.close()
        return found.plan

    async def apply_changes(self) -> None:
        """Deploy the changes of the files, read once, for `watch: apply`. Undone changes stay back.

        Raise DeploymentError if a file has an error, and UntrustedError if one is not trusted.
        """
        async with self._current.loading:
            workspace, now = await self._current.load(), self._clock.now()
            found = await self._store.read(lambda connection: prepare(connection, workspace, now))
            plan = found.plan
            same = workspace.judgement.content.digest == self._current.loaded.judgement.content.digest
            if plan.undone or (same and not plan.changes and not plan.errors):
                await workspace.bindings.close()
                return
            if plan.changes or plan.errors or plan.untrusted:
                try:
                    await deploy(self._store, workspace, now, plan.plan or None, undo=False, how="watch")
                except BaseException:
                    await workspace.bindings.close()
                    raise
            await self._use(workspace)

    async def deploy(self, plan: str | None, undo: bool) -> DeploymentInfo:
        async with self._current.loading:
            workspace = await self._current.load()
            info = await deploy(self._store, workspace, self._clock.now(), plan, undo=undo)
            if untrusted(workspace) and self._current.trusted:
                await workspace.bindings.close()  # an undo needs no files
            else:
                await self._use(workspace)
        return info

    async def trust(self, content: str) -> TrustInfo:
        """Trust the content of the files. An engine whose workspace was not trusted starts its work.

        `content` is the digest of the content that was shown; empty for the present one. The trust of a service is
        given in the list of the administrator, which is only read again here. A deployment puts files in force that
        changed on a trusted workspace.
        """
        actor, before = acting(), self._current.loaded.judgement
        async with self._current.loading:
            workspace = await self._current.load()
            judgement = workspace.judgement
            await workspace.bindings.close()
            if judgement.place.service:
                if not judgement.verdict.complete:
                    raise refusal(self._current.path, judgement)
            else:
                await asyncio.to_thread(self._give, workspace, content)
            if before.verdict.trusted:
                self._accept(judgement.content)
            else:
                await self._reload()
            if not before.verdict.complete or before.content.digest != judgement.content.digest:
                await self._trust_event(actor, workspace)
        if self._current.trusted and not self._execution.working:
            await self._execution.start()
        return await self.trust_info()

    def _accept(self, content: Content) -> None:
        """Start commands with files that are trusted now, and report those that were left out no more."""
        loaded = self._current.loaded
        left_out = untrusted(loaded)
        loaded.problems = [problem for problem in loaded.problems if problem not in left_out]
        loaded.judgement = replace(loaded.judgement, verdict=Verdict(True))
        if loaded.bindings.guard is not None:
            loaded.bindings.guard.trust(content)

    async def trust_info(self) -> TrustInfo:
        """Read the files, and return their content and its changes since the last yes."""
        async with self._current.loading:
            workspace = await self._current.load()
        await workspace.bindings.close()
        return trust_info(workspace)

    def _give(self, workspace: Workspace, content: str, *, checked: bool = True) -> None:
        give_trust(
            workspace,
            content,
            by=acting().shown,
            at=self._clock.now().isoformat(timespec="seconds"),
            checked=checked,
        )

    async def _trust_event(
        self, actor: Actor | None, workspace: Workspace, *, recorded: bool = False
    ) -> None:
        data = {
            "workspace": str(self._current.path),
            "content": workspace.judgement.content.digest,
            **({"recorded": True} if recorded else {}),
        }
        await self._store.write(lambda tx: tx.event(EventKind.WORKSPACE_TRUSTED, actor=actor, data=data))

    async def _use(self, workspace: Workspace) -> None:
        """Put a loaded workspace into use. Its versions and schedules are committed."""
        old = self._current.replace(workspace)
        self._execution.starting.bindings_changed()
        self._execution.start_task(old.bindings.close())
        await self._store.write(
            lambda tx: tx.event(
                EventKind.WORKSPACE_LOADED,
                actor=acting(),
                data={"workflows": len(workspace.workflows), "problems": len(workspace.problems)},
            )
        )
        await self._execution.workspace_changed()
        if self.on_used is not None:
            await self.on_used()
