"""The commands on runs, the same on every screen that shows them: keys, conditions, dialogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from textual.binding import Binding, BindingType

from victor_engine.api import RunCommand, RunDetail, RunInfo, RunStatus, refusal
from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.runs.columns import now_cell
from victor_tui.runs.run_plans import do_to_all
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
"""Whether an action makes sense for a run. What is not allowed has no key and is not in the palette."""

_KEYS: tuple[tuple[str, str, str, str], ...] = (
    ("c", "cancel", "Cancel", "Cancel this run, or all marked ones"),
    ("c", "kill", "Kill", "End what does not want to go, at once"),
    ("p", "pause", "Pause", "Hold this run before its next node"),
    ("r", "resume", "Resume", "Let this run go on"),
    ("r", "retry", "Retry", "Try again from where it stopped"),
    ("d", "redrive", "Redrive", "Go on from any node, with another state or version"),
    ("e", "rerun", "Rerun", "A new run with the same input or another, on this version or another"),
    ("D", "discard", "Discard", "Take this failure off the list of dead letters"),
    ("m", "override", "Limits", "A node's time limit and attempts, for this run only"),
    ("C", "compare", "Compare", "Two marked runs; or this one with the last that succeeded"),
    ("x", "dead_letters", "Dead letters", "What failed for good and waits for somebody, by cause"),
)
_IDS = {"dead_letters": "dead"}


def control_bindings(place: str, *shown: str, without: Sequence[str] = ()) -> list[BindingType]:
    """The keys, with ids of their own for each screen (`place`); the footer has those actions `shown`."""
    return [
        Binding(
            key,
            f"run_command('{action}')",
            title,
            id=f"{place}.{_IDS.get(action, action)}",
            tooltip=tooltip,
            show=action in shown,
        )
        for key, action, title, tooltip in _KEYS
        if action not in without
    ]


_ASKED = {
    "cancel": "What it started is ended, with all its processes; after a grace period by force.",
    "kill": "What it started and still runs is ended by force now, and cannot clean up.",
    "retry": "It goes on from where it stopped; finished nodes stay.",
}
"""What is asked before a command. The others are done at once to a single run."""

_DONE = {
    "cancel": "Cancelling {}.",
    "kill": "What {} started is ended by force.",
    "pause": "{} is held before its next node.",
    "resume": "{} goes on.",
    "retry": "{} tries again.",
}


class RunCommands:
    """The commands on the runs that one screen has chosen.

    `runs` returns the chosen runs, marked ones first; `node` the node that is looked at, if one is;
    `done` is called after something was done to the runs.
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
        """Return whether a command does something now."""
        return command not in ALLOWED or bool(self._fit(command))

    def start(self, command: str) -> None:
        """Do a command in a worker of the screen."""
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
        """Stop the runs, hold them, or let them go on."""
        runs, console = self._fit(command), self._screen.console
        port = console.port
        does: dict[str, Callable[..., Awaitable[RunInfo]]] = {
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
                note = await console.dialogs.confirm(title, f"{self._what(runs[0])}\n{words}")
            if note is not None:
                await console.perform(does[command](runs[0].id, note), _DONE[command].format(runs[0].id))

    def _what(self, run: RunInfo) -> str:
        """The run in a line: what is about to be acted on is said before it is."""
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
        """Return all of a run, or None after the error is shown."""
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
            words = "Each goes on from where it stopped, with its state as it is."
            await self._many(runs, "redrive", words)
        elif runs and (detail := await self._detail(runs[0])) is not None:
            found = await console.push_screen_wait(RedriveDialog(detail, self._node()))
            if found is not None:
                console.notify(clean(f"{found.id} goes on."), timeout=4, markup=False)

    async def _rerun(self) -> None:
        from victor_tui.runs.rerun_dialog import RerunDialog

        runs, console = self._fit("rerun"), self._screen.console
        if len(runs) > 1:
            words = "A new run for each, with the same input and version."
            await self._many(runs, "rerun", words)
        elif runs and (detail := await self._detail(runs[0])) is not None:
            new = await console.push_screen_wait(RerunDialog(detail))
            if new is not None:
                console.notify(clean(f"{new.id} is a rerun of {runs[0].id}."), timeout=4, markup=False)

    async def _discard(self) -> None:
        runs, console = self._fit("discard"), self._screen.console
        words = "It stays failed and in the history; nobody is asked to deal with it any more."
        if len(runs) > 1:
            await self._many(runs, "discard", words)
        elif runs:
            note = await console.dialogs.confirm(f"Discard run {runs[0].id}?", words)
            if note is not None:
                action = console.port.discard_run(runs[0].id, note)
                await console.perform(action, f"{runs[0].id} is off the list.")

    async def _override(self) -> None:
        from victor_tui.runs.override_dialog import OverrideDialog

        runs, console = self._fit("override"), self._screen.console
        if runs and (detail := await self._detail(runs[0])) is not None:
            found = await console.push_screen_wait(OverrideDialog(detail, self._node()))
            if found is not None:
                console.notify("Set for this run.", timeout=4, markup=False)

    async def _many(self, runs: Sequence[RunInfo], command: str, words: str) -> None:
        await do_to_all(self._screen.console, [run.id for run in runs], command, words)
