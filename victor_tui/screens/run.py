"""One run: its graph, state, log and attempts, live, with every control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.reactive import reactive
from textual.widgets import ContentSwitcher, Input, Static

from victor_engine.api import ACTIVE_RUN_STATUSES, AttemptInfo, AttemptState, RunDetail, RunInfo
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.screens import run_words
from victor_tui.screens.base import ConsoleScreen
from victor_tui.screens.control import RunCommands, control_bindings
from victor_tui.text import clean
from victor_tui.widgets.gantt import Gantt
from victor_tui.widgets.graph import RunGraph
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.log import LogLines
from victor_tui.widgets.statepane import StatePane

PANES = {"state": "s State", "log": "l Log", "attempts": "t Attempts", "questions": "u Questions"}
_PAGE = 2000
"""Log lines that are read at once."""

AttemptKey = tuple[int, str]
"""An attempt and its status: the state around it is read again when that changes."""


def _pane(key: str, name: str, title: str, tooltip: str, show: bool = True) -> Binding:
    return Binding(key, f"pane('{name}')", title, id=f"run.{name}", tooltip=tooltip, show=show)


def _key(key: str, action: str, title: str, name: str, tooltip: str) -> Binding:
    return Binding(key, action, title, id=f"run.{name}", tooltip=tooltip, show=False)


class RunScreen(ConsoleScreen):
    MODE = "runs"
    CSS_PATH = "run.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "RunGraph"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back", tooltip="Back to the list"),
        _pane("s", "state", "State", "The state, and what each attempt made of it"),
        _pane("l", "log", "Log", "What commands and agents wrote"),
        _pane("t", "attempts", "Attempts", "Every attempt, over time"),
        _pane("u", "questions", "Questions", "What people were asked", show=False),
        Binding("a,w", "answer_run", "Answer it", id="run.answer", tooltip="Answer what this run waits for"),
        *control_bindings(
            "run", "cancel", "kill", "pause", "resume", "retry", "redrive", without=("dead_letters",)
        ),
        _key("g", "graph", "Graph", "graph", "Go to the graph"),
        _key("v", "lanes", "Lanes or outline", "lanes", "Draw the graph in lanes, or as an outline"),
        _key("F", "full", "Full width", "full", "The pane that one is in over the whole width, or both"),
        _key("P", "parent", "Parent", "parent", "Open the run that this one is part of, or a rerun of"),
        _key(
            "b", "turn", "After/before/changes", "turn", "The state after it, before it, or what it changed"
        ),
        _key(
            "K", "attempt(-1)", "Earlier attempt", "earlier", "The state around the attempt before this one"
        ),
        _key("J", "attempt(1)", "Later attempt", "later", "The state around the attempt after this one"),
        Binding(
            "slash",
            "filter",
            "Search",
            key_display="/",
            id="run.search",
            tooltip="Search the log",
            show=False,
        ),
        _key("n", "match(1)", "Next match", "next", "The next line with what is searched for"),
        _key("N", "match(-1)", "Previous match", "previous", "The line before with what is searched for"),
        _key(
            "f", "follow", "Follow", "follow", "Keep to the end of the log; in the graph, to what is at work"
        ),
        _key("o", "only_node", "Only this node", "node", "Log of this node only, or of all"),
    ]

    detail: reactive[RunDetail | None] = reactive(None, bindings=True)
    pane: reactive[str] = reactive("state", bindings=True)
    searched: reactive[str] = reactive("", bindings=True)

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self.commands = RunCommands(self, runs=self.chosen_runs, done=self._mark_stale, node=self.chosen_node)
        self._attempt: int | None = None
        """The attempt around which the state is shown; None shows the state as it is."""
        self._read: AttemptKey | None = None
        self._around: AttemptState | None = None
        self._reading = False

    # --- layout --------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        yield Static("", id="run-head", markup=False)
        with Horizontal(id="run-body"):
            yield RunGraph(id="run-graph")
            with Vertical(id="run-side"):
                yield Static("", id="run-tabs", markup=False)
                with ContentSwitcher(initial="pane-state", id="run-panes"):
                    yield StatePane(id="pane-state")
                    with Vertical(id="pane-log"):
                        yield Static("", id="log-facts", markup=False)
                        yield LogLines(id="log")
                    with Vertical(id="pane-attempts"):
                        yield Static("", id="gantt-facts", markup=False)
                        yield Static("", id="gantt-scale", markup=False)
                        yield Gantt(id="gantt")
                    yield LineView(id="pane-questions")
                yield Input(placeholder="search the log", id="run-search")

    def loaders(self) -> dict[Subject, Loader]:
        return {"run": lambda port: port.run(self.run_id)}

    def on_screen_resume(self) -> None:
        # The snapshot that is there may be of another run.
        self.console.feed.watch(self.loaders())
        self.console.update_header()
        self.query_one(LogLines).zone = self.console.zone
        self._draw_tabs()

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "run" and self.query("#run-graph"):
            self.draw(subject)

    def draw(self, subject: Subject) -> None:
        found: RunDetail | None = self.snapshot("run")
        if found is None or not found.run.id.startswith(self.run_id):
            return
        self.detail = found
        self._draw_head()
        self._draw_graph()
        self._draw_pane()
        self.read_log()

    def tick(self) -> None:
        if self.detail is None:
            return
        self._draw_head()
        if self.detail.run.status in ACTIVE_RUN_STATUSES:
            self._draw_graph()
            if self.pane == "attempts":
                self._draw_attempts()
            self.read_log()

    # --- drawing -------------------------------------------------------------------------------

    def _draw_head(self) -> None:
        assert self.detail is not None
        self.query_one("#run-head", Static).update(
            run_words.head(self.detail.run, self.now(), self.console.zone)
        )

    def _draw_graph(self) -> None:
        assert self.detail is not None
        states = {state.node_id: state for state in self.detail.nodes}
        taken = {a.node_id: a.took_branch for a in self.detail.attempts if a.took_branch is not None}
        children = {child.id: child for child in self.detail.children}
        self.query_one(RunGraph).show(self.detail.graph, states, taken, self.now(), children)

    def _draw_tabs(self) -> None:
        parts: list[tuple[str, str]] = []
        for pane, name in PANES.items():
            parts.append((f" {name} ", "reverse bold" if pane == self.pane else "$foreground-muted"))
        self.query_one("#run-tabs", Static).update(Content.assemble(*parts))
        self._draw_log_facts()

    def _draw_log_facts(self) -> None:
        self.query_one("#log-facts", Static).update(run_words.log_facts(self.query_one(LogLines)))

    def _draw_pane(self) -> None:
        if self.pane == "state":
            self._draw_state()
        elif self.pane == "attempts":
            self._draw_attempts()
        elif self.pane == "questions":
            assert self.detail is not None
            lines = run_words.questions(self.detail.requests, self.console.zone)
            self.query_one("#pane-questions", LineView).set_lines(lines)

    def _draw_attempts(self) -> None:
        assert self.detail is not None
        self.query_one(Gantt).show(self.detail.run, self.detail.attempts, self.now())
        self._draw_scale()

    def _draw_scale(self) -> None:
        gantt = self.query_one(Gantt)
        self.query_one("#gantt-scale", Static).update(Content.styled(gantt.scale(), "$foreground-muted"))
        self.query_one("#gantt-facts", Static).update(run_words.attempt_facts(gantt.current))

    # --- state ---------------------------------------------------------------------------------

    def _chosen_attempt(self) -> AttemptInfo | None:
        """The attempt around which the state is shown: the chosen one, or the last of the chosen node."""
        assert self.detail is not None
        tries = self.detail.attempts
        if self._attempt is not None:
            return next((attempt for attempt in tries if attempt.id == self._attempt), None)
        node = self.query_one(RunGraph).selected
        return next((attempt for attempt in reversed(tries) if attempt.node_id == node), None)

    def _draw_state(self) -> None:
        assert self.detail is not None
        chosen = self._chosen_attempt()
        if chosen is None:
            self._read = self._around = None
            self.query_one(StatePane).show(self.detail.state, None)
        elif self._read != (chosen.id, chosen.status):
            self._read_state(chosen.id, chosen.status)
        else:
            self.query_one(StatePane).show(self.detail.state, self._around)

    @work(group="state", exclusive=True)
    async def _read_state(self, attempt: int, status: str) -> None:
        try:
            self._around = await self.port.attempt_state(self.run_id, attempt)
        except VictorError as error:
            self.show_banner(clean(error.message))
            return
        self._read = (attempt, status)
        if self.detail is not None:
            self.query_one(StatePane).show(self.detail.state, self._around)

    def on_run_graph_selected(self, message: RunGraph.Selected) -> None:
        self._attempt = None
        if self.detail is not None and self.pane == "state":
            self._draw_state()

    def on_run_graph_chosen(self, message: RunGraph.Chosen) -> None:
        assert self.detail is not None
        state = next((node for node in self.detail.nodes if node.node_id == message.node_id), None)
        if state is not None and state.child_run is not None:
            self.console.navigator.open_run(state.child_run)
        else:
            self.action_pane("state")

    def on_gantt_selected(self, message: Gantt.Selected) -> None:
        self._draw_scale()

    def on_gantt_chosen(self, message: Gantt.Chosen) -> None:
        self._show_attempt(message.attempt)

    def _show_attempt(self, attempt: AttemptInfo) -> None:
        """The state around an attempt, with the graph on its node."""
        graph = self.query_one(RunGraph)
        graph.follows = False
        with graph.prevent(RunGraph.Selected):
            graph.go_to(attempt.node_id)
        self._attempt = attempt.id
        self.action_pane("state")

    def action_attempt(self, by: int) -> None:
        """Step to the attempt before or after the one whose state is shown."""
        assert self.detail is not None
        tries, chosen = self.detail.attempts, self._chosen_attempt()
        place = len(tries) if chosen is None else tries.index(chosen) + by
        if tries:
            self._show_attempt(tries[max(0, min(place, len(tries) - 1))])

    def action_turn(self) -> None:
        self.query_one(StatePane).turn()

    # --- log -----------------------------------------------------------------------------------

    @work(group="log", exclusive=False)
    async def read_log(self) -> None:
        """Read what is new, a page at a time."""
        if self._reading:
            return
        self._reading = True
        try:
            log = self.query_one(LogLines)
            log.today = self.now()
            while True:
                page = await self.port.run_log(self.run_id, log.last_seq, _PAGE)
                log.extend(page)
                if len(page) < _PAGE:
                    break
        except VictorError as error:
            self.show_banner(clean(error.message))
        except NoMatches:
            return  # the screen was closed meanwhile
        finally:
            self._reading = False
        self._draw_log_facts()

    def on_log_lines_released(self) -> None:
        self._draw_log_facts()

    def action_follow(self) -> None:
        graph = self.query_one(RunGraph)
        if self.focused is graph:
            graph.follow()
            return
        log = self.query_one(LogLines)
        log.follow = not log.follow
        log.keep_up()
        self._draw_log_facts()

    def action_only_node(self) -> None:
        log = self.query_one(LogLines)
        log.node = None if log.node is not None else self.query_one(RunGraph).selected
        log.narrow()
        self.action_pane("log")

    def action_filter(self) -> None:
        self.action_pane("log")
        search = self.query_one("#run-search", Input)
        search.add_class("-shown")
        search.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.searched = event.value
        self.query_one(LogLines).look_for(event.value)
        self._draw_log_facts()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_search(event.value)

    def _end_search(self, text: str) -> None:
        search = self.query_one("#run-search", Input)
        search.remove_class("-shown")
        search.value = text
        self.query_one("#log").focus()

    def action_match(self, by: int) -> None:
        self.query_one(LogLines).step(by)
        self._draw_log_facts()

    # --- going about ---------------------------------------------------------------------------

    def action_back(self) -> None:
        search = self.query_one("#run-search", Input)
        if search.has_class("-shown") or (self.searched and self.pane == "log"):
            self._end_search("")
        else:
            self.dismiss()

    def action_graph(self) -> None:
        self.query_one("#run-body").remove_class("-side")
        self.query_one(RunGraph).focus()

    def action_lanes(self) -> None:
        self.query_one(RunGraph).toggle_lanes()
        self.action_graph()

    def action_full(self) -> None:
        """Give the whole width to the graph or the panes, whichever has the focus; or show both again."""
        body, graph = self.query_one("#run-body"), self.query_one(RunGraph)
        if body.has_class("-graph") or body.has_class("-side"):
            body.remove_class("-graph", "-side")
        else:
            body.add_class("-graph" if self.focused is graph else "-side")

    def action_pane(self, name: str) -> None:
        self.query_one("#run-body").remove_class("-graph")
        self.pane = name
        self.query_one("#run-panes", ContentSwitcher).current = f"pane-{name}"
        if name == "state":
            self.query_one(StatePane).focus_view()
        else:
            inside = {"log": "#log", "attempts": "#gantt", "questions": "#pane-questions"}
            self.query_one(inside[name]).focus()
        self._draw_tabs()
        if self.detail is not None:
            self._draw_pane()
        self.query_one(LogLines).keep_up()

    def action_parent(self) -> None:
        if self.detail is not None and self.detail.run.parent_run is not None:
            self.console.navigator.open_run(self.detail.run.parent_run)

    # --- control -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "answer_run":
                return self._open_request() is not None
            case "match":
                return self.pane == "log" and bool(self.searched)
            case "turn" | "attempt":
                return self.pane == "state" and self.detail is not None and bool(self.detail.attempts)
            case "parent":
                return self.detail is not None and self.detail.run.parent_run is not None
        return self.commands.allows(str(parameters[0])) if action == "run_command" else True

    def chosen_runs(self) -> Sequence[RunInfo]:
        return [self.detail.run] if self.detail is not None else []

    def chosen_node(self) -> str | None:
        """The node that somebody has moved to in the graph, or where it stands by itself after the start."""
        graph = self.query_one(RunGraph)
        return graph.selected if graph.cursor > 0 or not graph.follows else None

    def _mark_stale(self) -> None:
        self.console.feed.mark_stale("run")

    def action_run_command(self, command: str) -> None:
        self.commands.start(command)

    def _open_request(self) -> Any:
        requests = self.detail.requests if self.detail is not None else ()
        return next((request for request in requests if request.status == "open"), None)

    @work(group="action")
    async def action_answer_run(self) -> None:
        request = self._open_request()
        if request is not None:
            await self.console.dialogs.answer_request(request)
            self.console.feed.mark_stale("run")
