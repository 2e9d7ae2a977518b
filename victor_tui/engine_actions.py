"""The commands on the engine: trust its workspace, reload its files, drain it."""

from __future__ import annotations

from victor_engine.api import DeploymentPlan, EngineInfo
from victor_engine.errors import DeploymentError, VictorError
from victor_tui.app_context import Console
from victor_tui.banner import draining_words
from victor_tui.text import plural


def _not_deployed(plan: DeploymentPlan) -> str:
    """Return the first error that prevents a deployment, with its place."""
    first = plan.errors[0]
    place = f"{first.path}:{first.line}: " if first.line else f"{first.path}: " if first.path else ""
    more = f" (and {len(plan.errors) - 1} more)" if len(plan.errors) > 1 else ""
    return f"Nothing was deployed: {place}{first.message}{more}. To list the errors, run: victor plan"


class EngineActions:
    """The commands on the engine of one application. Each needs a worker."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def ask_for_trust(self) -> None:
        """Ask for trust in the workspace, and set it."""
        from victor_tui.dialogs.trust import TrustDialog

        console = self._console
        try:
            info = await console.port.trust_info()
        except VictorError as error:
            console.report(error)
            return
        if await console.push_screen_wait(TrustDialog(info)):
            await console.perform(
                console.port.trust(info.content), "Workspace trusted: its schedules fire from now on."
            )

    async def reload(self) -> None:
        """Show the changes of the files and deploy them after a confirmation. Without changes, reload the files.

        Nothing is deployed if a file has an error.
        """
        console = self._console
        try:
            plan = await console.port.plan_deployment()
            if plan.errors:
                console.report(DeploymentError(_not_deployed(plan)))
                return
            if plan.changes:
                await self._deploy(plan)
                return
            if plan.untrusted:
                await self.ask_for_trust()
                return
            problems = await console.port.reload()
        except VictorError as error:
            console.report(error)
            return
        result = "no problems" if not problems else plural(len(problems), "problem") + ": see Versions"
        console.notify(f"Workflow files reloaded: {result}.", markup=False)
        console.feed.mark_stale("engine", "workflows", "schedules")

    async def _deploy(self, plan: DeploymentPlan) -> None:
        """Deploy exactly the changes of a plan after a confirmation."""
        console = self._console
        lines = [change.text for change in plan.changes]
        lines += [f"! {problem.message}" for problem in (*plan.problems, *plan.untrusted)]
        title = f"Deploy {plural(len(plan.changes), 'change')}?"
        if plan.untrusted:
            title = f"Trust the files, and deploy {plural(len(plan.changes), 'change')}?"
        if await console.dialogs.confirm(title, "\n".join(lines), note=False) is None:
            return
        if plan.untrusted:
            await console.port.trust(plan.content)
            if not (await console.port.plan_deployment()).changes:
                console.feed.mark_stale("engine", "workflows", "schedules")
                return  # the engine had nothing in use, and took all files into use
        done = await console.port.deploy(plan.plan)
        console.notify(
            f"Deployment {done.number}: {plural(len(done.lines), 'change')} in force.", markup=False
        )
        console.feed.mark_stale("engine", "workflows", "schedules")

    async def drain(self) -> None:
        """Drain the engine, or stop draining, after a confirmation."""
        console = self._console
        engine: EngineInfo | None = console.feed.snapshots.get("engine")
        if engine is not None and engine.draining is not None:
            body = (
                f"{draining_words(engine, console.zone)}\n"
                "Fires that were skipped stay skipped. A backfill can run them."
            )
            note = await console.dialogs.confirm("Stop draining?", body)
            if note is not None:
                await console.perform(console.port.undrain(note), "The engine starts new runs again.")
        else:
            running = engine.running if engine is not None else 0
            body = (
                f"{plural(running, 'active run')} will finish. No new runs start, also after a restart, until you stop"
                " draining. Fires are skipped with this note as the reason; queued runs wait."
            )
            note = await console.dialogs.confirm("Drain the engine?", body)
            if note is not None:
                await console.perform(console.port.drain(note), "The engine is draining.")
        console.feed.mark_stale("engine", "schedules")
