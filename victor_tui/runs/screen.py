"""The Runs screen: active, waiting and finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    Count,
    Port,
    RequestStatus,
    RunInfo,
    RunQuery,
    handler_failures,
    handler_text,
    run_seconds,
)
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.filter_language import RUN_FIELDS, Filter
from victor_tui.keys import bindings
from victor_tui.runs.actions import RunCommands
from victor_tui.runs.columns import (
    active_nodes,
    arrange,
    elapsed_cell,
    is_late,
    is_stuck,
    known_names,
    now_cell,
    progress_cell,
    status_cell,
    version_cell,
)
from victor_tui.text import cut, duration, full, moment, relative
from victor_tui.theme import run_mark
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable

PAGE = 500
"""Maximum number of listed runs. The filter finds older runs."""

EMPTY = """No run has been started yet.

n  start a workflow
1  show the schedules"""
EMPTY_FILTER = "No run matches the filter.\n\n/  change the filter"


class RunsScreen(TableScreen):
    MODE = "runs"
    CSS_PATH = "screen.tcss"
    KEYS = "runs"
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self.commands = RunCommands(self, runs=self._selected_runs, done=self._mark_stale)
        self.filter = Filter()
        self._shown_filter = self.filter
        """The filter of the loaded runs."""
        self._total: Count | None = None
        """The number of runs that match the filter, if not all of them are loaded."""
        self._depths: dict[str, int] = {}
        self._stuck: frozenset[str] = frozenset()

    def compose_body(self) -> ComposeResult:
        zone = self.console.zone

        def began_cell(run: RunInfo, now: datetime) -> Cell:
            return moment(run.created_at, now, zone), "dim"

        def workflow_cell(run: RunInfo, now: datetime) -> Cell:
            depth = self._depths.get(run.id, 0)
            return f"{'  ' * (depth - 1)}└ {run.workflow}" if depth else run.workflow, "head"

        yield FilterBar(
            "status:active  workflow:deploy  after:yesterday  took:>10m", zone, self.now, fields=RUN_FIELDS
        )
        with Container(classes="body"):
            yield LineTable[RunInfo](
                [
                    Column("status", "Status", 12, status_cell, lambda r: r.status, live=True),
                    Column("workflow", "Workflow", 13, workflow_cell, lambda r: r.workflow, 0, 1),
                    Column("progress", "Nodes", 10, progress_cell, lambda r: r.nodes_done, 2, live=True),
                    Column(
                        "elapsed",
                        "Time/usual",
                        12,
                        elapsed_cell,
                        lambda r: run_seconds(r, self.now()),
                        1,
                        live=True,
                    ),
                    Column("now", "Now", 16, now_cell, None, 2, 4, live=True),
                    Column("started", "Began", 9, began_cell, lambda r: r.created_at, 5, live=True),
                    Column(
                        "retries",
                        "Retry",
                        5,
                        lambda r, _: (f"↻ {r.retries}" if r.retries else "", "warn"),
                        lambda r: r.retries,
                        6,
                    ),
                    Column("version", "Version", 7, version_cell, lambda r: r.version, 7),
                    Column("id", "Run", 8, lambda r, _: (r.id, "dim"), lambda r: r.id, 8),
                ],
                key=lambda run: run.id,
                now=self.now,
                empty=EMPTY,
                id="runs",
                steady=True,
            )
            yield Preview()

    def loaders(self) -> dict[Subject, Loader]:
        chosen = self.filter
        query = chosen.run_query(PAGE)

        async def load(port: Port) -> list[RunInfo]:
            found = await (port.runs(query) if query.statuses else newest_and_active(port, query))
            total = await port.run_count(query) if len(found) >= PAGE else None
            self._shown_filter, self._total = chosen, total
            return found

        return {"runs": load}

    def draw(self, subject: Subject) -> None:
        runs: list[RunInfo] = self.snapshot("runs")
        now = self.now()
        self._stuck = self._stuck_now()
        if self.filter.stuck:
            runs = [run for run in runs if run.id in self._stuck]
        arranged = arrange(runs, now)
        depths = {run.id: depth for run, depth in arranged if depth}
        table = self.query_one("#runs", LineTable)
        table.empty = EMPTY if self.filter == Filter() else EMPTY_FILTER
        table.set_rows((run for run, _ in arranged), of=self._shown_filter)
        if depths != self._depths:
            self._depths = depths
            table.redraw()
        bar = self.query_one(FilterBar)
        bar.add_completions(known_names(runs))
        more = cut(len(runs), None if self.filter.stuck else self._total)
        late = f"▲ {len(self._stuck)} stuck · " if self._stuck else ""
        bar.note(f"{late}{more}", bad=bool(self._stuck))

    def _stuck_now(self) -> frozenset[str]:
        now = self.now()
        return frozenset(run.id for run in self.snapshot("runs") or () if is_stuck(run, now))

    def tick(self) -> None:
        # A run becomes stuck without an event.
        if self.query("#runs") and self._stuck != self._stuck_now():
            self.draw("runs")
        super().tick()

    # --- filter -------------------------------------------------------------------------------

    def action_active(self) -> None:
        bar = self.query_one(FilterBar)
        bar.value = "" if bar.value == "status:active" else "status:active"

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.filter = message.filter
        self.console.feed.watch(self.loaders())

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
        facts.fact("end", f"executes {handler_text(run)}" if run.handler else "", "busy")
        for line in handler_failures(run):
            facts.text(f"! {line}", "warn")
        if run.quarantine:
            facts.text(f"✗ {run.quarantine}", "bad")
        if run.waits_for:
            facts.text(f"◆ waits for {run.waits_for}", "wait")
        if run.deprecated:
            facts.text(f"! {run.version} is deprecated: {run.deprecated}", "warn")
        facts.fact("run", run.id)
        if is_stuck(run, now):
            facts.text("▲ stuck: this node takes far longer than it ever did", "bad")
        facts.fact(
            "at", active_nodes(run, now) if run.current else "", "bad" if is_stuck(run, now) else "busy"
        )
        facts.fact("since", full(run.since, zone) if run.since else "")
        expected = f" of about {run.nodes_expected}" if run.nodes_expected else ""
        facts.fact("nodes", f"{run.nodes_done}{expected} done")
        facts.fact(
            "time",
            f"{duration(run_seconds(run, now))}{_usually(run)}",
            "warn" if is_late(run, now) else "plain",
        )
        facts.fact("retries", run.retries or "", "warn")
        facts.fact("started by", f"{run.trigger}, {run.started_by}")
        facts.fact("schedule", run.schedule_id)
        facts.fact("began", f"{full(run.created_at, zone)}, {relative(run.created_at, now)}")
        facts.fact("ended", full(run.finished_at, zone) if run.finished_at else "")
        facts.fact("rerun of" if run.trigger == "rerun" else "parent", run.parent_run)
        facts.fact(
            "dead letter",
            "needs a decision: d redrives, D discards" if run.dead_letter else "",
            "bad",
        )
        facts.fact("note", run.note)
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        run: RunInfo | None = self.current
        if action in ("open", "grid"):
            return run is not None
        if action == "answer_run":
            return run is not None and run.status == "waiting" and run.request_id is not None
        return self.commands.allows(str(parameters[0])) if action == "run_command" else True

    def _selected_runs(self) -> Sequence[RunInfo]:
        for table in self.query("#runs").results(LineTable):
            if table.marked_rows:
                return table.marked_rows
        return [self.current] if self.current is not None else []

    def _mark_stale(self) -> None:
        self.console.feed.mark_stale("runs")

    def action_run_command(self, command: str) -> None:
        self.commands.start(command)

    def action_open(self) -> None:
        if self.current is not None:
            self.console.navigator.open_run(self.current.id)

    def action_grid(self) -> None:
        if self.current is not None:
            self.console.navigator.open_grid(self.current.workflow)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        self.console.navigator.open_run(message.row.id)

    @work(group="action")
    async def action_new(self) -> None:
        from victor_tui.dialogs.pick_workflow import PickWorkflow

        try:
            workflows = await self.port.workflows(shown="heads")
        except VictorError as error:
            self.console.report(error)
            return
        name = await self.app.push_screen_wait(PickWorkflow(workflows))
        if name is not None:
            await self.console.dialogs.start_workflow(name)

    @work(group="action")
    async def action_answer_run(self) -> None:
        run: RunInfo = self.current
        if run.request_id is None:
            return
        with self.console.key_queue.hold():
            try:
                request = await self.port.request(run.request_id)
            except VictorError as error:
                self.console.report(error)
                return
            if request.status == RequestStatus.OPEN:
                await self.console.dialogs.answer_request(request)


def _usually(run: RunInfo) -> str:
    if run.typical_seconds is None:
        return ""
    slow = f", 95 % within {duration(run.slow_seconds)}" if run.slow_seconds is not None else ""
    return f"  (usually {duration(run.typical_seconds)}{slow}, of {run.typical_runs} runs)"


async def newest_and_active(port: Port, query: RunQuery) -> list[RunInfo]:
    """Return a page of the newest runs, and the older active runs, because a stuck run can be old."""
    newest = await port.runs(query)
    if len(newest) < query.limit:
        return newest
    active = msgspec.structs.replace(query, statuses=tuple(sorted(ACTIVE_RUN_STATUSES)), oldest_first=True)
    here = {run.id for run in newest}
    older = [run for run in await port.runs(active) if run.id not in here]
    return newest + older[::-1]
