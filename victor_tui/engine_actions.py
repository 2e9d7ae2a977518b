"""What an operator does to the engine as a whole: trust its workspace, reload its files, drain it."""

from __future__ import annotations

from victor_engine.api import EngineInfo
from victor_engine.errors import VictorError
from victor_tui.app_context import Console
from victor_tui.banner import draining_words
from victor_tui.text import plural


class EngineActions:
    """The actions on the engine of one application. Each needs a worker."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def ask_for_trust(self) -> None:
        """Ask whether the workspace is trusted, and trust it."""
        from victor_tui.dialogs.trust import TrustDialog

        console = self._console
        try:
            info = await console.port.trust_info()
        except VictorError as error:
            console.report(error)
            return
        if await console.push_screen_wait(TrustDialog(info)):
            await console.perform(
                console.port.trust(), "Trusted: schedules of this workspace fire from now on."
            )

    async def reload(self) -> None:
        """Read the workflow files again, and say how many problems there are."""
        console = self._console
        try:
            problems = await console.port.reload()
        except VictorError as error:
            console.report(error)
            return
        said = "no problems" if not problems else plural(len(problems), "problem") + ": see Versions"
        console.notify(f"Workflow files read again: {said}.", markup=False)
        console.feed.mark_stale("engine", "workflows", "schedules")

    async def drain(self) -> None:
        """Drain the engine, or end that, after a confirmation."""
        console = self._console
        engine: EngineInfo | None = console.feed.snapshots.get("engine")
        if engine is not None and engine.draining is not None:
            said = (
                f"{draining_words(engine, console.zone)}\n"
                "Fires of that time stay skipped; a backfill can make them up."
            )
            note = await console.dialogs.confirm("Let the engine start runs again?", said)
            if note is not None:
                await console.perform(console.port.undrain(note), "The engine starts runs again.")
        else:
            running = engine.running if engine is not None else 0
            body = (
                f"{plural(running, 'run')} will finish. Nothing new is started, over restarts too, until somebody"
                " ends it: fires are skipped with this as the reason, and what is queued waits."
            )
            note = await console.dialogs.confirm("Drain the engine?", body)
            if note is not None:
                await console.perform(console.port.drain(note), "The engine is draining.")
        console.feed.mark_stale("engine", "schedules")
