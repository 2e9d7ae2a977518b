"""The commands on the engine: trust its workspace, reload its files, drain it."""

from __future__ import annotations

from victor_engine.api import EngineInfo
from victor_engine.errors import VictorError
from victor_tui.app_context import Console
from victor_tui.banner import draining_words
from victor_tui.text import plural


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
            await console.perform(console.port.trust(), "Workspace trusted: its schedules fire from now on.")

    async def reload(self) -> None:
        """Reload the workflow files, and show the number of problems."""
        console = self._console
        try:
            problems = await console.port.reload()
        except VictorError as error:
            console.report(error)
            return
        result = "no problems" if not problems else plural(len(problems), "problem") + ": see Versions"
        console.notify(f"Workflow files reloaded: {result}.", markup=False)
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
