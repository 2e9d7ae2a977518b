"""The ways from one screen to another. Screens are imported when they are first opened."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen

from victor_tui.app_context import Console


class ScreenNavigator:
    """Opens the screens of one application."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def open_run(self, run_id: str) -> None:
        """Show one run: its graph, state and log."""
        from victor_tui.runs.run_screen import RunScreen

        self._open(RunScreen(run_id))

    def show_runs(self, filter_text: str) -> None:
        """Go to the Runs screen with this filter."""
        from victor_tui.runs.screen import RunsScreen

        self._console.show_mode("runs")
        screen = self._console.screen
        if isinstance(screen, RunsScreen):
            screen.show_filter(filter_text)

    def open_dead_letters(self) -> None:
        """Show the causes of failures that wait for somebody."""
        from victor_tui.runs.dead_letters_screen import DeadScreen

        self._open(DeadScreen())

    def open_timeline(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Show the next day of all schedules; with `instead`, in place of the current page."""
        from victor_tui.schedules.timeline_screen import TimelineScreen

        self._open(TimelineScreen(schedule_id), instead)

    def open_month(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Show a month of one schedule, or of all; with `instead`, in place of the current page."""
        from victor_tui.schedules.month_screen import MonthScreen

        self._open(MonthScreen(schedule_id), instead)

    def back_to_schedule(self, schedule_id: str) -> None:
        """Close a page of the Schedules screen and put the cursor on this schedule."""
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
