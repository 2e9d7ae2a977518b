"""The graph of a run beside its panes: state, log, attempts and questions."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

from victor_engine.api import ACTIVE_RUN_STATUSES, AttemptInfo, RunDetail
from victor_tui.runs import run_header
from victor_tui.runs.gantt import Gantt
from victor_tui.runs.run_panes import AttemptsPane, LogPane, RunReader
from victor_tui.runs.state_pane import StatePane
from victor_tui.widgets.graph import RunGraph
from victor_tui.widgets.lines import LineView

PANES = {"state": "s State", "log": "l Log", "attempts": "t Attempts", "questions": "i Questions"}


class RunView(Horizontal):
    """The view of one run. It owns the graph, the panes, the visible pane and the selected attempt."""

    pane: reactive[str] = reactive("state", bindings=True)
    searched: reactive[str] = reactive("", bindings=True)

    def __init__(self, reader: RunReader, *, id: str) -> None:
        super().__init__(id=id)
        self.graph = RunGraph(id="run-graph")
        self.state = StatePane(reader.attempt_state, id="pane-state")
        self.log_pane = LogPane(reader, id="pane-log")
        self.attempts = AttemptsPane(id="pane-attempts")
        self.questions = LineView(id="pane-questions")
        self._reader = reader
        self._tabs = Static("", id="run-tabs", markup=False)
        self._search = Input(placeholder="search the log", id="run-search")
        self._detail: RunDetail | None = None
        self._attempt: int | None = None
        """The selected attempt of the state pane; None selects the last attempt of the selected node."""

    def compose(self) -> ComposeResult:
        yield self.graph
        with Vertical(id="run-side"):
            yield self._tabs
            with ContentSwitcher(initial="pane-state", id="run-panes"):
                yield self.state
                yield self.log_pane
                yield self.attempts
                yield self.questions
            yield self._search

    def on_mount(self) -> None:
        self._draw_tabs()

    # --- drawing -------------------------------------------------------------------------------

    def show(self, detail: RunDetail) -> None:
        """Draw a loaded run, and read new lines of its log."""
        self._detail = detail
        self._draw_graph(detail)
        self._draw_pane()
        self.log_pane.read_new_lines()

    def tick(self) -> None:
        """Redraw the parts that depend on the time while the run is active."""
        detail = self._detail
        if detail is not None and detail.run.status in ACTIVE_RUN_STATUSES:
            self._draw_graph(detail)
            if self.pane == "attempts":
                self._draw_pane()
            self.log_pane.read_new_lines()

    def _draw_graph(self, detail: RunDetail) -> None:
        states = {state.node_id: state for state in detail.nodes}
        taken = {a.node_id: a.took_branch for a in detail.attempts if a.took_branch is not None}
        children = {child.id: child for child in detail.children}
        self.graph.show(detail.graph, states, taken, self._reader.screen.now(), children)

    def _draw_tabs(self) -> None:
        parts: list[tuple[str, str]] = []
        for pane, name in PANES.items():
            parts.append((f" {name} ", "reverse bold" if pane == self.pane else "$foreground-muted"))
        self._tabs.update(Content.assemble(*parts))

    def _draw_pane(self) -> None:
        detail, screen = self._detail, self._reader.screen
        if detail is None:
            return
        if self.pane == "state":
            self.state.show(detail.state, self._chosen_attempt())
        elif self.pane == "attempts":
            self.attempts.show(detail.run, detail.attempts, screen.now())
        elif self.pane == "questions":
            self.questions.set_lines(run_header.questions(detail.requests, screen.console.zone))

    # --- navigation ----------------------------------------------------------------------------

    def go_to_pane(self, name: str) -> None:
        """Show a pane and focus it."""
        self.remove_class("-graph")
        self.pane = name
        self.query_one("#run-panes", ContentSwitcher).current = f"pane-{name}"
        if name == "state":
            self.state.focus_view()
        else:
            inside: dict[str, Widget] = {
                "log": self.log_pane.lines,
                "attempts": self.attempts.gantt,
                "questions": self.questions,
            }
            inside[name].focus()
        self._draw_tabs()
        self.log_pane.draw_facts()
        self._draw_pane()
        self.log_pane.lines.keep_up()

    def go_to_graph(self) -> None:
        """Focus the graph."""
        self.remove_class("-side")
        self.graph.focus()

    def toggle_full(self) -> None:
        """Show the focused part, graph or panes, at full width; or show both again."""
        if self.has_class("-graph") or self.has_class("-side"):
            self.remove_class("-graph", "-side")
        else:
            self.add_class("-graph" if self.graph.has_focus else "-side")

    def follow(self) -> None:
        """Follow the active node if the graph has the focus, else switch follow mode of the log."""
        if self.graph.has_focus:
            self.graph.follow()
        else:
            self.log_pane.toggle_follow()

    # --- the selected attempt ------------------------------------------------------------------

    def _chosen_attempt(self) -> AttemptInfo | None:
        """Return the selected attempt, or the last attempt of the selected node."""
        tries = self._detail.attempts if self._detail is not None else ()
        if self._attempt is not None:
            return next((attempt for attempt in tries if attempt.id == self._attempt), None)
        node = self.graph.selected
        return next((attempt for attempt in reversed(tries) if attempt.node_id == node), None)

    def _show_attempt(self, attempt: AttemptInfo) -> None:
        """Show the state of an attempt, with the graph cursor on its node."""
        self.graph.follows = False
        with self.graph.prevent(RunGraph.Selected):
            self.graph.go_to(attempt.node_id)
        self._attempt = attempt.id
        self.go_to_pane("state")

    def step_attempt(self, by: int) -> None:
        """Select the previous or next attempt."""
        tries, chosen = self._detail.attempts if self._detail is not None else (), self._chosen_attempt()
        index = len(tries) if chosen is None else tries.index(chosen) + by
        if tries:
            self._show_attempt(tries[max(0, min(index, len(tries) - 1))])

    def on_run_graph_selected(self) -> None:
        self._attempt = None
        if self.pane == "state":
            self._draw_pane()

    def on_gantt_chosen(self, message: Gantt.Chosen) -> None:
        self._show_attempt(message.attempt)

    # --- searching the log ---------------------------------------------------------------------

    def start_search(self) -> None:
        """Show the log and its search field."""
        self.go_to_pane("log")
        self._search.add_class("-shown")
        self._search.focus()

    def leave_search(self) -> bool:
        """End an active search. Return whether one was active."""
        if not self._search.has_class("-shown") and not (self.searched and self.pane == "log"):
            return False
        self._end_search("")
        return True

    def _end_search(self, text: str) -> None:
        self._search.remove_class("-shown")
        self._search.value = text
        self.log_pane.lines.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.searched = event.value
        self.log_pane.search_for(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_search(event.value)
