"""What is done to schedules: to the marked ones, else to the one under the cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from textual import work

from victor_engine.api import ScheduleInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.results import Result, ResultsDialog
from victor_tui.screens.base import TableScreen
from victor_tui.text import clean, full, plural, schedule_name
from victor_tui.widgets.table import LineTable

_NAMED = 12
"""Schedules that a dialog names before it only counts them."""


def name_of(schedule: ScheduleInfo) -> str:
    return schedule_name(schedule.id, schedule.spec.workflow)


def listing(schedules: Sequence[ScheduleInfo], say: Callable[[ScheduleInfo], str] | None = None) -> str:
    """A line for each, with what there is to say of it."""
    lines = [f"{name_of(each)}{': ' + say(each) if say else ''}" for each in schedules[:_NAMED]]
    if len(schedules) > _NAMED:
        lines.append(f"and {len(schedules) - _NAMED:,} more")
    return "\n".join(clean(line) for line in lines)


class ScheduleActions(TableScreen):
    """The actions of the Schedules screen."""

    @property
    def table(self) -> LineTable[ScheduleInfo]:
        found: LineTable[ScheduleInfo] = self.query_one("#schedules", LineTable)
        return found

    def targets(self) -> list[ScheduleInfo]:
        """The marked schedules, else the one under the cursor."""
        current: ScheduleInfo | None = self.current
        return self.table.marked_rows or ([current] if current is not None else [])

    async def on_each(
        self,
        schedules: Sequence[ScheduleInfo],
        act: Callable[[ScheduleInfo], Awaitable[Any]],
        title: str,
        done: Callable[[ScheduleInfo], str],
    ) -> None:
        """Do it to each of them. Of several, say in a dialog what became of each; failed ones stay marked."""
        if len(schedules) == 1:
            await self.console.perform(act(schedules[0]), done(schedules[0]))
            self.console.feed.mark_stale("schedules")
            return
        results, failed = [], []
        for schedule in schedules:
            try:
                await act(schedule)
            except VictorError as error:
                results.append(Result(name_of(schedule), error.message))
                failed.append(schedule.id)
            else:
                results.append(Result(name_of(schedule)))
        self.table.set_marks(failed)
        self.console.feed.mark_stale("schedules")
        await self.app.push_screen_wait(ResultsDialog(title, results))

    # --- is there something to do it to ---------------------------------------------------------

    _NEEDS_ROW = frozenset(
        {"trigger", "pause", "resume", "edit", "skip", "remove", "runs", "why", "backfill"}
    )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in self._NEEDS_ROW:
            return True
        targets = self.targets() if self.is_mounted else []
        if not targets:
            return False
        if action == "pause":
            return any(schedule.paused is None for schedule in targets)
        if action == "resume":
            return any(schedule.paused is not None for schedule in targets)
        if action == "skip":
            return any(_can_skip(schedule) for schedule in targets)
        return True

    # --- actions --------------------------------------------------------------------------------

    @work(group="action")
    async def action_trigger(self) -> None:
        targets = self.targets()
        if len(targets) > 1:
            body = listing(targets) + "\nEach starts with its own initial state."
            note = await self.console.dialogs.confirm(f"Start a run of {len(targets)} schedules now?", body)
            if note is not None:
                await self.on_each(
                    targets,
                    lambda each: self.port.trigger_schedule(each.id, None, note),
                    "Trigger",
                    lambda each: f"Started a run of {name_of(each)}.",
                )
            return
        from victor_tui.dialogs.trigger import TriggerDialog

        schedule = targets[0]
        dialog = TriggerDialog(schedule.spec.workflow, schedule.spec.initial_state)
        found = await self.app.push_screen_wait(dialog)
        if found is not None:
            state, words = found
            action = self.port.trigger_schedule(schedule.id, state, words)
            run = await self.console.perform(action, f"Started a run of {name_of(schedule)}.")
            if run is not None:
                self.console.navigator.open_run(run.id)

    @work(group="action")
    async def action_pause(self) -> None:
        from victor_tui.dialogs.pause import PauseDialog

        targets = [each for each in self.targets() if each.paused is None]
        many = len(targets) > 1
        title = f"Pause {len(targets)} schedules" if many else f"Pause {name_of(targets[0])}"
        names = tuple(name_of(each) for each in targets) if many else ()
        found = await self.app.push_screen_wait(PauseDialog(title, names=names))
        if found is None:
            return
        note, until = found

        def said(schedule: ScheduleInfo) -> str:
            return f"Paused {name_of(schedule)}{self._until(until)}."

        await self.on_each(
            targets,
            lambda each: self.port.pause_schedule(each.id, note, until),
            f"Pause{self._until(until)}",
            said,
        )

    def _until(self, until: datetime | None) -> str:
        return f" until {full(until, self.console.zone)}" if until is not None else ""

    @work(group="action")
    async def action_resume(self) -> None:
        targets = [each for each in self.targets() if each.paused is not None]
        note = ""
        if len(targets) > 1:
            asked = await self.console.dialogs.confirm(f"Resume {len(targets)} schedules?", listing(targets))
            if asked is None:
                return
            note = asked
        await self.on_each(
            targets,
            lambda each: self.port.resume_schedule(each.id, note),
            "Resume",
            lambda each: f"{name_of(each)} fires again.",
        )

    @work(group="action")
    async def action_new(self) -> None:
        from victor_tui.dialogs.schedule import ScheduleDialog

        found = await self.app.push_screen_wait(ScheduleDialog(None))
        if found is not None:
            spec, note, _ = found
            added = await self.console.perform(self.port.add_schedule(spec, note), "")
            if added is not None:
                said = "Scheduled" if added.created else "There was already such a schedule of"
                self.console.notify(clean(f"{said} {spec.workflow}."), timeout=4, markup=False)
            self.console.feed.mark_stale("schedules")

    @work(group="action")
    async def action_edit(self) -> None:
        from victor_tui.dialogs.schedule import ScheduleDialog

        schedule: ScheduleInfo = self.current
        found = await self.app.push_screen_wait(ScheduleDialog(schedule.spec, schedule.id))
        if found is not None and found[0] != schedule.spec:
            action = self.port.edit_schedule(schedule.id, *found)
            await self.console.perform(action, f"Changed {name_of(schedule)}.")
            self.console.feed.mark_stale("schedules")

    @work(group="action")
    async def action_skip(self) -> None:
        targets = [each for each in self.targets() if _can_skip(each)]

        def when(schedule: ScheduleInfo) -> str:
            fire = schedule.next_fire
            return full(fire, self.console.zone) if fire else "the next fire"

        if len(targets) > 1:
            title, body = f"Skip the next fire of {len(targets)} schedules?", listing(targets, when)
        else:
            title = f"Skip the next fire of {name_of(targets[0])}?"
            body = f"{when(targets[0])} will not start a run."
        note = await self.console.dialogs.confirm(title, body)
        if note is not None:
            await self.on_each(
                targets,
                lambda each: self.port.skip_next(each.id, note),
                "Skip the next fire",
                lambda each: f"The next fire of {name_of(each)} is skipped.",
            )

    @work(group="action")
    async def action_remove(self) -> None:
        targets = self.targets()
        declared = [each for each in targets if each.origin == "file"]
        active = sum(each.active_runs for each in targets)
        if len(targets) > 1:
            title, body = f"Remove {len(targets)} schedules?", listing(targets, lambda each: each.summary)
        else:
            title, body = f"Remove the schedule {name_of(targets[0])}?", targets[0].summary
        body += f"\n{plural(active, 'active run')} will go on; history stays."
        if len(declared) == 1:
            body += (
                f"\n{name_of(declared[0])} is declared in {declared[0].path}: change that too, or reading it"
                " adds it again."
            )
        elif declared:
            body += (
                f"\n{len(declared)} are declared in files: change those too, or reading them adds them again."
            )
        note = await self.console.dialogs.confirm(title, body)
        if note is not None:
            await self.on_each(
                targets,
                lambda each: self.port.remove_schedule(each.id, note),
                "Remove",
                lambda each: f"Removed {name_of(each)}.",
            )

    @work(group="action")
    async def action_why(self) -> None:
        from victor_tui.dialogs.why import WhyDialog

        run_id = await self.app.push_screen_wait(WhyDialog(self.current))
        if run_id is not None:
            await self.open_run(run_id)

    @work(group="action")
    async def action_backfill(self) -> None:
        from victor_tui.dialogs.backfill import BackfillDialog
        from victor_tui.dialogs.progress import BackfillProgressDialog

        targets = self.targets()
        if len(targets) == 1 and targets[0].backfill is not None:
            await self.app.push_screen_wait(BackfillProgressDialog(targets[0].backfill))
            self.console.feed.mark_stale("schedules")
            return
        found = await self.app.push_screen_wait(BackfillDialog(targets))
        if found is None:
            return
        shown, note = found
        by_id = {spec.schedule_id: (spec, plan) for spec, plan in shown}
        left_out: list[str] = []

        async def start(schedule: ScheduleInfo) -> None:
            spec, plan = by_id[schedule.id]
            left_out.extend((await self.port.start_backfill(spec, note, plan)).left_out)

        await self.on_each(
            [each for each in targets if each.id in by_id],
            start,
            "Backfill",
            lambda each: f"The backfill of {name_of(each)} has begun: b shows how far it is.",
        )
        if left_out:
            lines = "\n".join([*left_out[:_NAMED], *(["…"] if len(left_out) > _NAMED else [])])
            words = f"Left out, they changed since they were shown ({len(left_out)}):\n{clean(lines)}"
            self.console.notify(words, severity="warning", timeout=20, markup=False)

    def action_runs(self) -> None:
        schedule: ScheduleInfo = self.current
        self.console.navigator.show_runs(f"schedule:{schedule.id}")

    @work(group="action")
    async def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        """Open the run of the last fire."""
        schedule: ScheduleInfo = message.row
        run_id = next((fire.run_id for fire in schedule.recent if fire.run_id), None)
        if run_id is None:
            self.notify(f"{name_of(schedule)} has started no run yet: t starts one.", markup=False)
        else:
            await self.open_run(run_id)

    async def open_run(self, run_id: str) -> None:
        """Show a run if the store still has it."""
        try:
            await self.port.run(run_id)
        except VictorError as error:
            self.console.report(error)
            return
        self.console.navigator.open_run(run_id)


def _can_skip(schedule: ScheduleInfo) -> bool:
    return schedule.next_fire is not None and not schedule.skip_next
