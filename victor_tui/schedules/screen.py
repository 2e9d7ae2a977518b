"""The Schedules screen: schedules with their next and recent fires."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from victor_engine.api import ScheduleInfo
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.file_facts import files_facts
from victor_tui.filter_language import Filter, has_words
from victor_tui.keys import bindings
from victor_tui.schedules.actions import ScheduleCommands
from victor_tui.schedules.dependency_chain import Chain
from victor_tui.schedules.facts import (
    last_cell,
    recent_cell,
    schedule_facts,
    state_cell,
    state_words,
    version_cell,
    workflow_cell,
)
from victor_tui.text import moment, plural, relative
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable

EMPTY = """No schedules yet.

n  schedule a workflow
   or add a schedule: block to a workflow file and press F5"""
EMPTY_FILTER = "No schedule matches the filter.\n\n/  change the filter"


def matches(schedule: ScheduleInfo, wanted: Filter, now: datetime) -> bool:
    """Return whether names, state, time or description of a schedule contain every word of the filter."""
    spec = schedule.spec
    text = f"{schedule.id} {spec.workflow} {state_words(schedule, now)} {schedule.summary} {spec.description}"
    return (
        (wanted.workflow or "").lower() in spec.workflow.lower()
        and (wanted.schedule or "") in schedule.id
        and has_words(wanted, text)
    )


class SchedulesScreen(TableScreen):
    MODE = "schedules"
    CSS_PATH = "screen.tcss"
    KEYS = "schedules"
    BINDINGS: ClassVar[list[BindingType]] = bindings("schedules")

    def __init__(self) -> None:
        super().__init__()
        self._filter = Filter()
        self.commands = ScheduleCommands(self, lambda: self.table)

    @property
    def table(self) -> LineTable[ScheduleInfo]:
        found: LineTable[ScheduleInfo] = self.query_one("#schedules", LineTable)
        return found

    def compose_body(self) -> ComposeResult:
        def next_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
            if schedule.next_fire is None:
                return "–", "dim"
            if schedule.skip_next:
                return "next skipped", "warn"
            clock = moment(schedule.next_fire, now, self.console.zone)
            return f"{clock} {relative(schedule.next_fire, now)}", "plain"

        yield FilterBar(
            "words  workflow:deploy  schedule:4f2",
            self.console.zone,
            self.now,
            fields=("workflow", "schedule"),
            collapses=True,
        )
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
        schedules: list[ScheduleInfo] = self.snapshot("schedules")
        shown = [each for each in schedules if matches(each, self._filter, self.now())]
        self.table.empty = EMPTY_FILTER if schedules else EMPTY
        self.table.set_rows(shown)
        elsewhere = self._filter.fields - {"workflow", "schedule"}
        if elsewhere:
            words = f"{', '.join(sorted(elsewhere))} is not a field here: write words, workflow: or schedule:"
            self.query_one(FilterBar).note(words, bad=True)
        else:
            self.query_one(FilterBar).note(f"{len(shown):,} of {len(schedules):,}")

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        chain = Chain(self.snapshot("schedules") or ())
        facts, marked = self.facts(), len(self.table.marked_rows)
        if marked:
            facts.text(
                f"• {plural(marked, 'schedule')} marked: t p r s d b act on them, A marks or unmarks all",
                "key",
            )
        files_facts(facts, self.console.feed.snapshots.get("engine"), row.spec.workflow)
        return schedule_facts(facts, row, chain, self.now(), self.console.zone)

    # --- filter -------------------------------------------------------------------------------

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter = message.filter
        if self.snapshot("schedules") is not None:
            self.draw("schedules")

    # --- commands, and other pages --------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.commands.allows(str(parameters[0])) if action == "schedule" else True

    def action_schedule(self, command: str) -> None:
        self.commands.start(command)

    @work(group="action")
    async def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        await self.commands.open_last_run(message.row)

    def action_mark_all(self) -> None:
        self.table.action_mark_all()

    def action_timeline(self) -> None:
        self.console.navigator.open_timeline(self.current.id if self.current is not None else None)

    def action_month(self) -> None:
        self.console.navigator.open_month(self.current.id if self.current is not None else None)
