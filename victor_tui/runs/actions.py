"""The commands on runs: their keys, conditions and dialogs. Every screen with runs uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from victor_engine.api import RunCommand, RunDetail, RunInfo, RunStatus, refusal
from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.runs.columns import now_cell
from victor_tui.runs.run_plans import apply_to_all
from victor_tui.text import clean


def accepts(run: RunInfo, command: RunCommand) -> bool:
    """Return whether the engine accepts `command` for the run as it is shown."""
    return refusal(RunStatus(run.status), command) is None


ALLOWED: dict[str, Callable[[RunInfo], bool]] = {
    "cancel": lambda run: run.status != "cancelling" and accepts(run, RunCommand.CANCEL),
    "kill": lambda run: run.status == "cancelling",
    "pause": lambda run: accepts(run, RunCommand.PAUSE),
    "resume": lambda run: accepts(run, RunCommand.RESUME),
    "retry": lambda run: accepts(run, RunCommand.RETRY),
    "redrive": lambda run: accepts(run, RunCommand.REDRIVE),
    "rerun": lambda run: True,
    "discard": lambda run: run.dead_letter,
    "override": lambda run: accepts(run, RunCommand.OVERRIDE),
    "compare": lambda run: True,
}
"""The condition of each action. An action that is not allowed has no key and is not in the palette."""

_ASKED = {
    "cancel": "Its processes are terminated, and killed after the grace period.",
    "kill": "Its processes are killed now and cannot clean up.",
    "retry": "It continues at the node where it stopped. Finished nodes are kept.",
}
"""The text of the confirmation of a command. Other commands act on a single run without one."""

_DONE = {
    "cancel": "Cancelling {}.",
    "kill": "Killing the processes of {}.",
    "pause": "{} pauses before its next node.",
    "resume": "{} resumes.",
    "retry": "Retrying {}.",
}


class RunCommands:
    """The commands on the selected runs of one screen.

    `runs` returns the selected runs: the marked runs, or the run under the cursor. `node` returns the
    selected node, or None. `done` is called after a command.
    """

    def __init__(
        self,
        screen: ConsoleScreen,
        *,
        runs: Callable[[], Sequence[RunInfo]],
        done: Callable[[], None],
        node: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._screen = screen
        self._runs = runs
        self._done = done
        self._node = node

    def allows(self, command: str) -> bool:
        """Return whether a command is available now."""
        return command not in ALLOWED or bool(self._fit(command))

    def start(self, command: str) -> None:
        """Execute a command in a worker of the screen."""
        self._screen.run_worker(self._do(command), group="action")

    async def _do(self, command: str) -> None:
        match command:
            case "dead_letters":
                self._screen.console.navigator.open_dead_letters()
                return
            case "compare":
                self._compare()
                return
            case "redrive":
                await self._redrive()
            case "rerun":
                await self._rerun()
            case "discard":
                await self._discard()
            case "override":
                await self._override()
            case _:
                await self._control(command)
        self._done()

    def _fit(self, command: str) -> list[RunInfo]:
        return [run for run in self._runs() if ALLOWED[command](run)]

    async def _control(self, command: str) -> None:
        """Cancel, pause, resume or retry the runs."""
        runs, console = self._fit(command), self._screen.console
        port = console.port
        methods: dict[str, Callable[..., Awaitable[RunInfo]]] = {
            "cancel": port.cancel_run,
            "kill": port.cancel_run,
            "pause": port.pause_run,
            "resume": port.resume_run,
            "retry": port.retry_run,
        }
        words = _ASKED.get(command, "")
        if len(runs) > 1:
            await self._many(runs, command, words)
        elif runs:
            note: str | None = ""
            if words:
                title = f"{command.capitalize()} run {runs[0].id}?"
                note = await console.dialogs.confirm(title, f"{self._summary(runs[0])}\n{words}")
            if note is not None:
                await console.perform(methods[command](runs[0].id, note), _DONE[command].format(runs[0].id))

    def _summary(self, run: RunInfo) -> str:
        """Return one line about a run for the confirmation."""
        now = self._screen.now()
        return clean(f"{run.workflow} {run.version}, {run.status}: {now_cell(run, now)[0]}")

    def _compare(self) -> None:
        from victor_tui.runs.compare_screen import CompareScreen

        runs, console = list(self._runs()), self._screen.console
        if len(runs) > 2:
            console.notify("Mark two runs to compare them.", severity="warning", markup=False)
        elif len(runs) == 2:
            runs.sort(key=lambda run: run.created_at)
            console.push_screen(CompareScreen(runs[1], runs[0].id))
        elif runs:
            console.push_screen(CompareScreen(runs[0]))

    async def _detail(self, run: RunInfo) -> RunDetail | None:
        """Return the details of a run, or None after it showed the error."""
        console = self._screen.console
        try:
            return await console.port.run(run.id)
        except VictorError as error:
            console.report(error)
            return None

    async def _redrive(self) -> None:
        from victor_tui.runs.redrive_dialog import RedriveDialog

        runs, console = self._fit("redrive"), self._screen.console
        if len(runs) > 1:
            words = "Each run continues at the node where it stopped, with its current state."
            await self._many(runs, "redrive", words)
        elif runs and (detail := await self._detail(runs[0])) is not None:
            found = await console.push_screen_wait(RedriveDialog(detail, self._node()))
            if found is not None:
                console.notify(clean(f"Redrove {found.id}."), timeout=4, markup=False)

    async def _rerun(self) -> None:
        from victor_tui.runs.rerun_dialog import RerunDialog

        runs, console = self._fit("rerun"), self._screen.console
        if len(runs) > 1:
            words = "A new run starts for each, with the same input and version."
            await self._many(runs, "rerun", words)
        elif runs and (detail := await self._detail(runs[0])) is not None:
            new = await console.push_screen_wait(RerunDialog(detail))
            if new is not None:
                console.notify(clean(f"{new.id} is a rerun of {runs[0].id}."), timeout=4, markup=False)

    async def _discard(self) -> None:
        runs, console = self._fit("discard"), self._screen.console
        words = "It stays failed and in the history, and leaves the list of dead letters."
        if len(runs) > 1:
            await self._many(runs, "discard", words)
        elif runs:
            note = await console.dialogs.confirm(f"Discard run {runs[0].id}?", words)
            if note is not None:
                action = console.port.discard_run(runs[0].id, note)
                await console.perform(action, f"Discarded {runs[0].id}.")

    async def _override(self) -> None:
        from victor_tui.runs.override_dialog import OverrideDialog

        runs, console = self._fit("override"), self._screen.console
        if runs and (detail := await self._detail(runs[0])) is not None:
            found = await console.push_screen_wait(OverrideDialog(detail, self._node()))
            if found is not None:
                console.notify("Limits set for this run.", timeout=4, markup=False)

    async def _many(self, runs: Sequence[RunInfo], command: str, words: str) -> None:
        await apply_to_all(self._screen.console, [run.id for run in runs], command, words)
