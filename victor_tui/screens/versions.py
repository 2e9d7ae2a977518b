"""Versions: which definitions there are, who uses them, and how two of them differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from victor_engine.api import ProblemInfo, VersionInfo, WorkflowInfo
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.screens.base import ConsoleScreen
from victor_tui.text import full, plural, relative
from victor_tui.theme import Tone, palette_for
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable
from victor_tui.widgets.yamltext import highlight_yaml

EMPTY = """No workflow is registered.

Put a workflow file into the workspace's workflows/ folder and press F5."""


@dataclass(frozen=True)
class VersionRow:
    """One version, with what is known of its workflow."""

    info: VersionInfo
    description: str
    problems: tuple[ProblemInfo, ...]
    first: bool
    last: bool

    @property
    def id(self) -> tuple[str, str]:
        return self.info.workflow, self.info.version


def version_rows(workflows: list[WorkflowInfo]) -> list[VersionRow]:
    """Workflows by name, each with its versions, newest first."""
    rows = []
    for workflow in sorted(workflows, key=lambda w: w.name):
        end = len(workflow.versions) - 1
        for place, info in enumerate(workflow.versions):
            first = place == 0
            rows.append(VersionRow(info, workflow.description, workflow.problems, first, place == end))
    return rows


def status_cell(row: VersionRow, now: datetime) -> Cell:
    info = row.info
    if row.first and any(problem.severity == "error" for problem in row.problems):
        return "✗ fault", "bad"
    if info.deprecated:
        return "! deprecated", "warn"
    if info.current:
        return "✓ current", "ok"
    return ("● in use", "busy") if info.active_runs or info.schedules else ("· older", "dim")


def name_cell(row: VersionRow, now: datetime) -> Cell:
    if row.first:
        return row.info.workflow, "head"
    return ("└" if row.last else "├") + "─", "dim"


def use_cell(row: VersionRow, now: datetime) -> Cell:
    parts = []
    if row.info.schedules:
        parts.append(f"◷ {row.info.schedules}")
    if row.info.active_runs:
        parts.append(f"● {row.info.active_runs}")
    return " ".join(parts), "busy"


def diff_facts(facts: Facts, old: VersionInfo, new: VersionInfo, before: str, after: str) -> Facts:
    """A unified diff of two definitions, removed and added lines marked by sign and tone."""
    facts.title(f"{old.workflow} {old.version} → {new.workflow} {new.version}")
    lines = list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    tones: dict[str, Tone] = {"+": "ok", "-": "bad", "@": "busy"}
    added = sum(line.startswith("+") for line in lines)
    removed = sum(line.startswith("-") for line in lines)
    if not lines:
        return facts.text("The two definitions are the same.", "dim")
    facts.line((f"+{added} ", "ok"), (f"-{removed} lines", "bad"))
    for line in lines:
        facts.line((line, tones.get(line[:1], "plain")))
    return facts


