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

PANES = {"state": "s State", "log": "l Log", "attempts": "t Attempts", "questions": "u Questions"}


class RunView(Horizontal):
    """Draws a run. It owns the graph, the panes, which pane is in sight, and the attempt whose state is shown."""

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
        """The attempt around which the state is shown; None shows the last one of the chosen node."""

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
        """Draw a run as it was loaded, and read on in its log."""
        self._detail = detail
        self._draw_graph(detail)
        self._draw_pane()
        self.log_pane.read_on()

    def tick(self) -> None:
        """Draw again what depends on the time while the run is active."""
        detail = self._detail
        if detail is not None and detail.run.status in ACTIVE_RUN_STATUSES:
            self._draw_graph(detail)
            if self.pane == "attempts":
                self._draw_pane()
            self.log_pane.read_on()

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

    # --- going about ---------------------------------------------------------------------------

    def go_to_pane(self, name: str) -> None:
        """Bring a pane into sight and give it the focus."""
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
        """Give the focus to the graph."""
        self.remove_class("-side")
        self.graph.focus()

    def toggle_full(self) -> None:
        """Give the whole width to the graph or the panes, whichever has the focus; or show both again."""
        if self.has_class("-graph") or self.has_class("-side"):
            self.remove_class("-graph", "-side")
        else:
            self.add_class("-graph" if self.graph.has_focus else "-side")

    def follow(self) -> None:
        """Follow what is at work in the graph if that has the focus, else the end of the log."""
        if self.graph.has_focus:
            self.graph.follow()
        else:
            self.log_pane.toggle_follow()

    # --- the attempt whose state is shown ------------------------------------------------------

    def _chosen_attempt(self) -> AttemptInfo | None:
        """The attempt around which the state is shown: the chosen one, or the last of the chosen node."""
        tries = self._detail.attempts if self._detail is not None else ()
        if self._attempt is not None:
            return next((attempt for attempt in tries if attempt.id == self._attempt), None)
        node = self.graph.selected
        return next((attempt for attempt in reversed(tries) if attempt.node_id == node), None)

    def _show_attempt(self, attempt: AttemptInfo) -> None:
        """The state around an attempt, with the graph on its node."""
        self.graph.follows = False
        with self.graph.prevent(RunGraph.Selected):
            self.graph.go_to(attempt.node_id)
        self._attempt = attempt.id
        self.go_to_pane("state")

    def step_attempt(self, by: int) -> None:
        """Go to the attempt before or after the one whose state is shown."""
        tries, chosen = self._detail.attempts if self._detail is not None else (), self._chosen_attempt()
        place = len(tries) if chosen is None else tries.index(chosen) + by
        if tries:
            self._show_attempt(tries[max(0, min(place, len(tries) - 1))])

    def on_run_graph_selected(self) -> None:
        self._attempt = None
        if self.pane == "state":
            self._draw_pane()

    def on_gantt_chosen(self, message: Gantt.Chosen) -> None:
        self._show_attempt(message.attempt)

    # --- searching the log ---------------------------------------------------------------------

    def start_search(self) -> None:
        """Show the log and the field for what is searched in it."""
        self.go_to_pane("log")
        self._search.add_class("-shown")
        self._search.focus()

    def leave_search(self) -> bool:
        """End the search if there is one. Return whether there was."""
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
        self.log_pane.look_for(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_search(event.value)
