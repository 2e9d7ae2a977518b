"""The dead letters: failed runs that need a decision, grouped by cause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from victor_engine.api import DeadLetterGroup, RunInfo, RunQuery
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.filter_language import Filter, has_words, parse_words
from victor_tui.keys import bindings
from victor_tui.row_values import Here, row_values, row_why
from victor_tui.runs.actions import RunCommands
from victor_tui.runs.run_plans import apply_to_all
from victor_tui.text import clean, full, moment, plural, relative
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable

PAGE = 1000
"""Maximum number of listed runs of one cause."""

AT_MOST = 100_000
"""Maximum number of runs of one bulk action."""

EMPTY = """No dead letters: no failed run needs a decision.

esc  back"""
EMPTY_FILTER = "Nothing matches the filter.\n\n/  change the filter"
_EMPTIES: dict[Subject, str] = {
    "dead": EMPTY,
    "letters": "This cause has no more dead letters.\n\nesc  back to the causes",
}


_WORDS = {
    "redrive": "Each run continues at the node where it stopped, with its current state.",
    "discard": "They stay failed and leave the list of dead letters.",
    "rerun": "A new run starts for each, with the same input and version.",
}
"""The text of the confirmation of a command on all runs of some causes."""


class DeadScreen(TableScreen):
    """A table of causes. Enter opens the runs of one cause, escape goes back."""

    MODE = "history"
    CSS_PATH = "dead_letters_screen.tcss"
    LIVE_PREVIEW = False
    KEYS = "dead"
    BINDINGS: ClassVar[list[BindingType]] = bindings("dead")

    def __init__(self) -> None:
        super().__init__()
        self.cause: DeadLetterGroup | None = None
        self._filter = Filter()
        self.commands = RunCommands(self, runs=self._chosen_runs, done=self._mark_stale)

    # --- layout --------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        zone = self.console.zone

        def last(group: DeadLetterGroup, now: datetime) -> Cell:
            return moment(group.last_seen, now, zone), "dim"

        def ended(run: RunInfo, now: datetime) -> Cell:
            return moment(run.finished_at or run.created_at, now, zone), "dim"

        yield Static("", id="dead-head", markup=False)
        yield FilterBar("words", zone, self.now, parse_words, (), collapses=True)
        with Container(classes="body"):
            yield LineTable[DeadLetterGroup](
                [
                    Column("count", "Runs", 5, lambda g, _: (f"{g.count:,}", "bad"), lambda g: g.count, 0, align="right"),
                    Column("workflow", "Workflow", 13, lambda g, _: (g.workflow, "head"), lambda g: g.workflow, 1, 1),
                    Column("node", "Node", 11, lambda g, _: (g.node_id or "", "plain"), lambda g: g.node_id, 3, 1),
                    Column("type", "Error", 12, lambda g, _: (g.error_type, "bad"), lambda g: g.error_type, 2, 1),
                    Column("pattern", "Message", 14, lambda g, _: (g.pattern, "plain"), lambda g: g.pattern, 0, 4),
                    Column("last", "Last", 9, last, lambda g: g.last_seen, 4),
                ],
                key=lambda group: group.cause,
                now=self.now,
                empty=EMPTY,
                id="dead",
            )  # fmt: skip
            yield LineTable[RunInfo](
                [
                    Column("id", "Run", 14, lambda r, _: (r.id, "head"), lambda r: r.id),
                    Column("ended", "Failed", 12, ended, lambda r: r.finished_at),
                    Column("version", "Version", 8, lambda r, _: (r.version, "dim"), lambda r: r.version, 4),
                    Column("by", "By", 10, lambda r, _: (r.started_by, "dim"), lambda r: r.started_by, 3),
                    Column("why", "Message", 16, lambda r, _: (_message(r), "bad"), None, 1, 3),
                ],
                key=lambda run: run.id,
                now=self.now,
                empty=_EMPTIES["letters"],
                id="letters",
            )
            yield Preview()

    def here(self) -> Here:
        why = row_why(self.current, self.now())
        return Here(row_values(self.current), why, reopen=self.console.navigator.open_dead_letters)

    def on_mount(self) -> None:
        self._choose_table()

    def loaders(self) -> dict[Subject, Loader]:
        found: dict[Subject, Loader] = {"dead": lambda port: port.dead_letters()}
        if self.cause is not None:
            query = RunQuery(cause=self.cause.cause, limit=PAGE)
            found["letters"] = lambda port: port.runs(query)
        return found

    def draw(self, subject: Subject) -> None:
        rows = self.snapshot(subject)
        if subject == "letters" and self.cause is None:
            return
        shown = [row for row in rows if has_words(self._filter, _text(row))]
        table = self.query_one(f"#{subject}", LineTable)
        table.empty = EMPTY_FILTER if rows else _EMPTIES[subject]
        table.set_rows(shown, of=self._filter)
        if table.display:
            self.query_one(FilterBar).note(f"{len(shown):,} of {len(rows):,}")
        self._draw_head()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter = message.filter
        subject: Subject = "dead" if self.cause is None else "letters"
        if self.snapshot(subject) is not None:
            self.draw(subject)

    def _draw_head(self) -> None:
        groups: Sequence[DeadLetterGroup] = self.console.feed.snapshots.get("dead") or ()
        if self.cause is None:
            total = sum(group.count for group in groups)
            words = f"{plural(total, 'run')} of {plural(len(groups), 'cause')} need a decision"
            parts: list[tuple[str, str]] = [(" Dead letters  ", "bold"), (words, "$foreground-muted")]
        else:
            cause = self.cause
            where = f"{cause.workflow} · {cause.node_id}" if cause.node_id else cause.workflow
            parts = [
                (" Dead letters › ", "$foreground-muted"),
                (f"{clean(where)}  ", "bold"),
                (f"{clean(cause.error_type)}: {clean(cause.pattern)}", "$text-error"),
            ]
        self.query_one("#dead-head", Static).update(Content.assemble(*parts))

    @property
    def _table(self) -> LineTable[Any]:
        return self.query_one("#dead" if self.cause is None else "#letters", LineTable)

    def _choose_table(self) -> None:
        inside = self.cause is not None
        self.query_one("#letters", LineTable).display = inside
        self.query_one("#dead", LineTable).display = not inside
        self._table.focus()
        self.current = self._table.row
        self._draw_head()
        self._explain(to_top=True)

    @staticmethod
    def _identity(row: Any) -> Any:
        return row.cause if isinstance(row, DeadLetterGroup) else getattr(row, "id", None)

    def explain(self, row: Any) -> Facts:
        now, zone = self.now(), self.console.zone
        if isinstance(row, RunInfo):
            facts = self.facts().line((f"{row.workflow} {row.version} ", "head"), (row.id, "dim"))
            facts.text(_message(row), "bad")
            facts.fact("began", full(row.created_at, zone))
            facts.fact("failed", full(row.finished_at, zone) if row.finished_at else "")
            facts.fact("retries", row.retries or "", "warn")
            return facts.fact("started by", f"{row.trigger}, {row.started_by}").fact("note", row.note)
        group: DeadLetterGroup = row
        facts = self.facts().line((f"{group.workflow} ", "head"), (group.node_id or "", "plain"))
        facts.text(f"{group.error_type}: {group.example.message}", "bad")
        facts.fact("runs", f"{group.count:,}")
        facts.fact("first", f"{full(group.first_seen, zone)}, {relative(group.first_seen, now)}")
        facts.fact("last", f"{full(group.last_seen, zone)}, {relative(group.last_seen, now)}")
        facts.fact("newest", ", ".join(group.run_ids[:3]))
        return facts.fact("cause", group.cause, "dim")

    # --- navigation -----------------------------------------------------------------------------

    def action_back(self) -> None:
        if self.cause is None:
            self.dismiss()
            return
        self.cause = None
        self.show_filter("")
        self._choose_table()
        self.console.feed.watch(self.loaders())

    def action_open(self) -> None:
        self._table.action_choose()

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        row = message.row
        if isinstance(row, RunInfo):
            self.console.navigator.open_run(row.id)
            return
        self.cause = row
        self.show_filter("")
        table: LineTable[RunInfo] = self.query_one("#letters", LineTable)
        table.marked.clear()
        table.forget()
        self._choose_table()
        self.console.feed.watch(self.loaders())

    def action_newest(self) -> None:
        row = self.current
        run_id = row.id if isinstance(row, RunInfo) else next(iter(getattr(row, "run_ids", ())), None)
        if run_id is not None:
            self.console.navigator.open_run(run_id)

    # --- actions --------------------------------------------------------------------------------

    def _chosen_runs(self) -> Sequence[RunInfo]:
        if self.cause is None:
            return ()
        table: LineTable[RunInfo] = self.query_one("#letters", LineTable)
        return table.marked_rows or ([table.row] if table.row is not None else [])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("open", "newest", "run_command"):
            return self.current is not None
        return True

    def _mark_stale(self) -> None:
        self.console.feed.mark_stale("dead", "letters")

    def action_run_command(self, command: str) -> None:
        if self.cause is None:
            self._all_of_causes(command)
        else:
            self.commands.start(command)

    @work(group="action")
    async def _all_of_causes(self, command: str) -> None:
        """Execute a command on every run of the marked causes, or of the cause under the cursor."""
        table: LineTable[DeadLetterGroup] = self.query_one("#dead", LineTable)
        groups = table.marked_rows or ([table.row] if table.row is not None else [])
        ids: list[str] = []
        try:
            for group in groups:
                found = await self.port.dead_letters(group.cause, AT_MOST)
                ids += [run_id for each in found for run_id in each.run_ids]
        except VictorError as error:
            self.console.report(error)
            return
        names = "\n".join(
            f"{group.count:,} × {clean(group.workflow)}: {clean(group.error_type)}: {clean(group.pattern)[:120]}"
            for group in groups[:6]
        )
        more = f"\nand {len(groups) - 6} more causes" if len(groups) > 6 else ""
        await apply_to_all(self.console, ids, command, _WORDS[command], f"{names}{more}")
        table.marked.clear()
        self._mark_stale()


def _text(row: DeadLetterGroup | RunInfo) -> str:
    """Return the text that the filter searches."""
    if isinstance(row, RunInfo):
        return f"{row.id} {row.version} {row.started_by} {_message(row)}"
    return f"{row.workflow} {row.node_id or ''} {row.error_type} {row.pattern}"


def _message(run: RunInfo) -> str:
    return f"{run.error.type}: {run.error.message}" if run.error is not None else ""
