"""Schedules: what fires when, what became of the last fires, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from victor_engine.api import FireInfo, ScheduleInfo
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.screens.base import ConsoleScreen
from victor_tui.text import duration, full, moment, plural, relative
from victor_tui.theme import Tone, fire_mark, run_mark
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable

BARS = "▁▂▃▄▅▆▇█"

EMPTY = """Nothing is scheduled yet.

n  schedule a workflow from here
   or give a workflow file a schedule: block and press F5"""


def workflow_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    return schedule.spec.workflow, "head"


def state_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    if schedule.problem:
        return "✗ fault", "bad"
    if schedule.paused:
        return "‖ paused", "warn"
    if not schedule.spec.enabled:
        return "‖ off", "dim"
    if schedule.active_runs:
        return f"● {schedule.active_runs} active", "busy"
    return ("◦ after", "dim") if schedule.spec.after else ("✓ armed", "ok")


def outcome_of(fire: FireInfo) -> tuple[str, str, Tone]:
    """Glyph, word and tone of a fire: the run's status where it started one."""
    mark = run_mark(fire.run_status) if fire.run_status else fire_mark(fire.outcome)
    return mark.glyph, mark.word, mark.tone


def last_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    if schedule.last_fire is None:
        return "– never", "dim"
    glyph, word, tone = outcome_of(schedule.last_fire)
    return f"{glyph} {word}", tone


def recent_cell(schedule: ScheduleInfo, now: datetime, width: int = 10) -> list[Cell]:
    """The last fires, oldest first: bars for how long runs took, glyphs for everything else."""
    fires = list(reversed(schedule.recent[:width]))
    longest = max((fire.run_seconds or 0.0 for fire in fires), default=0.0) or 1.0
    cells: list[Cell] = [(" " * (width - len(fires)), "plain")]
    for fire in fires:
        glyph, _, tone = outcome_of(fire)
        if fire.run_status == "succeeded" and fire.run_seconds is not None:
            glyph = BARS[min(len(BARS) - 1, int(fire.run_seconds / longest * (len(BARS) - 1)))]
        cells.append((glyph, tone))
    return cells


def version_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    version = schedule.resolved_version or "–"
    return (f"{version} !", "warn") if schedule.deprecated else (version, "dim")


def policy_words(schedule: ScheduleInfo) -> str:
    spec = schedule.spec
    words = [f"overlap {spec.overlap.replace('_', ' ')}"]
    if spec.catchup != "none":
        words.append(f"catch up {spec.catchup}")
    if spec.max_active_runs != 1:
        words.append(f"at most {spec.max_active_runs} at once")
    if spec.jitter:
        words.append(f"jitter {duration(spec.jitter)}")
    return ", ".join(words)


