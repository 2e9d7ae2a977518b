"""Runs: what is at work, what waits for whom, and what became of the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from victor_engine.api import ACTIVE_RUN_STATUSES, RunInfo
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.filters import Filter
from victor_tui.screens.base import ConsoleScreen
from victor_tui.screens.control import RunControl, control_bindings
from victor_tui.text import clean, duration, full, moment, relative
from victor_tui.theme import run_mark
from victor_tui.widgets.filterbar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable

PAGE = 500
"""Runs shown at once; the filter reaches the older ones."""

EMPTY = """No runs here.

n  start a workflow
1  see what is scheduled
/  change the filter"""


def elapsed(run: RunInfo, now: datetime) -> float | None:
    if run.started_at is None:
        return None
    return ((run.finished_at or now) - run.started_at).total_seconds()


def status_cell(run: RunInfo, now: datetime) -> Cell:
    mark = run_mark(run.status)
    return mark.text, mark.tone


def progress_cell(run: RunInfo, now: datetime) -> list[Cell]:
    """A bar of done against expected nodes, and the numbers. Loops may do more than expected."""
    if not run.nodes_expected:
        return [(f"{run.nodes_done} done", "dim")]
    share = min(1.0, run.nodes_done / run.nodes_expected)
    filled = round(share * 5)
    tone = run_mark(run.status).tone
    return [
        ("━" * filled, tone),
        ("╌" * (5 - filled), "dim"),
        (f" {run.nodes_done}/{run.nodes_expected}", "dim"),
    ]


def elapsed_cell(run: RunInfo, now: datetime) -> Cell:
    seconds = elapsed(run, now)
    slow = seconds is not None and run.typical_seconds is not None and seconds > 2 * run.typical_seconds
    words = duration(seconds)
    if slow and run.status in ACTIVE_RUN_STATUSES and run.status != "waiting":
        return f"{words} !", "warn"
    return words, "plain"


def now_cell(run: RunInfo, now: datetime) -> Cell:
    """What it does, waits for, or died of."""
    if run.error is not None:
        return f"{run.error.type}: {run.error.message}", "bad"
    if run.waits_for:
        return run.waits_for, "wait"
    if run.current:
        return ", ".join(run.current), "busy"
    return run.note, "dim"


class RunsScreen(RunControl, ConsoleScreen):
    MODE = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="runs.open", tooltip="Graph, state and log of this run"),
        Binding("n", "new", "Start", id="runs.new", tooltip="Start a workflow now"),
        Binding("c", "cancel", "Cancel", id="runs.cancel", tooltip="Cancel this run or all marked ones"),
        Binding("p", "pause", "Pause", id="runs.pause", tooltip="Hold this run before its next node"),
        Binding("r", "resume", "Resume", id="runs.resume", tooltip="Let this run go on"),
        Binding("r", "retry", "Retry", id="runs.retry", tooltip="Try again from the node that failed"),
        Binding("w", "answer_run", "Answer it", id="runs.answer", tooltip="Answer what this run waits for"),
        *control_bindings("runs", "redrive", "dead_letters"),
        Binding(
            "A", "active", "Active only", id="runs.active", tooltip="Only active runs, or all", show=False
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()
        self._wanted: str | None = None

    def on_mount(self) -> None:
        super().on_mount()
        if self._wanted is not None:
            self.show_filter(self._wanted)

    def compose_body(self) -> ComposeResult:
        yield FilterBar("status:active  workflow:deploy  after:yesterday  took:>10m", self.console.zone)
        with Container(classes="body"):
            yield LineTable[RunInfo](
                [
                    Column("status", "Status", 12, status_cell, lambda r: r.status),
                    Column(
                        "workflow",
                        "Workflow",
                        13,
                        lambda r, _: (r.workflow, "head"),
                        lambda r: r.workflow,
                        0,
                        1,
                    ),
                    Column("progress", "Nodes", 10, progress_cell, lambda r: r.nodes_done, 3),
                    Column(
                        "elapsed",
                        "Time",
                        8,
                        elapsed_cell,
                        lambda r: elapsed(r, self.now()),
                        1,
                        align="right",
                        live=True,
                    ),
                    Column("now", "Now", 18, now_cell, None, 2, 4),
                    Column("started", "Began", 9, self._began_cell, lambda r: r.created_at, 2, live=True),
                    Column(
                        "retries",
                        "Retry",
                        5,
                        lambda r, _: (f"↻ {r.retries}" if r.retries else "", "warn"),
                        lambda r: r.retries,
                        6,
                    ),
                    Column("version", "Version", 7, lambda r, _: (r.version, "dim"), lambda r: r.version, 7),
                    Column("id", "Run", 8, lambda r, _: (r.id, "dim"), lambda r: r.id, 8),
                ],
                key=lambda run: run.id,
                now=self.now,
                empty=EMPTY,
                id="runs",
            )
            yield Preview()

    def _began_cell(self, run: RunInfo, now: datetime) -> Cell:
        return moment(run.created_at, now, self.console.zone), "dim"

    def loaders(self) -> dict[Subject, Loader]:
        query = self.filter.run_query(PAGE)
        return {"runs": lambda port: port.runs(query)}

    def draw(self, subject: Subject) -> None:
        runs: list[RunInfo] = self.snapshot("runs")
        self.query_one("#runs", LineTable).set_rows(runs)
        more = f"newest {PAGE}" if len(runs) >= PAGE else str(len(runs))
        self.query_one(FilterBar).note(more)

    # --- filter -------------------------------------------------------------------------------

    def show_filter(self, text: str) -> None:
        """Show only what this filter means, as soon as there is a filter bar."""
        self._wanted = text
        for bar in self.query(FilterBar):
            bar.value = text

    def action_filter(self) -> None:
        self.query_one(FilterBar).edit()

    def action_active(self) -> None:
        bar = self.query_one(FilterBar)
        bar.value = "" if bar.value == "status:active" else "status:active"

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.filter = message.filter
        self.console.feed.watch(self.loaders())

    def on_filter_bar_done(self) -> None:
        self.query_one("#runs", LineTable).focus()

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        run: RunInfo = row
        now, zone = self.now(), self.console.zone
        mark = run_mark(run.status)
        facts = self.facts().line(
            (f"{run.workflow} ", "head"), (run.version, "dim"), (f"  {mark.text}", mark.tone)
        )
        if run.error is not None:
            place = f" in {run.error.node_id}" if run.error.node_id else ""
            facts.text(f"✗ {run.error.type}{place}: {run.error.message}", "bad")
        if run.waits_for:
            facts.text(f"◆ waits for {run.waits_for}", "wait")
        facts.fact("run", run.id)
        facts.fact("at", ", ".join(run.current), "busy")
        expected = f" of {run.nodes_expected}" if run.nodes_expected else ""
        facts.fact("nodes", f"{run.nodes_done}{expected} done")
        typical = f"  (usually {duration(run.typical_seconds)})" if run.typical_seconds else ""
        facts.fact("time", f"{duration(elapsed(run, now))}{typical}")
        facts.fact("retries", run.retries or "", "warn")
        facts.fact("started by", f"{run.trigger}, {run.started_by}")
        facts.fact("schedule", run.schedule_id)
        facts.fact("began", f"{full(run.created_at, zone)}, {relative(run.created_at, now)}")
        facts.fact("ended", full(run.finished_at, zone) if run.finished_at else "")
        facts.fact("rerun of" if run.trigger == "rerun" else "parent", run.parent_run)
        facts.fact(
            "dead letter",
            "nobody has dealt with it: d redrives, D discards" if run.dead_letter else "",
            "bad",
        )
        facts.fact("note", run.note)
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        run: RunInfo | None = self.current
        allowed: dict[str, Callable[[RunInfo], bool]] = {
            "open": lambda r: True,
            "cancel": lambda r: r.status in ACTIVE_RUN_STATUSES and r.status != "cancelling",
            "pause": lambda r: r.status in ("queued", "running", "waiting"),
            "resume": lambda r: r.status == "paused",
            "retry": lambda r: r.status == "failed",
            "answer_run": lambda r: r.status == "waiting" and r.request_id is not None,
        }
        if action in allowed:
            return run is not None and allowed[action](run)
        controlled = self.control_allowed(action)
        return True if controlled is None else controlled

    def chosen_runs(self) -> Sequence[RunInfo]:
        for table in self.query("#runs").results(LineTable):
            if table.marked_rows:
                return table.marked_rows
        return [self.current] if self.current is not None else []

    def after_control(self) -> None:
        self.console.feed.mark_stale("runs")

    def action_open(self) -> None:
        if self.current is not None:
            self.console.open_run(self.current.id)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        self.console.open_run(message.row.id)

    @work(group="action")
    async def action_new(self) -> None:
        from victor_tui.screens.pick import PickWorkflow

        try:
            workflows = await self.port.workflows()
        except VictorError as error:
            self.console.report(error)
            return
        name = await self.app.push_screen_wait(PickWorkflow(workflows))
        if name is not None:
            await self.console.start_workflow(name)

    @work(group="action")
    async def action_cancel(self) -> None:
        table: LineTable[RunInfo] = self.query_one("#runs", LineTable)
        runs = [r for r in table.marked_rows if r.status in ACTIVE_RUN_STATUSES] or [self.current]
        names = "\n".join(
            f"{clean(r.workflow)} {r.id}: {clean(now_cell(r, self.now())[0])}" for r in runs[:8]
        )
        title = f"Cancel {len(runs)} runs?" if len(runs) > 1 else f"Cancel run {runs[0].id}?"
        note = await self.console.confirm(
            title, f"{names}\nWhat it started is ended, with all its processes."
        )
        if note is None:
            return
        for run in runs:
            await self._do(self.port.cancel_run(run.id, note), f"Cancelling {run.id}.")

    @work(group="action")
    async def action_pause(self) -> None:
        run: RunInfo = self.current
        await self._do(self.port.pause_run(run.id), f"{run.id} is held before its next node.")

    @work(group="action")
    async def action_resume(self) -> None:
        run: RunInfo = self.current
        await self._do(self.port.resume_run(run.id), f"{run.id} goes on.")

    @work(group="action")
    async def action_retry(self) -> None:
        run: RunInfo = self.current
        where = run.error.node_id if run.error and run.error.node_id else "the failed node"
        note = await self.console.confirm(
            f"Retry run {run.id}?", f"It goes on from {where}; finished nodes stay."
        )
        if note is not None:
            await self._do(self.port.retry_run(run.id, note), f"{run.id} tries again.")

    @work(group="action")
    async def action_answer_run(self) -> None:
        run: RunInfo = self.current
        request = next((q for q in self.console.open_requests if q.id == run.request_id), None)
        if request is not None:
            await self.console.answer_request(request)

    async def _do(self, action: Any, done: str) -> None:
        await self.console.perform(action, done)
        self.console.feed.mark_stale("runs")
