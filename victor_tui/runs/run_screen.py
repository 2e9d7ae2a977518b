"""The screen of one run: graph, state, log, attempts and commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.reactive import reactive
from textual.widgets import Static

from victor_engine.api import RequestInfo, RequestStatus, RunDetail, RunInfo
from victor_tui.base_screen import ConsoleScreen
from victor_tui.feed import Loader, Subject
from victor_tui.keys import bindings
from victor_tui.row_values import Here, run_why, widget_values
from victor_tui.runs import run_header
from victor_tui.runs.actions import RunCommands
from victor_tui.runs.run_panes import RunReader
from victor_tui.runs.run_view import RunView
from victor_tui.widgets.graph import RunGraph


class RunScreen(ConsoleScreen):
    MODE = "runs"
    CSS_PATH = "run_screen.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "RunGraph"
    KEYS = "run"
    BINDINGS: ClassVar[list[BindingType]] = bindings("run")

    detail: reactive[RunDetail | None] = reactive(None, bindings=True)

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self.view = RunView(RunReader(self, run_id), id="run-body")
        self.commands = RunCommands(
            self, runs=self._selected_runs, done=self._mark_stale, node=self._selected_node
        )

    def compose_body(self) -> ComposeResult:
        yield Static("", id="run-head", markup=False)
        yield self.view

    def here(self) -> Here:
        run = self.detail.run if self.detail is not None else None
        return Here(
            [*widget_values(self.focused), ("run id", run.id if run is not None else self.run_id)],
            run_why(run, self.now()) if run is not None else "",
            self.run_id,
            lambda: self.console.navigator.open_run(self.run_id),
        )

    def loaders(self) -> dict[Subject, Loader]:
        return {"run": lambda port: port.run(self.run_id)}

    def on_screen_resume(self) -> None:
        # The present snapshot can belong to another run.
        self.console.feed.watch(self.loaders())
        self.console.update_header()

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "run" and self.query("#run-graph"):
            self.draw(subject)

    def draw(self, subject: Subject) -> None:
        found: RunDetail | None = self.snapshot("run")
        if found is None or not found.run.id.startswith(self.run_id):
            return
        self.detail = found
        self._draw_head(found)
        self.view.show(found)

    def tick(self) -> None:
        if self.detail is not None:
            self._draw_head(self.detail)
            self.view.tick()

    def _draw_head(self, detail: RunDetail) -> None:
        head = run_header.head(detail.run, self.now(), self.console.zone, detail.outputs)
        self.query_one("#run-head", Static).update(head)

    # --- navigation ----------------------------------------------------------------------------

    def action_pane(self, name: str) -> None:
        self.view.go_to_pane(name)

    def action_graph(self) -> None:
        self.view.go_to_graph()

    def action_lanes(self) -> None:
        self.view.graph.toggle_lanes()
        self.view.go_to_graph()

    def action_full(self) -> None:
        self.view.toggle_full()

    def action_turn(self) -> None:
        self.view.state.turn()

    def action_attempt(self, by: int) -> None:
        self.view.step_attempt(by)

    def action_follow(self) -> None:
        self.view.follow()

    def action_only_node(self) -> None:
        self.view.log_pane.narrow_to(self.view.graph.selected)
        self.view.go_to_pane("log")

    def action_filter(self) -> None:
        self.view.start_search()

    def action_match(self, by: int) -> None:
        self.view.log_pane.step(by)

    def action_back(self) -> None:
        if not self.view.leave_search():
            self.dismiss()

    def on_run_graph_chosen(self, message: RunGraph.Chosen) -> None:
        assert self.detail is not None
        state = next((node for node in self.detail.nodes if node.node_id == message.node_id), None)
        request = self._open_request()
        if request is not None and request.node_id == message.node_id:
            self.action_answer_run()
        elif state is not None and state.child_run is not None:
            self.console.navigator.open_run(state.child_run)
        else:
            self.view.go_to_pane("state")

    def action_parent(self) -> None:
        if self.detail is not None and self.detail.run.parent_run is not None:
            self.console.navigator.open_run(self.detail.run.parent_run)

    # --- control -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "run_command":
                return self.commands.allows(str(parameters[0]))
            case "answer_run":
                return self._open_request() is not None
            case "match":
                return self.view.pane == "log" and bool(self.view.searched)
            case "turn" | "attempt":
                return self.view.pane == "state" and self.detail is not None and bool(self.detail.attempts)
            case "parent":
                return self.detail is not None and self.detail.run.parent_run is not None
        return True

    def action_run_command(self, command: str) -> None:
        self.commands.start(command)

    def _selected_runs(self) -> Sequence[RunInfo]:
        return [self.detail.run] if self.detail is not None else []

    def _selected_node(self) -> str | None:
        """Return the node under the cursor if the user has moved it or it is not the first node."""
        graph = self.view.graph
        return graph.selected if graph.cursor > 0 or not graph.follows else None

    def _mark_stale(self) -> None:
        self.console.feed.mark_stale("run")

    def _open_request(self) -> RequestInfo | None:
        requests = self.detail.requests if self.detail is not None else ()
        return next((request for request in requests if request.status == RequestStatus.OPEN), None)

    @work(group="action")
    async def action_answer_run(self) -> None:
        request = self._open_request()
        if request is not None:
            await self.console.dialogs.answer_request(request)
            self._mark_stale()