class SchedulesScreen(ConsoleScreen):
    MODE = "schedules"
    CSS_PATH = "schedules.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "trigger", "Trigger", id="schedules.trigger", tooltip="Start a run now"),
        Binding("p", "pause", "Pause", id="schedules.pause", tooltip="Pause the schedule, with a note"),
        Binding("p", "resume", "Resume", id="schedules.resume", tooltip="Let the schedule fire again"),
        Binding("n", "new", "New", id="schedules.new", tooltip="Schedule a workflow"),
        Binding("e", "edit", "Edit", id="schedules.edit", tooltip="Change this schedule"),
        Binding("s", "skip", "Skip next", id="schedules.skip", tooltip="Leave out the next fire"),
        Binding("d", "remove", "Remove", id="schedules.remove", tooltip="Remove this schedule"),
        Binding(
            "l", "runs", "Its runs", id="schedules.runs", tooltip="Show the runs of this schedule", show=False
        ),
    ]

    def compose_body(self) -> ComposeResult:
        def next_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
            if schedule.next_fire is None:
                return "–", "dim"
            if schedule.skip_next:
                return "next skipped", "warn"
            clock = moment(schedule.next_fire, now, self.console.zone)
            return f"{clock} {relative(schedule.next_fire, now)}", "plain"

        with Container(classes="body"):
            yield LineTable[ScheduleInfo](
                [
                    Column(
                        "workflow", "Workflow", 15, workflow_cell, lambda s: (s.spec.workflow, s.id), 0, 2
                    ),
                    Column("state", "State", 10, state_cell, lambda s: state_cell(s, self.now()), 1),
                    Column("next", "Next fire", 19, next_cell, lambda s: s.next_fire, 0, 1, live=True),
                    Column("last", "Last", 11, last_cell, lambda s: last_cell(s, self.now()), 2),
                    Column("when", "When", 15, lambda s, _: (s.summary, "plain"), lambda s: s.summary, 3, 2),
                    Column("recent", "Recent", 10, recent_cell, None, 4),
                    Column("version", "Version", 8, version_cell, lambda s: s.resolved_version, 5),
                    Column("id", "Id", 12, lambda s, _: (s.id, "dim"), lambda s: s.id, 6),
                ],
                key=lambda schedule: schedule.id,
                now=self.now,
                sort="next",
                empty=EMPTY,
                id="schedules",
            )
            yield Preview()

    def loaders(self) -> dict[Subject, Loader]:
        return {"schedules": lambda port: port.schedules()}

    def draw(self, subject: Subject) -> None:
        self.query_one("#schedules", LineTable).set_rows(self.snapshot("schedules"))

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        schedule: ScheduleInfo = row
        now, zone, spec = self.now(), self.console.zone, schedule.spec
        facts = self.facts().title(schedule.id)
        if schedule.problem:
            facts.text(f"✗ cannot fire: {schedule.problem}", "bad")
        if schedule.paused:
            until = f" until {full(schedule.paused.until, zone)}" if schedule.paused.until else ""
            ago = relative(schedule.paused.at, now)
            facts.text(f"‖ paused by {schedule.paused.by} {ago}{until}: {schedule.paused.note}", "warn")
        if schedule.deprecated:
            facts.text(f"! {schedule.resolved_version} is deprecated: {schedule.deprecated}", "warn")
        if schedule.next_fire:
            skipped = " (will be skipped)" if schedule.skip_next else ""
            when = f"{full(schedule.next_fire, zone)}, {relative(schedule.next_fire, now)}{skipped}"
            facts.fact("next", when)
        facts.fact("when", schedule.summary)
        facts.fact("spec", f"{spec.cron}  ({spec.timezone})" if spec.cron else "")
        facts.fact(
            "workflow", f"{spec.workflow} {spec.version or 'latest'} → {schedule.resolved_version or '–'}"
        )
        facts.fact("policy", policy_words(schedule))
        facts.fact("declared", schedule.path or f"by hand ({schedule.origin})")
        if schedule.overridden:
            facts.fact("overridden", ", ".join(schedule.overridden) + " differ from the file", "warn")
        facts.fact("runs", f"{schedule.runs_started:,} started, {schedule.active_runs} active")
        facts.fact("about", spec.description)
        facts.heading("Recent fires")
        if not schedule.recent:
            facts.text("none yet", "dim")
        for fire in schedule.recent[:12]:
            glyph, word, tone = outcome_of(fire)
            took = f" {duration(fire.run_seconds)}" if fire.run_seconds is not None else ""
            facts.line(
                (f"{moment(fire.nominal, now, zone):<13}", "dim"),
                (f"{glyph} {word}{took}", tone),
                (f"  {fire.reason}", "plain" if not fire.run_id else "dim"),
            )
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        schedule: ScheduleInfo | None = self.current
        if action in ("trigger", "pause", "resume", "edit", "skip", "remove", "runs"):
            if schedule is None:
                return False
            if action in ("pause", "resume"):
                return (action == "resume") == (schedule.paused is not None)
            if action == "skip":
                return schedule.next_fire is not None and not schedule.skip_next
        return action != "filter"

    @work(group="action")
    async def action_trigger(self) -> None:
        from victor_tui.dialogs.trigger import TriggerDialog

        schedule: ScheduleInfo = self.current
        dialog = TriggerDialog(schedule.spec.workflow, schedule.spec.initial_state)
        found = await self.app.push_screen_wait(dialog)
        if found is not None:
            state, note = found
            action = self.port.trigger_schedule(schedule.id, state, note)
            run = await self.console.perform(action, f"Started a run of {schedule.id}.")
            if run is not None:
                self.console.open_run(run.id)

    @work(group="action")
    async def action_pause(self) -> None:
        from victor_tui.dialogs.pause import PauseDialog

        schedule: ScheduleInfo = self.current
        found = await self.app.push_screen_wait(PauseDialog(f"Pause {schedule.id}"))
        if found is not None:
            note, until = found
            await self._do(self.port.pause_schedule(schedule.id, note, until), f"Paused {schedule.id}.")

    @work(group="action")
    async def action_resume(self) -> None:
        schedule: ScheduleInfo = self.current
        await self._do(self.port.resume_schedule(schedule.id), f"{schedule.id} fires again.")

    @work(group="action")
    async def action_new(self) -> None:
        from victor_tui.dialogs.schedule import ScheduleDialog

        spec = await self.app.push_screen_wait(ScheduleDialog(None))
        if spec is not None:
            await self._do(self.port.add_schedule(spec), f"Scheduled {spec.workflow}.")

    @work(group="action")
    async def action_edit(self) -> None:
        from victor_tui.dialogs.schedule import ScheduleDialog

        schedule: ScheduleInfo = self.current
        spec = await self.app.push_screen_wait(ScheduleDialog(schedule.spec))
        if spec is not None and spec != schedule.spec:
            await self._do(self.port.edit_schedule(schedule.id, spec), f"Changed {schedule.id}.")

    @work(group="action")
    async def action_skip(self) -> None:
        schedule: ScheduleInfo = self.current
        when = full(schedule.next_fire, self.console.zone) if schedule.next_fire else "the next fire"
        note = await self.console.confirm(
            f"Skip the next fire of {schedule.id}?", f"{when} will not start a run."
        )
        if note is not None:
            await self._do(
                self.port.skip_next(schedule.id, note), f"The next fire of {schedule.id} is skipped."
            )

    @work(group="action")
    async def action_remove(self) -> None:
        schedule: ScheduleInfo = self.current
        body = f"{schedule.summary}\n{plural(schedule.active_runs, 'active run')} will go on; history stays."
        if schedule.origin == "file":
            body += f"\nIt is declared in {schedule.path}: change that too, or reading it adds it again."
        note = await self.console.confirm(f"Remove the schedule {schedule.id}?", body)
        if note is not None:
            await self._do(self.port.remove_schedule(schedule.id, note), f"Removed {schedule.id}.")

    async def _do(self, action: Any, done: str) -> None:
        await self.console.perform(action, done)
        self.console.feed.mark_stale("schedules")

    def action_runs(self) -> None:
        schedule: ScheduleInfo = self.current
        self.console.show_runs(f"schedule:{schedule.id}")

    @work(group="action")
    async def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        """Open the run of the last fire."""
        schedule: ScheduleInfo = message.row
        run_id = next((fire.run_id for fire in schedule.recent if fire.run_id), None)
        if run_id is None:
            self.notify(f"{schedule.id} has started no run yet: t starts one.", markup=False)
            return
        try:
            await self.port.run(run_id)
        except VictorError as error:
            self.console.report(error)
            return
        self.console.open_run(run_id)
