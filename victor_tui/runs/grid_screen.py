"""The screen of the newest runs of a workflow, by node."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from victor_engine.api import RunGrid, run_seconds
from victor_tui.base_screen import ConsoleScreen
from victor_tui.feed import Loader, Subject
from victor_tui.keys import bindings
from victor_tui.row_values import Here, run_why
from victor_tui.runs.grid_view import GridView, runs_that_fit
from victor_tui.text import clean, duration, moment, plural
from victor_tui.theme import node_mark, run_mark
from victor_tui.widgets.preview import Facts, Preview


class GridScreen(ConsoleScreen):
    """A column for each of the newest runs of `workflow`, and a row for each node."""

    MODE = "runs"
    CSS_PATH = "grid_screen.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "GridView"
    KEYS = "grids"
    BINDINGS: ClassVar[list[BindingType]] = bindings("grids")

    def __init__(self, workflow: str) -> None:
        super().__init__()
        self._workflow = workflow
        self._requested = 0

    def here(self) -> Here:
        run, node = self.grid.run, self.grid.node
        values = [("run id", run.run.id)] if run is not None else []
        values += [("node id", node)] if node is not None else []
        why = run_why(run.run, self.now()) if run is not None else ""
        return Here(values, why, self._workflow, lambda: self.console.navigator.open_grid(self._workflow))

    def compose_body(self) -> ComposeResult:
        yield Static("", id="grid-head", markup=False)
        yield GridView(id="grid")
        yield Preview(classes="side short")

    @property
    def grid(self) -> GridView:
        return self.query_one(GridView)

    # --- data -----------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        self._requested = count = self._fitting()
        return {"grid": lambda port: port.run_grid(self._workflow, count)}

    def _fitting(self) -> int:
        width = self.grid.size.width if self.query(GridView) else 0
        return runs_that_fit(width or self.app.size.width)

    def on_screen_resume(self) -> None:
        # The present snapshot can belong to another workflow.
        self.console.feed.watch(self.loaders())
        self.console.update_header()

    def on_grid_view_resized(self) -> None:
        if self.is_current and self._fitting() != self._requested:
            self.console.feed.watch(self.loaders())

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "grid" and self.query(GridView):
            self.draw(subject)

    def draw(self, subject: Subject) -> None:
        grid: RunGrid = self.snapshot("grid")
        if grid.workflow != self._workflow:
            return
        self.query_one("#grid-head", Static).update(
            Content.assemble(
                (f" {clean(grid.workflow)} ", "bold"),
                (f"the newest {plural(len(grid.runs), 'run')}, newest at the right", "$foreground-muted"),
            )
        )
        self.grid.show(grid)

    # --- the cell under the cursor ----------------------------------------------------------------

    def on_grid_view_moved(self) -> None:
        self.query_one(Preview).show(self._facts(), to_top=True)

    def _facts(self) -> Facts:
        facts, found, node, cell = self.facts(), self.grid.run, self.grid.node, self.grid.cell
        if found is None or node is None:
            return facts
        run, now = found.run, self.now()
        mark = run_mark(run.status)
        facts.line((f"{run.id}  ", "head"), (mark.text, mark.tone))
        facts.fact("began", moment(run.created_at, now, self.console.zone))
        facts.fact("time", duration(run_seconds(run, now)))
        facts.fact("version", run.version)
        facts.line(
            (f"{node}  ", "head"),
            *(((node_mark(cell.status).text, node_mark(cell.status).tone),) if cell else ()),
        )
        if cell is None:
            facts.fact("", "not reached in this run")
        else:
            more = " or more" if found.cut else ""
            facts.fact("attempts", f"{cell.attempts}{more}")
            facts.fact("took", duration(cell.seconds) if cell.seconds is not None else "")
        if run.error is not None:
            facts.fact("error", f"{run.error.type}: {run.error.message}", "bad")
        return facts

    # --- actions --------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "filter"

    def action_back(self) -> None:
        self.console.pop_screen()

    def action_newest(self) -> None:
        self.grid.go_to_newest()

    def action_failure(self) -> None:
        if not self.grid.go_to_failure():
            self.notify("This node failed in no older run of the grid.", markup=False)

    def on_grid_view_chosen(self, message: GridView.Chosen) -> None:
        self.console.navigator.open_run(message.run_id)
