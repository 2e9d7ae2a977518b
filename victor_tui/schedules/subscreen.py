"""The base of the screens that open from the Schedules screen."""

from __future__ import annotations

from textual import work

from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.schedules.time_fields import Span


class SchedulePage(ConsoleScreen):
    """A screen about the times of schedules."""

    MODE = "schedules"
    CSS_PATH = "screen.tcss"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "filter"

    def action_back(self) -> None:
        self.console.pop_screen()

    def back_to(self, schedule_id: str) -> None:
        """Go back to the list, with the cursor on this schedule."""
        self.console.navigator.back_to_schedule(schedule_id)

    @work(group="action")
    async def explain_span(self, schedule_id: str, span: Span) -> None:
        """Explain why a schedule fires or does not fire within a span, and open its run on request."""
        from victor_tui.schedules.explain_dialog import WhyDialog

        try:
            schedule = await self.port.schedule(schedule_id)
        except VictorError as error:
            self.console.report(error)
            return
        run_id = await self.app.push_screen_wait(WhyDialog(schedule, span=span))
        if run_id is not None:
            self.console.navigator.open_run(run_id)
