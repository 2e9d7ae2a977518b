"""What an operator does to runs, the same on every screen that shows them: keys, conditions, dialogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding, BindingType

from victor_engine.api import RunCommand, RunInfo, RunStatus, refusal
from victor_engine.errors import VictorError
from victor_tui.screens.run_cells import now_cell
from victor_tui.text import clean, plural

if TYPE_CHECKING:
    from victor_tui.console import Console


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
            action,
            title,
            id=f"{place}.{_IDS.get(action, action)}",
            tooltip=tooltip,
            show=action in shown,
        )
        for key, action, title, tooltip in _KEYS
        if action not in without
    ]


_DONE = {
    "cancel": "Cancelling {}.",
    "kill": "What {} started is ended by force.",
    "pause": "{} is held before its next node.",
    "resume": "{} goes on.",
    "retry": "{} tries again.",
}


class RunControl:
    """Mixed into a screen. `chosen_runs` are the runs that the keys act on, marked ones first."""

    if TYPE_CHECKING:  # the screen has it

        @property
        def console(self) -> Console: ...

    def chosen_runs(self) -> Sequence[RunInfo]:
        return ()

    def chosen_node(self) -> str | None:
        """The node that is looked at, if one is."""
        return None

    def after_control(self) -> None:
        """Something was done to the runs."""

    def control_allowed(self, action: str) -> bool | None:
        """For `check_action`: whether a key of this mixin does something now; None if it is another's."""
        if action not in ALLOWED:
            return None
        return any(ALLOWED[action](run) for run in self.chosen_runs())

    def _fit(self, action: str) -> list[RunInfo]:
        return [run for run in self.chosen_runs() if ALLOWED[action](run)]

    # --- stop, hold, go on -----------------------------------------------------------------------

    def action_cancel(self) -> None:
        self._all(
            "cancel", "What it started is ended, with all its processes; after a grace period by force."
        )

    def action_kill(self) -> None:
        self._all("kill", "What it started and still runs is ended by force now, and cannot clean up.")

    def action_pause(self) -> None:
        self._all("pause")

    def action_resume(self) -> None:
        self._all("resume")

    def action_retry(self) -> None:
        self._all("retry", "It goes on from where it stopped; finished nodes stay.")

    @work(group="action")
    async def _all(self, action: str, words: str = "") -> None:
        """Do it to the chosen runs for which it makes sense; `words` are asked about first."""
        runs, console = self._fit(action), self.console
        port = console.port
        does: dict[str, Callable[..., Awaitable[RunInfo]]] = {
            "cancel": port.cancel_run,
            "kill": port.cancel_run,
            "pause": port.pause_run,
            "resume": port.resume_run,
            "retry": port.retry_run,
        }
        if len(runs) > 1:
            await self._many(runs, action.capitalize(), words, does[action])
        elif runs:
            note: str | None = ""
            if words:
                what = self._what(runs[0])
                note = await console.dialogs.confirm(
                    f"{action.capitalize()} run {runs[0].id}?", f"{what}\n{words}"
                )
            if note is not None:
                await console.perform(does[action](runs[0].id, note), _DONE[action].format(runs[0].id))
        self.after_control()

    def _what(self, run: RunInfo) -> str:
        """The run in a line: what is about to be acted on is said before it is."""
        now = self.console.clock.now()
        return clean(f"{run.workflow} {run.version}, {run.status}: {now_cell(run, now)[0]}")

    # --- do it again -------------------------------------------------------------------------------

    def action_compare(self) -> None:
        self._compare()

    @work(group="action")
    async def _compare(self) -> None:
        from victor_tui.screens.compare import CompareScreen

        runs = list(self.chosen_runs())
        if len(runs) > 2:
            self.console.notify("Mark two runs to compare them.", severity="warning", markup=False)
        elif len(runs) == 2:
            runs.sort(key=lambda run: run.created_at)
            self.console.push_screen(CompareScreen(runs[1], runs[0].id))
        elif runs:
            self.console.push_screen(CompareScreen(runs[0]))

    def action_dead_letters(self) -> None:
        self.console.navigator.open_dead_letters()

    def action_redrive(self) -> None:
        self._redrive()

    @work(group="action")
    async def _redrive(self) -> None:
        from victor_tui.dialogs.redrive import RedriveDialog

        runs, console = self._fit("redrive"), self.console
        if len(runs) > 1:
            await self._many(
                runs,
                "Redrive",
                "Each goes on from where it stopped, with its state as it is.",
                console.port.redrive_run,
            )
        elif runs:
            try:
                detail = await console.port.run(runs[0].id)
            except VictorError as error:
                console.report(error)
                return
            found = await console.push_screen_wait(RedriveDialog(detail, self.chosen_node()))
            if found is not None:
                console.notify(clean(f"{found.id} goes on."), timeout=4, markup=False)
        self.after_control()

    def action_rerun(self) -> None:
        self._rerun()

    @work(group="action")
    async def _rerun(self) -> None:
        runs, console = self._fit("rerun"), self.console
        if len(runs) > 1:
            await self._many(
                runs, "Rerun", "A new run for each, with the same input and version.", console.port.rerun
            )
        elif runs:
            await self._rerun_one(runs[0])
        self.after_control()

    async def _rerun_one(self, run: RunInfo) -> None:
        from victor_tui.dialogs.rerun import RerunDialog

        console = self.console
        try:
            detail = await console.port.run(run.id)
        except VictorError as error:
            console.report(error)
            return
        new = await console.push_screen_wait(RerunDialog(detail))
        if new is not None:
            console.notify(clean(f"{new.id} is a rerun of {run.id}."), timeout=4, markup=False)

    def action_discard(self) -> None:
        self._discard()

    @work(group="action")
    async def _discard(self) -> None:
        runs, console = self._fit("discard"), self.console
        words = "It stays failed and in the history; nobody is asked to deal with it any more."
        if len(runs) > 1:
            await self._many(runs, "Discard", words, console.port.discard_run)
        elif runs:
            note = await console.dialogs.confirm(f"Discard run {runs[0].id}?", words)
            if note is not None:
                await console.perform(
                    console.port.discard_run(runs[0].id, note), f"{runs[0].id} is off the list."
                )
        self.after_control()

    def action_override(self) -> None:
        self._override()

    @work(group="action")
    async def _override(self) -> None:
        from victor_tui.dialogs.override import OverrideDialog

        runs, console = self._fit("override"), self.console
        if not runs:
            return
        try:
            detail = await console.port.run(runs[0].id)
        except VictorError as error:
            console.report(error)
            return
        found = await console.push_screen_wait(OverrideDialog(detail, self.chosen_node()))
        if found is not None:
            console.notify("Set for this run.", timeout=4, markup=False)
        self.after_control()

    async def _many(
        self, runs: Sequence[RunInfo], verb: str, words: str, action: Callable[..., Awaitable[RunInfo]]
    ) -> None:
        names = "\n".join(f"{clean(run.workflow)} {run.id}" for run in runs[:6])
        more = f"\nand {len(runs) - 6} more" if len(runs) > 6 else ""
        await self.do_to_all([run.id for run in runs], verb, f"{names}{more}\n\n{words}", action)

    async def do_to_all(
        self, ids: Sequence[str], verb: str, words: str, action: Callable[..., Awaitable[RunInfo]]
    ) -> None:
        """Ask once, then do it to each run and show what became of it. Needs a worker."""
        from victor_tui.dialogs.bulk import BulkDialog

        console = self.console
        title = f"{verb} {plural(len(ids), 'run')}"
        note = await console.dialogs.confirm(f"{title}?", words)
        if note is not None:
            await console.push_screen_wait(BulkDialog(title, ids, lambda run_id: action(run_id, note=note)))
