"""The History screen: activity, events and runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.widgets import Static

from victor_engine.api import Count, EventInfo, RunInfo, RunStats
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.filter_language import Filter
from victor_tui.history.activity import Activity, activity, activity_table
from victor_tui.history.facts import (
    activity_facts,
    event_facts,
    event_query,
    events_table,
    past_facts,
    past_table,
)
from victor_tui.history.trend import BUCKETS, Trend, numbers
from victor_tui.keys import bindings
from victor_tui.runs.actions import RunCommands
from victor_tui.runs.columns import known_names
from victor_tui.saved_views import SavedView
from victor_tui.text import cut
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable

T = TypeVar("T")

PAGE = 1000
"""Maximum number of listed events or runs. The filter finds older ones."""
View = Literal["activity", "events", "runs"]
VIEWS: tuple[View, ...] = ("activity", "events", "runs")
"""The views in the order of their key."""
TABLES = {"activity": "#activity", "events": "#events", "runs": "#past"}
EMPTY = "Nothing has happened yet.\n\nv  activity, events or runs"
EMPTY_FILTER = """Nothing matches the filter.

/  change the filter: words, workflow:deploy, kind:request, after:yesterday
v  activity, events or runs"""

ONLY_RUNS = frozenset({"status", "took", "error", "version"})
"""Filter fields that only runs have."""
STATS_LIMIT = 5000
"""Maximum number of runs in the statistics. They are read again after each run."""


class HistoryScreen(TableScreen):
    MODE = "history"
    CSS_PATH = "screen.tcss"
    LIVE_PREVIEW = False
    KEYS = "history"
    BINDINGS: ClassVar[list[BindingType]] = bindings("history")

    def __init__(self) -> None:
        super().__init__()
        self.commands = RunCommands(
            self, runs=self._chosen_runs, done=lambda: self.console.feed.mark_stale("past", "events")
        )
        self.filter = Filter()
        self.wanted: View = "activity"
        self.wants_trend = False
        self.total: Count | None = None
        """The number of rows that match the filter, if not all of them are loaded."""

    @property
    def view(self) -> View:
        """The view that is shown. A filter field of runs selects runs, the field `kind` selects events."""
        if self.filter.fields & ONLY_RUNS:
            return "runs"
        return "events" if "kind" in self.filter.fields else self.wanted

    def compose_body(self) -> ComposeResult:
        zone = self.console.zone
        yield FilterBar(
            "kind:request  workflow:deploy  status:failed  after:yesterday  took:>10m", zone, self.now
        )
        yield Static("", id="stats", markup=False)
        with Container(classes="body"):
            yield activity_table(self.now, zone, EMPTY)
            yield events_table(self.now, zone, EMPTY)
            yield past_table(self.now, zone, EMPTY)
            yield Preview()
            yield Trend(id="trend", classes="side")

    # --- data ---------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        if self.view == "runs":
            runs = self.filter.run_query(PAGE)
            stats = self.filter.run_query(STATS_LIMIT)
            return {
                "past": lambda port: counted(self, port.runs(runs), lambda: port.run_count(runs)),
                "stats": lambda port: port.run_stats(stats, BUCKETS),
            }
        events = event_query(self.filter, PAGE, activity=self.view == "activity")
        return {"events": lambda port: counted(self, port.events(events), lambda: port.event_count(events))}

    def draw(self, subject: Subject) -> None:
        if subject == "stats":
            stats: RunStats = self.snapshot(subject)
            self.query_one("#stats", Static).update(numbers(stats))
            self.query_one(Trend).show(stats)
            return
        rows: list[Any] = self.snapshot(subject)
        table = self.query_one(TABLES[self.view], LineTable)
        table.empty = EMPTY if self.filter == Filter() else EMPTY_FILTER
        table.set_rows(activity(rows) if self.view == "activity" else rows)
        if subject == "past":
            self.query_one(FilterBar).add_completions(known_names(rows))
        word = "runs" if self.view == "runs" else "events"
        self.query_one(FilterBar).note(cut(len(rows), self.total, word))

    def on_mount(self) -> None:
        self.query_one(Trend).zone = self.console.zone
        self._choose_table()

    def _choose_table(self) -> None:
        view, runs = self.view, self.view == "runs"
        self.query_one("#stats").display = runs
        self.query_one(Trend).display = runs and self.wants_trend
        self.query_one(Preview).display = not (runs and self.wants_trend)
        had_focus = isinstance(self.focused, LineTable) or self.focused is None
        for name, table in TABLES.items():
            self.query_one(table, LineTable).display = name == view
        shown = self.query_one(TABLES[view], LineTable)
        if had_focus:
            shown.focus()
        self.current = shown.row
        self._explain(to_top=True)

    def action_switch(self) -> None:
        self.wanted = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]
        if self.view != self.wanted:
            self.notify(
                "The filter decides this: status, took, error and version select runs, kind selects events.",
                markup=False,
            )
        self._reload()

    def show_view(self, view: SavedView) -> None:
        """Show a saved view."""
        self.wanted = next((each for each in VIEWS if each == view.view), "activity")
        self.show_filter(view.filter)
        self._reload()
        self.query_one(TABLES[self.view], LineTable).sort_by(view.order, view.reverse)

    def action_trend(self) -> None:
        """Show the trend instead of the preview.

        This also switches to runs, because events have no duration.
        """
        if self.view != "runs":
            if "kind" in self.filter.fields:
                self.notify(
                    "A trend needs runs. The filter kind: selects events: remove it first.", markup=False
                )
                return
            self.wanted, self.wants_trend = "runs", True
        else:
            self.wants_trend = not self.wants_trend
        self._reload()

    def _reload(self) -> None:
        self._choose_table()
        self.console.feed.watch(self.loaders())

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.filter = message.filter
        self._reload()

    # --- preview and actions ------------------------------------------------------------------

    @staticmethod
    def _identity(row: Any) -> Any:
        if isinstance(row, Activity):
            return row.event.seq
        return row.seq if isinstance(row, EventInfo) else getattr(row, "id", None)

    def explain(self, row: Any) -> Facts:
        if isinstance(row, RunInfo):
            return past_facts(self.facts(), row, self.now(), self.console.zone)
        if isinstance(row, Activity):
            return activity_facts(self.facts(), row.sentence, row.event, self.console.zone)
        return event_facts(self.facts(), row, self.console.zone)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "run":
            return run_of(self.current) is not None
        if action == "only":
            return getattr(self.current, "workflow", None) is not None
        return self.commands.allows(str(parameters[0])) if action == "run_command" else True

    def _chosen_runs(self) -> Sequence[RunInfo]:
        """Return the marked runs or the run under the cursor; none for events."""
        if not isinstance(self.current, RunInfo):
            return []
        return self.query_one("#past", LineTable).marked_rows or [self.current]

    def action_run_command(self, command: str) -> None:
        self.commands.start(command)

    def action_run(self) -> None:
        run_id = run_of(self.current)
        if run_id is not None:
            self.console.navigator.open_run(run_id)

    def on_line_table_chosen(self) -> None:
        self.action_run()

    def action_only(self) -> None:
        bar = self.query_one(FilterBar)
        word = f"workflow:{self.current.workflow}"
        bar.value = (
            bar.value.replace(word, "").strip() if word in bar.value else f"{bar.value} {word}".strip()
        )


def run_of(row: Any) -> str | None:
    """Return the id of the run of a row, or None."""
    return row.id if isinstance(row, RunInfo) else getattr(row, "run_id", None)


async def counted(
    screen: HistoryScreen, page: Awaitable[list[T]], count: Callable[[], Awaitable[Count]]
) -> list[T]:
    """Return a page, and give the screen the count of the list that it is cut from."""
    rows = await page
    screen.total = await count() if len(rows) >= PAGE else None
    return rows
