"""The commands on schedules: the marked schedules, or the schedule under the cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from victor_engine.api import ScheduleCommand, ScheduleInfo, schedule_refused
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.text import clean, full, plural, schedule_name
from victor_tui.widgets.table import LineTable

_NAMED = 12
"""Maximum number of schedules that a dialog names."""


def name_of(schedule: ScheduleInfo) -> str:
    return schedule_name(schedule.id, schedule.spec.workflow)


def listing(schedules: Sequence[ScheduleInfo], describe: Callable[[ScheduleInfo], str] | None = None) -> str:
    """Return a line for each schedule, with the text of `describe`."""
    lines = [f"{name_of(each)}{': ' + describe(each) if describe else ''}" for each in schedules[:_NAMED]]
    if len(schedules) > _NAMED:
        lines.append(f"and {len(schedules) - _NAMED:,} more")
    return "\n".join(clean(line) for line in lines)


class ScheduleCommands:
    """The commands on the schedules of one screen. `table` returns its table."""

    def __init__(self, screen: TableScreen, table: Callable[[], LineTable[ScheduleInfo]]) -> None:
        self._screen = screen
        self._table = table
        self._commands: dict[str, Callable[[], Awaitable[None]]] = {
            "trigger": self._trigger,
            "pause": self._pause,
            "resume": self._resume,
            "new": self._new,
            "edit": self._edit,
            "move": lambda: self._edit("version"),
            "skip": self._skip,
            "remove": self._remove,
            "why": self._why,
            "backfill": self._backfill,
            "runs": self._runs,
            "changes": self._changes,
        }

    def allows(self, command: str) -> bool:
        """Return whether a command is available now."""
        if command == "new":
            return True
        targets = self._targets() if self._screen.is_mounted else []
        return any(_NEEDS[command](schedule) if command in _NEEDS else True for schedule in targets)

    def start(self, command: str) -> None:
        """Execute a command in a worker of the screen."""
        self._screen.run_worker(self._commands[command](), group="action")

    def _targets(self) -> list[ScheduleInfo]:
        """Return the marked schedules, or the schedule under the cursor."""
        current: ScheduleInfo | None = self._screen.current
        return self._table().marked_rows or ([current] if current is not None else [])

    async def _on_each(
        self,
        schedules: Sequence[ScheduleInfo],
        act: Callable[[ScheduleInfo], Awaitable[Any]],
        title: str,
        done: Callable[[ScheduleInfo], str],
    ) -> None:
        """Execute `act` on each schedule. For several, show the progress and the results; failed ones stay marked."""
        if len(schedules) == 1:
            await self._screen.console.perform(act(schedules[0]), done(schedules[0]))
            self._screen.console.feed.mark_stale("schedules")
            return
        from victor_tui.dialogs.bulk import BulkDialog

        found = await self._screen.console.push_screen_wait(
            BulkDialog(title, schedules, act, name_of, keeps_marks=True)
        )
        self._table().set_marks([each.id for each in found.failed_items])
        self._screen.console.feed.mark_stale("schedules")

    # --- commands -------------------------------------------------------------------------------

    async def _trigger(self) -> None:
        targets = self._targets()
        if len(targets) > 1:
            body = listing(targets) + "\nEach run starts with the initial state of its schedule."
            note = await self._screen.console.dialogs.confirm(
                f"Start a run of {len(targets)} schedules now?", body
            )
            if note is not None:
                await self._on_each(
                    targets,
                    lambda each: self._screen.port.trigger_schedule(each.id, None, note),
                    "Trigger",
                    lambda each: f"Started a run of {name_of(each)}.",
                )
            return
        from victor_tui.dialogs.start_run import TriggerDialog

        schedule, console = targets[0], self._screen.console
        spec = schedule.spec
        with console.key_queue.hold():
            try:
                schema = (await self._screen.port.definition(spec.workflow, spec.version)).inputs
            except VictorError as error:
                console.report(error)
                return
            found = await console.push_screen_wait(TriggerDialog(spec.workflow, spec.initial_state, schema))
        if found is not None:
            state, words = found
            action = self._screen.port.trigger_schedule(schedule.id, state, words)
            run = await self._screen.console.perform(action, f"Started a run of {name_of(schedule)}.")
            if run is not None:
                self._screen.console.navigator.open_run(run.id)

    async def _pause(self) -> None:
        from victor_tui.schedules.pause_dialog import PauseDialog

        targets = [each for each in self._targets() if _can_pause(each)]
        many = len(targets) > 1
        title = f"Pause {len(targets)} schedules" if many else f"Pause {name_of(targets[0])}"
        names = tuple(name_of(each) for each in targets) if many else ()
        found = await self._screen.console.push_screen_wait(PauseDialog(title, names=names))
        if found is None:
            return
        note, until = found

        def done(schedule: ScheduleInfo) -> str:
            return f"Paused {name_of(schedule)}{self._until(until)}."

        await self._on_each(
            targets,
            lambda each: self._screen.port.pause_schedule(each.id, note, until),
            f"Pause{self._until(until)}",
            done,
        )

    def _until(self, until: datetime | None) -> str:
        return f" until {full(until, self._screen.console.zone)}" if until is not None else ""

    async def _resume(self) -> None:
        targets = [each for each in self._targets() if _can_resume(each)]
        note = ""
        if len(targets) > 1:
            given = await self._screen.console.dialogs.confirm(
                f"Resume {len(targets)} schedules?", listing(targets)
            )
            if given is None:
                return
            note = given
        await self._on_each(
            targets,
            lambda each: self._screen.port.resume_schedule(each.id, note),
            "Resume",
            lambda each: f"Resumed {name_of(each)}.",
        )

    async def _new(self) -> None:
        from victor_tui.schedules.edit_dialog import ScheduleDialog
        from victor_tui.schedules.spec_form import fields_of_new

        start = fields_of_new(await self._screen.port.schedule_defaults())
        found = await self._screen.console.push_screen_wait(ScheduleDialog(None, start=start))
        if found is not None:
            spec, note, _ = found
            added = await self._screen.console.perform(self._screen.port.add_schedule(spec, note), "")
            if added is not None:
                words = "Scheduled" if added.created else "The same schedule already exists:"
                self._screen.console.notify(clean(f"{words} {spec.workflow}."), timeout=4, markup=False)
            self._screen.console.feed.mark_stale("schedules")

    async def _edit(self, first: str | None = None) -> None:
        from victor_tui.schedules.edit_dialog import ScheduleDialog

        schedule: ScheduleInfo = self._screen.current
        dialog = ScheduleDialog(schedule.spec, schedule.id, first=first)
        found = await self._screen.console.push_screen_wait(dialog)
        if found is not None and found[0] != schedule.spec:
            action = self._screen.port.edit_schedule(schedule.id, *found)
            await self._screen.console.perform(action, f"Changed {name_of(schedule)}.")
            self._screen.console.feed.mark_stale("schedules")

    async def _skip(self) -> None:
        targets = [each for each in self._targets() if _can_skip(each)]

        def when(schedule: ScheduleInfo) -> str:
            fire = schedule.next_fire
            return full(fire, self._screen.console.zone) if fire else "the next fire"

        if len(targets) > 1:
            title, body = f"Skip the next fire of {len(targets)} schedules?", listing(targets, when)
        else:
            title = f"Skip the next fire of {name_of(targets[0])}?"
            body = f"The fire at {when(targets[0])} will not start a run."
        note = await self._screen.console.dialogs.confirm(title, body)
        if note is not None:
            await self._on_each(
                targets,
                lambda each: self._screen.port.skip_next(each.id, note),
                "Skip the next fire",
                lambda each: f"The next fire of {name_of(each)} is skipped.",
            )

    async def _remove(self) -> None:
        targets = self._targets()
        declared = [each for each in targets if each.origin == "file"]
        active = sum(each.active_runs for each in targets)
        if len(targets) > 1:
            title, body = f"Remove {len(targets)} schedules?", listing(targets, lambda each: each.summary)
        else:
            title, body = f"Remove the schedule {name_of(targets[0])}?", targets[0].summary
        body += f"\n{plural(active, 'active run')} will continue. The history is kept."
        if len(declared) == 1:
            body += (
                f"\n{name_of(declared[0])} is declared in {declared[0].path}. Change this file too, or a reload"
                " adds it again."
            )
        elif declared:
            body += f"\n{len(declared)} are declared in files. Change these too, or a reload adds them again."
        note = await self._screen.console.dialogs.confirm(title, body)
        if note is not None:
            await self._on_each(
                targets,
                lambda each: self._screen.port.remove_schedule(each.id, note),
                "Remove",
                lambda each: f"Removed {name_of(each)}.",
            )

    async def _why(self) -> None:
        from victor_tui.schedules.explain_dialog import WhyDialog

        run_id = await self._screen.console.push_screen_wait(WhyDialog(self._screen.current))
        if run_id is not None:
            await self._open_run(run_id)

    async def _backfill(self) -> None:
        from victor_tui.schedules.backfill_dialog import BackfillDialog
        from victor_tui.schedules.backfill_progress import BackfillProgressDialog

        targets = self._targets()
        if len(targets) == 1 and targets[0].backfill is not None:
            await self._screen.console.push_screen_wait(BackfillProgressDialog(targets[0].backfill))
            self._screen.console.feed.mark_stale("schedules")
            return
        found = await self._screen.console.push_screen_wait(BackfillDialog(targets))
        if found is None:
            return
        shown, note = found
        by_id = {spec.schedule_id: (spec, plan) for spec, plan in shown}
        left_out: list[str] = []

        async def start(schedule: ScheduleInfo) -> None:
            spec, plan = by_id[schedule.id]
            left_out.extend((await self._screen.port.start_backfill(spec, note, plan)).left_out)

        await self._on_each(
            [each for each in targets if each.id in by_id],
            start,
            "Backfill",
            lambda each: f"Backfill of {name_of(each)} started: b shows its progress.",
        )
        if left_out:
            lines = "\n".join([*left_out[:_NAMED], *(["…"] if len(left_out) > _NAMED else [])])
            words = f"Left out because they changed after the preview ({len(left_out)}):\n{clean(lines)}"
            self._screen.console.notify(words, severity="warning", timeout=20, markup=False)

    async def _changes(self) -> None:
        from victor_tui.schedules.changes import changes_dialog

        console = self._screen.console
        try:
            dialog = await changes_dialog(
                console.port, self._screen.current, console.clock.now(), console.zone
            )
        except VictorError as error:
            console.report(error)
            return
        await console.push_screen_wait(dialog)

    async def _runs(self) -> None:
        schedule: ScheduleInfo = self._screen.current
        self._screen.console.navigator.show_runs(f"schedule:{schedule.id}")

    async def open_last_run(self, schedule: ScheduleInfo) -> None:
        """Open the run of the last fire."""
        run_id = next((fire.run_id for fire in schedule.recent if fire.run_id), None)
        if run_id is None:
            words = f"{name_of(schedule)} has not started a run yet: t starts one."
            self._screen.notify(words, markup=False)
        else:
            await self._open_run(run_id)

    async def _open_run(self, run_id: str) -> None:
        """Open a run, or show the error if the store has deleted it."""
        console = self._screen.console
        try:
            await console.port.run(run_id)
        except VictorError as error:
            console.report(error)
            return
        console.navigator.open_run(run_id)


def _can_pause(schedule: ScheduleInfo) -> bool:
    return schedule_refused(schedule, ScheduleCommand.PAUSE) is None and schedule.paused is None


def _can_resume(schedule: ScheduleInfo) -> bool:
    return schedule_refused(schedule, ScheduleCommand.RESUME) is None


def _can_skip(schedule: ScheduleInfo) -> bool:
    return schedule_refused(schedule, ScheduleCommand.SKIP) is None and not schedule.skip_next


_NEEDS = {"pause": _can_pause, "resume": _can_resume, "skip": _can_skip}
"""The condition of each command: the rule of the engine, and that the command has an effect."""