class VersionsScreen(ConsoleScreen):
    MODE = "versions"
    CSS_PATH = "versions.tcss"
    LIVE_PREVIEW = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "start", "Start", id="versions.start", tooltip="Start a run of this version"),
        Binding("f", "diff", "Compare", id="versions.diff", tooltip="Differences of two marked versions"),
        Binding(
            "m", "migrate", "Migrate", id="versions.migrate", tooltip="Try its migration on a state you paste"
        ),
        Binding(
            "D", "deprecate", "Deprecate", id="versions.deprecate", tooltip="Warn everyone who still uses it"
        ),
        Binding("l", "runs", "Its runs", id="versions.runs", tooltip="Show the runs of this workflow"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[tuple[str, str], str] = {}
        self._compared: tuple[VersionRow, VersionRow] | None = None

    def compose_body(self) -> ComposeResult:
        with Container(classes="body tall"):
            yield LineTable[VersionRow](
                [
                    Column("name", "Workflow", 14, name_cell, None, 0, 1),
                    Column("version", "Version", 8, lambda r, _: (r.info.version, "plain")),
                    Column("status", "Status", 12, status_cell, None),
                    Column("use", "In use", 8, use_cell, None, 1),
                    Column(
                        "runs",
                        "Runs",
                        7,
                        lambda r, _: (f"{r.info.total_runs:,}", "dim"),
                        None,
                        2,
                        align="right",
                    ),
                    Column(
                        "since",
                        "Since",
                        8,
                        lambda r, now: (relative(r.info.registered_at, now), "dim"),
                        None,
                        3,
                    ),
                ],
                key=lambda row: row.id,
                now=self.now,
                empty=EMPTY,
                id="versions",
            )
            yield Preview()

    def loaders(self) -> dict[Subject, Loader]:
        return {"workflows": lambda port: port.workflows()}

    def draw(self, subject: Subject) -> None:
        self.query_one("#versions", LineTable).set_rows(version_rows(self.snapshot("workflows")))

    def on_line_table_highlighted(self, message: LineTable.Highlighted) -> None:
        if self._identity(self.current) != self._identity(message.row):
            self._compared = None
        super().on_line_table_highlighted(message)
        self.refresh_bindings()
        if message.row is not None:
            self._load_text(message.row)

    @work(group="definition", exclusive=True)
    async def _load_text(self, row: VersionRow) -> None:
        if await self._text(row) is not None and self.current is not None and self.current.id == row.id:
            self._explain(to_top=False)

    async def _text(self, row: VersionRow) -> str | None:
        """The YAML of a version; a version never changes, so it is asked for once."""
        if row.id not in self._texts:
            try:
                found = await self.port.definition(row.info.workflow, row.info.version)
            except VictorError as error:
                self.console.report(error)
                return None
            self._texts[row.id] = found.text
        return self._texts[row.id]

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        if self._compared is not None:
            old, new = self._compared
            return diff_facts(self.facts(), old.info, new.info, self._texts[old.id], self._texts[new.id])
        version: VersionRow = row
        info, now, zone = version.info, self.now(), self.console.zone
        status, tone = status_cell(version, now)
        facts = self.facts().line((f"{info.workflow} {info.version}  ", "head"), (status, tone))
        facts.text(version.description, "dim")
        if info.deprecated:
            successor = f" → {info.successor}" if info.successor else ""
            by = f" (by {info.deprecated_by})" if info.deprecated_by else ""
            facts.text(f"! {info.deprecated}{successor}{by}", "warn")
        if info.unversioned:
            facts.text("The file names no version: this number counts its changes.", "dim")
        for problem in version.problems:
            place = f"{problem.path}:{problem.line}:{problem.column}: " if problem.path else ""
            bad: Tone = "bad" if problem.severity == "error" else "warn"
            facts.text(f"{problem.severity}: {place}{problem.message} {problem.remedy}", bad)
        facts.fact(
            "in use",
            f"{plural(info.schedules, 'schedule')}, {plural(info.active_runs, 'active run')}, {info.total_runs:,} in all",
        )
        facts.fact("since", full(info.registered_at, zone))
        facts.fact("file", info.path).fact("checksum", info.checksum[:16])
        facts.fact("migrates", ", ".join(f"from {origin}" for origin in info.migrations_from))
        text = self._texts.get(version.id)
        if text is not None:
            facts.heading("Definition").block(highlight_yaml(text, palette_for(self.app.theme)))
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        row: VersionRow | None = self.current
        if action in ("start", "runs", "deprecate"):
            return row is not None and (action != "deprecate" or row.info.deprecated is None)
        if action == "migrate":
            return row is not None and self._migration() is not None
        if action == "diff":
            return row is not None and self._pair() is not None
        return action != "filter"

    def _pair(self) -> tuple[VersionRow, VersionRow] | None:
        """What to compare: two marked versions, or the one under the cursor with the one before it."""
        table: LineTable[VersionRow] = self.query_one("#versions", LineTable)
        marked = table.marked_rows
        if len(marked) == 2:
            return marked[1], marked[0]
        if len(marked) > 2 or table.row is None:
            return None
        if marked:
            return (table.row, marked[0]) if marked[0].id != table.row.id else None
        below = table.rows[table.cursor + 1 : table.cursor + 2]
        same = below and below[0].info.workflow == table.row.info.workflow
        return (below[0], table.row) if same else None

    def _migration(self) -> tuple[str, str, str] | None:
        """Workflow and versions, older first: two marked ones, else the last origin of the one shown."""
        table: LineTable[VersionRow] = self.query_one("#versions", LineTable)
        pair = self._pair() if table.marked_rows else None
        if pair is not None and pair[0].info.workflow == pair[1].info.workflow:
            old, new = sorted(pair, key=lambda row: row.info.registered_at)
            return new.info.workflow, old.info.version, new.info.version
        info = self.current.info
        if not info.migrations_from:
            return None
        return info.workflow, info.migrations_from[-1], info.version

    def action_migrate(self) -> None:
        from victor_tui.dialogs.migrate import MigrateDialog

        found = self._migration()
        if found is not None:
            self.app.push_screen(MigrateDialog(*found))

    @work(group="action")
    async def action_diff(self) -> None:
        if self._compared is not None:
            self._compared = None
        elif (pair := self._pair()) is not None:
            texts = [await self._text(row) for row in pair]
            self._compared = pair if None not in texts else None
        self._explain(to_top=True)

    @work(group="action")
    async def action_deprecate(self) -> None:
        info: VersionInfo = self.current.info
        body = (
            "Runs and schedules that use it go on, and say that it is deprecated.\n"
            f"It has {plural(info.schedules, 'schedule')} and {plural(info.active_runs, 'active run')}.\n"
            "The note is what they are told: say what to use instead."
        )
        note = await self.console.confirm(f"Deprecate {info.workflow} {info.version}?", body)
        if note is not None:
            action = self.port.deprecate(info.workflow, info.version, note or "deprecated")
            await self.console.perform(action, f"Deprecated {info.workflow} {info.version}.")
            self.console.feed.mark_stale("workflows")

    def action_runs(self) -> None:
        self.console.show_runs(f"workflow:{self.current.info.workflow}")

    @work(group="action")
    async def action_start(self) -> None:
        info: VersionInfo = self.current.info
        await self.console.start_workflow(info.workflow, info.version)
