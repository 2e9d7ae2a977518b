"""One run: its graph, state, log and attempts, live, with every control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import ContentSwitcher, Input, Static

from victor_engine.api import ACTIVE_RUN_STATUSES, AttemptInfo, LogLine, RunDetail, RunInfo
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.screens.base import ConsoleScreen
from victor_tui.screens.control import RunControl, control_bindings
from victor_tui.text import clean, duration, full, moment
from victor_tui.theme import kind_mark, node_mark, run_mark
from victor_tui.widgets.graph import RunGraph, toned
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.log import LogLines
from victor_tui.widgets.safe import one_line
from victor_tui.widgets.value import ValueTree

PANES = ("state", "log", "attempts", "questions")
NAMES = 26
"""Cells that a bar in the attempts leaves for the rest of its line, at least."""

MAX_LINES = 20_000
"""Log lines kept in memory by one console; the command line prints any number."""
LONGEST = 4000
"""Characters of a log line that are drawn."""


class RunScreen(RunControl, ConsoleScreen):
    MODE = "runs"
    CSS_PATH = "run.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "RunGraph"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back", tooltip="Back to the list"),
        Binding("g", "graph", "Graph", id="run.graph", tooltip="Go to the graph", show=False),
        Binding(
            "s", "pane('state')", "State", id="run.state", tooltip="The state, and what the node changed"
        ),
        Binding("l", "pane('log')", "Log", id="run.log", tooltip="What commands and agents wrote"),
        Binding("t", "pane('attempts')", "Attempts", id="run.attempts", tooltip="Every try, over time"),
        Binding(
            "u",
            "pane('questions')",
            "Questions",
            id="run.questions",
            tooltip="What people were asked",
            show=False,
        ),
        Binding("a,w", "answer_run", "Answer it", id="run.answer", tooltip="Answer what this run waits for"),
        Binding("c", "cancel", "Cancel", id="run.cancel", tooltip="Cancel this run"),
        Binding("p", "pause", "Pause", id="run.pause", tooltip="Hold this run before its next node"),
        Binding("r", "resume", "Resume", id="run.resume", tooltip="Let this run go on"),
        Binding("r", "retry", "Retry", id="run.retry", tooltip="Try again from the node that failed"),
        *control_bindings("run", "redrive"),
        Binding(
            "slash",
            "filter",
            "Search",
            key_display="/",
            id="run.search",
            tooltip="Search the log",
            show=False,
        ),
        Binding("f", "follow", "Follow", id="run.follow", tooltip="Keep to the end of the log", show=False),
        Binding(
            "n",
            "only_node",
            "This node",
            id="run.node",
            tooltip="Log of this node only, or of all",
            show=False,
        ),
    ]

    detail: reactive[RunDetail | None] = reactive(None, bindings=True)
    pane: reactive[str] = reactive("state", bindings=True)

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self._lines: list[LogLine] = []
        self._shown = 0
        self._node_only: str | None = None
        self._search = ""
        self._reading = False

    # --- layout --------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        yield Static("", id="run-head", markup=False)
        with Horizontal(id="run-body"):
            yield RunGraph(id="run-graph")
            with Vertical(id="run-side"):
                yield Static("", id="run-tabs", markup=False)
                with ContentSwitcher(initial="state", id="run-panes"):
                    yield ValueTree(id="state")
                    yield LogLines(id="log")
                    yield LineView(id="attempts")
                    yield LineView(id="questions")
                yield Input(placeholder="search the log", id="run-search")

    def loaders(self) -> dict[Subject, Loader]:
        return {"run": lambda port: port.run(self.run_id)}

    def on_screen_resume(self) -> None:
        # The snapshot that is there may be of another run.
        self.console.feed.watch(self.loaders())
        self.console.update_header()
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
        run, now = self.detail.run, self.now()
        mark = run_mark(run.status)
        took = ((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else None
        usual = f" (usually {duration(run.typical_seconds)})" if run.typical_seconds else ""
        parts: list[tuple[str, str]] = [
            (f" {clean(run.workflow)} ", "bold"),
            (clean(run.version), "$foreground-muted"),
            (f"  {mark.text}", toned(mark.tone)),
            (f"  {duration(took)}{usual}", "$foreground"),
            (f"\n {run.id}  {clean(run.trigger)} by {clean(run.started_by)}", "$foreground-muted"),
            (f"  {full(run.created_at, self.console.zone)}", "$foreground-muted"),
        ]
        if run.parent_run is not None:
            parts.append(
                (f"  {'rerun of' if run.trigger == 'rerun' else 'part of'} {run.parent_run}", "$text-accent")
            )
        if run.dead_letter:
            parts.append(("  dead letter", "$text-error"))
        if run.error is not None:
            where = f" in {clean(run.error.node_id)}" if run.error.node_id else ""
            parts.append((f"\n ✗ {clean(run.error.type)}{where}: {clean(run.error.message)}", "$text-error"))
        elif run.waits_for:
            parts.append((f"\n ◆ waits for {clean(run.waits_for)}", "$text-accent"))
        self.query_one("#run-head", Static).update(Content.assemble(*parts))

    def _draw_graph(self) -> None:
        assert self.detail is not None
        states = {state.node_id: state for state in self.detail.nodes}
        taken = {a.node_id: a.took_branch for a in self.detail.attempts if a.took_branch is not None}
        self.query_one(RunGraph).show(self.detail.graph, states, taken, self.now())

    def _draw_tabs(self) -> None:
        names = {"state": "s State", "log": "l Log", "attempts": "t Attempts", "questions": "u Questions"}
        parts: list[tuple[str, str]] = []
        for pane in PANES:
            parts.append((f" {names[pane]} ", "reverse bold" if pane == self.pane else "$foreground-muted"))
        if self.pane == "log":
            parts.append(
                (f"  {'following' if self.query_one(LogLines).follow else 'f follows'}", "$foreground-muted")
            )
            if self._node_only:
                parts.append((f"  only {clean(self._node_only)}", "$text-accent"))
            if self._search:
                parts.append((f"  /{clean(self._search)}", "$text-accent"))
        for tabs in self.query("#run-tabs").results(Static):
            tabs.update(Content.assemble(*parts))

    def _draw_pane(self) -> None:
        if self.pane == "state":
            self._draw_state()
        elif self.pane == "attempts":
            self._draw_attempts()
        elif self.pane == "questions":
            self._draw_questions()

    def _draw_state(self) -> None:
        assert self.detail is not None
        node = self.query_one(RunGraph).selected
        marks: dict[str, str] = {}
        for attempt in self.detail.attempts:
            if attempt.node_id == node:
                changes = attempt.changes
                marks = dict.fromkeys(changes.get("set", {}), "+")
                marks |= dict.fromkeys(changes.get("merged", {}), "~")
                marks |= dict.fromkeys(changes.get("deleted", []), "-")
        self.query_one("#state", ValueTree).show(self.detail.state, marks)

    def _draw_attempts(self) -> None:
        assert self.detail is not None
        tries, now = self.detail.attempts, self.now()
        if not tries:
            self.query_one("#attempts", LineView).set_lines(
                [Content.styled(" nothing has run yet", "$foreground-muted")]
            )
            return
        first = tries[0].started_at
        last = max((attempt.finished_at or now) for attempt in tries)
        whole = max((last - first).total_seconds(), 0.001)
        self.query_one("#attempts", LineView).set_lines([self._bar(a, first, whole, now) for a in tries])

    def _bar(self, attempt: AttemptInfo, first: datetime, whole: float, now: datetime) -> Content:
        """One try on the time of the whole run; what waits is drawn thin."""
        cells = max(8, min(48, self.query_one("#attempts").size.width - NAMES))
        mark = node_mark(attempt.status)
        begin = (attempt.started_at - first).total_seconds()
        took = ((attempt.finished_at or now) - attempt.started_at).total_seconds()
        left = min(cells - 1, int(cells * begin / whole))
        wide = max(1, min(cells - left, round(cells * took / whole)))
        sign = "╌" if attempt.node_type == "hitl" or attempt.status == "waiting" else "━"
        name = f"{attempt.parent}/" if attempt.parent else ""
        number = f" #{attempt.number}" if attempt.number > 1 else ""
        loop = f" ×{attempt.iteration}" if attempt.iteration > 1 else ""
        parts = [
            (f" {mark.glyph} ", toned(mark.tone)),
            (f"{' ' * left}{sign * wide}{' ' * (cells - left - wide)} ", toned(mark.tone)),
            (f"{duration(took):>7} ", "$foreground-muted"),
            (clean(f"{name}{attempt.node_id}"), "bold"),
            (f"{loop}{number}", "$text-accent"),
        ]
        if attempt.took_branch:
            parts.append((f" → {clean(attempt.took_branch)}", "$foreground-muted"))
        if attempt.error is not None:
            parts.append((f"  {clean(attempt.error.type)}: {clean(attempt.error.message)}", "$text-error"))
        elif attempt.binding:
            parts.append((f"  {clean(attempt.binding)}", "$foreground-muted"))
        return Content.assemble(*parts)

    def _draw_questions(self) -> None:
        assert self.detail is not None
        lines: list[Content] = []
        for request in self.detail.requests:
            mark = kind_mark(request.kind)
            lines.append(
                Content.assemble(
                    (f" {mark.glyph} ", toned("wait" if request.status == "open" else "dim")),
                    (clean(request.title), "bold"),
                    (f"  {request.status}", "$foreground-muted"),
                )
            )
            if request.outcome is not None:
                who = request.answered_by.user if request.answered_by else "nobody"
                when = full(request.answered_at, self.console.zone) if request.answered_at else ""
                lines.append(
                    Content.styled(
                        f"   {clean(request.outcome)} by {clean(who)}, {when}", "$foreground-muted"
                    )
                )
            if request.comment:
                lines.append(Content.styled(f"   “{clean(request.comment)}”", "italic"))
        self.query_one("#questions", LineView).set_lines(
            lines or [Content.styled(" nobody was asked anything", "$foreground-muted")]
        )

    # --- log -----------------------------------------------------------------------------------

    @work(group="log", exclusive=False)
    async def read_log(self) -> None:
        """Read what is new, a page at a time."""
        if self._reading:
            return
        self._reading = True
        try:
            while True:
                after = self._lines[-1].seq if self._lines else 0
                page = await self.port.run_log(self.run_id, after)
                self._lines.extend(page)
                if len(self._lines) > MAX_LINES:
                    del self._lines[: len(self._lines) - MAX_LINES]
                    self._shown = -1
                if len(page) < 2000:
                    break
        except VictorError as error:
            self.show_banner(clean(error.message))
        finally:
            self._reading = False
        self._draw_log()

    def _draw_log(self) -> None:
        view = self.query_one(LogLines)
        wanted = [line for line in self._lines if self._matches(line)]
        if not wanted:
            view.set_lines([Content.styled(" no output", "$foreground-muted")])
            self._shown = 0
            return
        if 0 < self._shown <= len(wanted):
            if self._shown < len(wanted):
                view.append_lines([self._log_line(line) for line in wanted[self._shown :]])
        else:
            view.set_lines([self._log_line(line) for line in wanted])
        self._shown = len(wanted)
        view.keep_up()

    def _matches(self, line: LogLine) -> bool:
        if self._node_only is not None and line.node_id != self._node_only:
            return False
        return self._search.lower() in line.text.lower()

    def _log_line(self, line: LogLine) -> Content:
        style = {"stderr": "$foreground", "engine": "$text-warning"}.get(line.stream, "$foreground")
        return Content.assemble(
            (f" {moment(line.at, self.now(), self.console.zone)} ", "$foreground-muted"),
            (f"{clean(line.node_id)} ", "$text-accent"),
            (one_line(line.text, LONGEST), style),
        )

    def _log_again(self) -> None:
        self._shown = -1
        self._draw_log()
        self._draw_tabs()

    # --- actions -------------------------------------------------------------------------------

    def on_run_graph_selected(self, message: RunGraph.Selected) -> None:
        if self.detail is not None and self.pane == "state":
            self._draw_state()

    def action_back(self) -> None:
        search = self.query_one("#run-search", Input)
        if search.has_class("-shown"):
            self._end_search("")
        else:
            self.dismiss()

    def action_graph(self) -> None:
        self.query_one(RunGraph).focus()

    def action_pane(self, name: str) -> None:
        self.pane = name
        self.query_one(ContentSwitcher).current = name
        self.query_one(f"#{name}").focus()
        self._draw_tabs()
        if self.detail is not None:
            self._draw_pane()
        self.query_one(LogLines).keep_up()

    def action_follow(self) -> None:
        log = self.query_one(LogLines)
        log.follow = not log.follow
        self._log_again()

    def on_log_lines_released(self) -> None:
        self._draw_tabs()

    def action_only_node(self) -> None:
        chosen = self.query_one(RunGraph).selected
        self._node_only = None if self._node_only is not None else chosen
        self.action_pane("log")
        self._log_again()

    def action_filter(self) -> None:
        self.action_pane("log")
        search = self.query_one("#run-search", Input)
        search.add_class("-shown")
        search.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search = event.value
        self._log_again()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_search(event.value)

    def _end_search(self, text: str) -> None:
        search = self.query_one("#run-search", Input)
        search.remove_class("-shown")
        search.value = text
        self.query_one("#log").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        status = self.detail.run.status if self.detail is not None else ""
        allowed: dict[str, Callable[[str], bool]] = {
            "cancel": lambda s: s in ACTIVE_RUN_STATUSES and s != "cancelling",
            "pause": lambda s: s in ("queued", "running", "waiting"),
            "resume": lambda s: s == "paused",
            "retry": lambda s: s in ("failed", "cancelled"),
            "answer_run": lambda s: self._open_request() is not None,
        }
        if action in allowed:
            return allowed[action](status)
        controlled = self.control_allowed(action)
        return True if controlled is None else controlled

    def chosen_runs(self) -> Sequence[RunInfo]:
        return [self.detail.run] if self.detail is not None else []

    def chosen_node(self) -> str | None:
        """The node that somebody has moved to in the graph."""
        graph = self.query_one(RunGraph)
        return graph.selected if graph.cursor > 0 else None

    def after_control(self) -> None:
        self.console.feed.mark_stale("run")

    def _open_request(self) -> Any:
        requests = self.detail.requests if self.detail is not None else ()
        return next((request for request in requests if request.status == "open"), None)

    @work(group="action")
    async def action_answer_run(self) -> None:
        request = self._open_request()
        if request is not None:
            await self.console.answer_request(request)
            self.console.feed.mark_stale("run")

    @work(group="action")
    async def action_cancel(self) -> None:
        note = await self.console.confirm(
            f"Cancel run {self.run_id}?", "What it started is ended, with all its processes."
        )
        if note is not None:
            await self._do(self.port.cancel_run(self.run_id, note), "Cancelled.")

    @work(group="action")
    async def action_pause(self) -> None:
        await self._do(self.port.pause_run(self.run_id), "It is held before its next node.")

    @work(group="action")
    async def action_resume(self) -> None:
        await self._do(self.port.resume_run(self.run_id), "It goes on.")

    @work(group="action")
    async def action_retry(self) -> None:
        assert self.detail is not None
        error = self.detail.run.error
        where = error.node_id if error is not None and error.node_id else "the node where it stopped"
        note = await self.console.confirm(
            "Try again?", f"It goes on from {clean(where)}; finished nodes stay."
        )
        if note is not None:
            await self._do(self.port.retry_run(self.run_id, note), "It tries again.")

    async def _do(self, action: Any, done: str) -> None:
        await self.console.perform(action, done)
        self.console.feed.mark_stale("run")
