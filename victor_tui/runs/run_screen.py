"""The screen of one run: graph, state, log, attempts and commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Static

from victor_engine.api import RequestInfo, RequestStatus, RunDetail, RunInfo
from victor_tui.base_screen import ConsoleScreen
from victor_tui.feed import Loader, Subject
from victor_tui.runs import run_header
from victor_tui.runs.actions import RunCommands, control_bindings
from victor_tui.runs.run_panes import RunReader
from victor_tui.runs.run_view import RunView
from victor_tui.widgets.graph import RunGraph


def _pane(key: str, name: str, title: str, tooltip: str, show: bool = True) -> Binding:
    return Binding(key, f"pane('{name}')", title, id=f"run.{name}", tooltip=tooltip, show=show)


def _key(key: str, action: str, title: str, name: str, tooltip: str) -> Binding:
    return Binding(key, action, title, id=f"run.{name}", tooltip=tooltip, show=False)


class RunScreen(ConsoleScreen):
    MODE = "runs"
    CSS_PATH = "run_screen.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "RunGraph"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back", tooltip="Back to the list"),
        _pane("s", "state", "State", "Show the state and its change by each attempt"),
        _pane("l", "log", "Log", "Show the output of commands and agents"),
        _pane("t", "attempts", "Attempts", "Show every attempt over time"),
        _pane("u", "questions", "Questions", "Show the questions to people and their answers", show=False),
        Binding(
            "a,w",
            "answer_run",
            "Answer",
            id="run.answer",
            tooltip="Answer the request that this run waits for",
        ),
        *control_bindings(
            "run", "cancel", "kill", "pause", "resume", "retry", "redrive", without=("dead_letters",)
        ),
        _key("g", "graph", "Graph", "graph", "Go to the graph"),
        _key("v", "lanes", "Lanes or outline", "lanes", "Draw the graph in lanes, or as an outline"),
        _key("F", "full", "Full width", "full", "Show the focused pane at full width, or both panes"),
        _key("P", "parent", "Parent", "parent", "Open the parent run, or the run of which this is a rerun"),
        _key(
            "b",
            "turn",
            "After/before/changes",
            "turn",
            "Show the state after the attempt, before it, or its changes",
        ),
        _key("K", "attempt(-1)", "Earlier attempt", "earlier", "Show the state of the previous attempt"),
        _key("J", "attempt(1)", "Later attempt", "later", "Show the state of the next attempt"),
        Binding(
            "slash",
            "filter",
            "Search",
            key_display="/",
            id="run.search",
            tooltip="Search the log",
            show=False,
        ),
        _key("n", "match(1)", "Next match", "next", "Go to the next matching line"),
        _key("N", "match(-1)", "Previous match", "previous", "Go to the previous matching line"),
        _key("f", "follow", "Follow", "follow", "Follow new log lines; in the graph, the active node"),
        _key("o", "only_node", "Only this node", "node", "Show the log of this node only, or of all nodes"),
    ]

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
        self._draw_head(found.run)
        self.view.show(found)

    def tick(self) -> None:
        if self.detail is not None:
            self._draw_head(self.detail.run)
            self.view.tick()

    def _draw_head(self, run: RunInfo) -> None:
        head = run_header.head(run, self.now(), self.console.zone)
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
        if state is not None and state.child_run is not None:
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
