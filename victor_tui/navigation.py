"""The navigation between screens. Screens are imported on first use."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen

from victor_tui.app_context import Console


class ScreenNavigator:
    """The navigation of one application."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def open_run(self, run_id: str) -> None:
        """Open the screen of one run."""
        from victor_tui.runs.run_screen import RunScreen

        self._open(RunScreen(run_id))

    def open_grid(self, workflow: str) -> None:
        """Open the grid of the newest runs of a workflow."""
        from victor_tui.runs.grid_screen import GridScreen

        self._open(GridScreen(workflow))

    def show_runs(self, filter_text: str) -> None:
        """Go to the Runs screen, and set its filter."""
        from victor_tui.runs.screen import RunsScreen

        self._console.show_mode("runs")
        screen = self._console.screen
        if isinstance(screen, RunsScreen):
            screen.show_filter(filter_text)

    def show_history(self, filter_text: str) -> None:
        """Go to the History screen, and set its filter."""
        from victor_tui.history.screen import HistoryScreen

        self._console.show_mode("history")
        screen = self._console.screen
        if isinstance(screen, HistoryScreen):
            screen.show_filter(filter_text)

    def show_schedule(self, schedule_id: str) -> None:
        """Go to the Schedules screen, and show only this schedule."""
        from victor_tui.schedules.screen import SchedulesScreen

        self._console.show_mode("schedules")
        screen = self._console.screen
        if isinstance(screen, SchedulesScreen):
            screen.show_filter(f"schedule:{schedule_id}")

    def show_version(self, workflow: str, version: str | None) -> None:
        """Go to the Versions screen, and show only this workflow, with the cursor on a version."""
        from victor_tui.versions.screen import VersionsScreen

        self._console.show_mode("versions")
        screen = self._console.screen
        if isinstance(screen, VersionsScreen):
            screen.versions.show_only(workflow, version)

    def open_dead_letters(self) -> None:
        """Open the screen of dead letters."""
        from victor_tui.runs.dead_letters_screen import DeadScreen

        self._open(DeadScreen())

    def open_timeline(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Open the timeline of all schedules; with `instead`, in place of the current screen."""
        from victor_tui.schedules.timeline_screen import TimelineScreen

        self._open(TimelineScreen(schedule_id), instead)

    def open_month(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Open the month of one schedule, or of all; with `instead`, in place of the current screen."""
        from victor_tui.schedules.month_screen import MonthScreen

        self._open(MonthScreen(schedule_id), instead)

    def back_to_schedule(self, schedule_id: str) -> None:
        """Go back to the Schedules screen, and move the cursor to this schedule."""
        from victor_tui.schedules.screen import SchedulesScreen

        self._console.pop_screen()
        screen = self._console.screen
        if isinstance(screen, SchedulesScreen):
            screen.table.select(schedule_id)

    def _open(self, screen: Screen[Any], instead: bool = False) -> None:
        if instead:
            self._console.switch_screen(screen)
        else:
            self._console.push_screen(screen)
