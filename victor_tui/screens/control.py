"""What an operator does to runs, the same on every screen that shows them: keys, conditions, dialogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast

from textual import work
from textual.binding import Binding, BindingType

from victor_engine.api import RunInfo
from victor_engine.errors import VictorError
from victor_tui.text import clean, plural

if TYPE_CHECKING:
    from victor_tui.app import VictorApp

REDRIVEN_FROM = frozenset({"failed", "cancelled", "rejected", "paused"})
ON_ITS_WAY = frozenset({"queued", "running", "waiting", "paused"})

ALLOWED: dict[str, Callable[[RunInfo], bool]] = {
    "redrive": lambda run: run.status in REDRIVEN_FROM,
    "rerun": lambda run: True,
    "discard": lambda run: run.dead_letter,
    "override": lambda run: run.status in ON_ITS_WAY,
}
"""Whether an action makes sense for a run. What is not allowed has no key and is not in the palette."""


def control_bindings(place: str, *shown: str) -> list[BindingType]:
    """The keys, with ids of their own for each screen (`place`); the footer has those actions `shown`."""
    return [
        Binding(
            "d",
            "redrive",
            "Redrive",
            id=f"{place}.redrive",
            tooltip="Go on from any node, with another state or version",
            show="redrive" in shown,
        ),
        Binding(
            "e", "rerun", "Rerun", id=f"{place}.rerun", tooltip="A new run with the same input", show=False
        ),
        Binding(
            "D",
            "discard",
            "Discard",
            id=f"{place}.discard",
            tooltip="Take this failure off the list of dead letters",
            show=False,
        ),
        Binding(
            "m",
            "override",
            "Limits",
            id=f"{place}.override",
            tooltip="A node's time limit and attempts, for this run only",
            show=False,
        ),
        Binding(
            "x",
            "dead_letters",
            "Dead letters",
            id=f"{place}.dead",
            tooltip="What failed for good and waits for somebody, by cause",
            show="dead_letters" in shown,
        ),
    ]


class RunControl:
    """Mixed into a screen. `chosen_runs` are the runs that the keys act on, marked ones first."""

    def chosen_runs(self) -> Sequence[RunInfo]:
        return ()

    def chosen_node(self) -> str | None:
        """The node that is looked at, if one is."""
        return None

    def after_control(self) -> None:
        """Something was done to the runs."""

    @property
    def _shell(self) -> VictorApp:
        return cast("VictorApp", self.app)  # type: ignore[attr-defined]

    def control_allowed(self, action: str) -> bool | None:
        """For `check_action`: whether a key of this mixin does something now; None if it is another's."""
        if action not in ALLOWED:
            return None
        return any(ALLOWED[action](run) for run in self.chosen_runs())

    def _fit(self, action: str) -> list[RunInfo]:
        return [run for run in self.chosen_runs() if ALLOWED[action](run)]

    def action_dead_letters(self) -> None:
        from victor_tui.screens.dead import DeadScreen

        self._shell.push_screen(DeadScreen())

    def action_redrive(self) -> None:
        self._redrive()

    @work(group="action")
    async def _redrive(self) -> None:
        from victor_tui.dialogs.redrive import RedriveDialog

        runs, console = self._fit("redrive"), self._shell
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
        runs, console = self._fit("rerun"), self._shell
        if len(runs) > 1:
            await self._many(
                runs, "Rerun", "A new run for each, with the same input and version.", console.port.rerun
            )
        elif runs:
            await self._rerun_one(runs[0])
        self.after_control()

    async def _rerun_one(self, run: RunInfo) -> None:
        console = self._shell
        note = await console.confirm(
            f"Run {clean(run.workflow)} again?",
            f"A new run with the input of {run.id}, on version {clean(run.version)}.",
        )
        if note is not None:
            new = await console.perform(console.port.rerun(run.id, note=note), "")
            if new is not None:
                console.notify(clean(f"{new.id} is a rerun of {run.id}."), timeout=4, markup=False)

    def action_discard(self) -> None:
        self._discard()

    @work(group="action")
    async def _discard(self) -> None:
        runs, console = self._fit("discard"), self._shell
        words = "It stays failed and in the history; nobody is asked to deal with it any more."
        if len(runs) > 1:
            await self._many(runs, "Discard", words, console.port.discard_run)
        elif runs:
            note = await console.confirm(f"Discard run {runs[0].id}?", words)
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

        runs, console = self._fit("override"), self._shell
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

        console = self._shell
        title = f"{verb} {plural(len(ids), 'run')}"
        note = await console.confirm(f"{title}?", words)
        if note is not None:
            await console.push_screen_wait(BulkDialog(title, ids, lambda run_id: action(run_id, note=note)))
