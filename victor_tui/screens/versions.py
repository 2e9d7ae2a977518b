"""Versions: which definitions there are, who uses them, and how two of them differ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from victor_engine.api import (
    AliasInfo,
    DefinitionDiff,
    MigrationEdge,
    Port,
    ProblemInfo,
    VersionInfo,
    WorkflowInfo,
)
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.screens.base import TableScreen
from victor_tui.screens.version_facts import (
    alias_facts,
    diff_facts,
    migration_facts,
    notice_facts,
    notices,
    notices_facts,
    status_of,
)
from victor_tui.text import full, plural, relative
from victor_tui.theme import Tone, palette_for
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable
from victor_tui.widgets.yamltext import highlight_yaml

UNFOLDED_AT_FIRST = 100
"""Up to how many versions every workflow is shown with all of its own. Of more, only those that are
unfolded are asked for."""

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
    folded: int = 0  # versions that are folded away under it

    @property
    def id(self) -> tuple[str, str]:
        return self.info.workflow, self.info.version


def version_rows(workflows: list[WorkflowInfo], unfolded: Collection[str] | None = None) -> list[VersionRow]:
    """Workflows by name, each with its versions, newest first; of a folded one only the current one.

    `unfolded` None unfolds all.
    """
    rows = []
    for workflow in sorted(workflows, key=lambda w: w.name):
        versions = workflow.versions
        if unfolded is not None and workflow.name not in unfolded and len(versions) > 1:
            versions = (next((v for v in versions if v.current), versions[0]),)
        folded = max(workflow.version_count, len(workflow.versions)) - len(versions)
        end = len(versions) - 1
        for place, info in enumerate(versions):
            first = place == 0
            rows.append(
                VersionRow(info, workflow.description, workflow.problems, first, place == end, folded)
            )
    return rows


def status_cell(row: VersionRow, now: datetime) -> Cell:
    if row.first and any(problem.severity == "error" for problem in row.problems):
        return "✗ fault", "bad"
    return status_of(row.info)


def name_cell(row: VersionRow, now: datetime) -> Cell:
    if row.folded:
        return f"▸ {row.info.workflow} +{row.folded}", "head"
    if row.first:
        return (row.info.workflow if row.last else f"▾ {row.info.workflow}"), "head"
    return ("└" if row.last else "├") + "─" + "".join(f" {alias}" for alias in row.info.aliases), "dim"


def use_cell(row: VersionRow, now: datetime) -> Cell:
    parts = []
    if row.info.schedules:
        parts.append(f"◷ {row.info.schedules}")
    if row.info.active_runs:
        parts.append(f"● {row.info.active_runs}")
    return " ".join(parts), "busy"


class VersionsScreen(TableScreen):
    MODE = "versions"
    CSS_PATH = "versions.tcss"
    LIVE_PREVIEW = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "start", "Start", id="versions.start", tooltip="Start a run of this version"),
        Binding("f", "diff", "Diff", id="versions.diff", tooltip="Differences of two marked versions"),
        Binding("m", "migrate", "Migrate", id="versions.migrate", tooltip="Try a migration, and move runs"),
        Binding("p", "promote", "Promote", id="versions.promote", tooltip="Give the new side everything"),
        Binding("b", "roll_back", "Roll back", id="versions.back", tooltip="Give the old side everything"),
        Binding("N", "notices", "Notices", id="versions.notices", tooltip="All deprecation notices"),
        # In the help and the palette: the footer of a narrow terminal has room for the rest only.
        Binding("A", "alias", "Set alias", id="versions.alias", tooltip="Point an alias here", show=False),
        Binding(
            "D",
            "deprecate",
            "Deprecate",
            id="versions.deprecate",
            tooltip="Warn everyone who still uses it",
            show=False,
        ),
        Binding(
            "X", "remove", "Remove", id="versions.remove", tooltip="Let nothing new start on it", show=False
        ),
        Binding(
            "U",
            "restore",
            "Take back",
            id="versions.restore",
            tooltip="Take a deprecation or removal back",
            show=False,
        ),
        Binding(
            "l", "runs", "Its runs", id="versions.runs", tooltip="Show the runs of this workflow", show=False
        ),
        Binding(
            "right", "fold(False)", "Unfold", id="versions.unfold", tooltip="Show all versions", show=False
        ),
        Binding("left", "fold(True)", "Fold", id="versions.fold", tooltip="Show one version", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[tuple[str, str], str] = {}
        self._compared: tuple[VersionRow, VersionRow] | None = None
        self._difference: DefinitionDiff | None = None
        self._edges: dict[str, list[MigrationEdge]] = {}
        self._unfolded: set[str] | None = None  # None: all, as long as they are few
        self._whole: dict[str, WorkflowInfo] = {}  # with all versions, where the snapshot has only one
        self._notice_rows: list[VersionInfo] = []
        self._notices = False

    def compose_body(self) -> ComposeResult:
        with Container(classes="body tall"):
            yield LineTable[VersionRow](
                [
                    Column("name", "Workflow", 14, name_cell, None, 0, 1),
                    Column("version", "Version", 8, lambda r, _: (r.info.version, "plain")),
                    Column("status", "Status", 13, status_cell, None),
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
        return {"workflows": self._load_workflows, "aliases": lambda port: port.aliases()}

    async def _load_workflows(self, port: Port) -> list[WorkflowInfo]:
        """Every workflow, with all versions where they are few or unfolded, else with the current one."""
        heads = await port.workflows(shown="heads")
        if sum(workflow.version_count for workflow in heads) <= UNFOLDED_AT_FIRST:
            return await port.workflows()
        self._whole = {name: found for name in self._unfolded or () for found in await port.workflows(name)}
        return heads

    def draw(self, subject: Subject) -> None:
        if subject == "aliases":
            self._explain(to_top=False)
            self.refresh_bindings()
            return
        workflows: list[WorkflowInfo] = self.snapshot("workflows")
        if self._unfolded is None and sum(w.version_count for w in workflows) > UNFOLDED_AT_FIRST:
            self._unfolded = set()
        self._edges.clear()
        self._show_rows(workflows)
        if self._notices:
            self._load_notices()

    def _show_rows(self, workflows: list[WorkflowInfo]) -> None:
        known = [self._whole.get(workflow.name, workflow) for workflow in workflows]
        self.query_one("#versions", LineTable).set_rows(version_rows(known, self._unfolded))

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        row: VersionRow = message.row
        self._fold(row, not row.folded)

    def action_fold(self, folded: bool) -> None:
        if self.current is not None:
            self._fold(self.current, folded)

    def _fold(self, row: VersionRow, folded: bool) -> None:
        """Show one version of a workflow, or all."""
        workflows: list[WorkflowInfo] = self.snapshot("workflows") or []
        if self._unfolded is None:
            self._unfolded = {workflow.name for workflow in workflows}
        name = row.info.workflow
        self._unfolded = self._unfolded - {name} if folded else self._unfolded | {name}
        if not folded and any(w.name == name and len(w.versions) < w.version_count for w in workflows):
            self._load_whole(name)
        self._show_rows(workflows)
        table: LineTable[VersionRow] = self.query_one("#versions", LineTable)
        if not table.select(row.id):
            heads = [found.id for found in table.rows if found.info.workflow == name]
            table.select(heads[0]) if heads else None

    @work(group="whole")
    async def _load_whole(self, name: str) -> None:
        """The other versions of a workflow that has been unfolded."""
        try:
            found = await self.port.workflows(name)
        except VictorError as error:
            self.console.report(error)
            return
        self._whole |= {workflow.name: workflow for workflow in found}
        self._show_rows(self.snapshot("workflows") or [])

    def _aliases(self, workflow: str) -> list[AliasInfo]:
        found: list[AliasInfo] = self.snapshot("aliases") or []
        return [info for info in found if info.workflow == workflow]

    def on_line_table_highlighted(self, message: LineTable.Highlighted) -> None:
        if self._identity(self.current) != self._identity(message.row):
            self._compared = None
            self._notices = False
        self.refresh_bindings()
        if message.row is not None:
            self._load_text(message.row)

    @work(group="definition", exclusive=True)
    async def _load_text(self, row: VersionRow) -> None:
        if row.info.workflow not in self._edges:
            try:
                self._edges[row.info.workflow] = await self.port.migration_graph(row.info.workflow)
            except VictorError as error:
                self.console.report(error)
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
        if self._notices:
            return notices_facts(self.facts(), notices(self._notice_rows))
        if self._compared is not None and self._difference is not None:
            old, new = self._compared
            return diff_facts(self.facts(), self._difference, self._texts[old.id], self._texts[new.id])
        version: VersionRow = row
        info, now, zone = version.info, self.now(), self.console.zone
        status, tone = status_cell(version, now)
        facts = self.facts().line((f"{info.workflow} {info.version}  ", "head"), (status, tone))
        facts.text(version.description, "dim")
        notice_facts(facts, info)
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
        alias_facts(facts, self._aliases(info.workflow), zone)
        migration_facts(facts, self._edges.get(info.workflow, ()), info.version)
        text = self._texts.get(version.id)
        if text is not None:
            facts.heading("Definition").block(highlight_yaml(text, palette_for(self.app.theme)))
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        row: VersionRow | None = self.current
        if action in ("start", "runs", "deprecate"):
            return row is not None and (action != "deprecate" or row.info.deprecated is None)
        if action in ("alias", "remove", "restore"):
            ended = row is not None and (row.info.removed is not None or row.info.deprecated is not None)
            return (
                row is not None
                and (action != "remove" or row.info.removed is None)
                and (action != "restore" or ended)
            )
        if action in ("promote", "roll_back"):
            return self._rollout(action) is not None
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
            old, new = pair
            if old.info.workflow != new.info.workflow:
                self.notify("Versions of one workflow are compared.", markup=False)
                return
            texts = [await self._text(row) for row in pair]
            numbers = [row.info.version for row in pair]
            self._difference = await self.console.perform(
                self.port.diff_versions(new.info.workflow, *numbers), ""
            )
            self._compared = pair if None not in texts and self._difference is not None else None
        self._explain(to_top=True)

    @work(group="action")
    async def action_deprecate(self) -> None:
        info: VersionInfo = self.current.info
        body = (
            "Runs and schedules that use it go on, and say that it is deprecated.\n"
            f"It has {plural(info.schedules, 'schedule')} and {plural(info.active_runs, 'active run')}.\n"
            "The note is what they are told: say what to use instead."
        )
        note = await self.console.dialogs.confirm(f"Deprecate {info.workflow} {info.version}?", body)
        if note is not None:
            action = self.port.deprecate(info.workflow, info.version, note or "deprecated")
            await self.console.perform(action, f"Deprecated {info.workflow} {info.version}.")
            self.console.feed.mark_stale("workflows")

    def action_notices(self) -> None:
        self._notices = not self._notices
        if self._notices:
            self._load_notices()
        else:
            self._explain(to_top=True)

    @work(group="notices", exclusive=True)
    async def _load_notices(self) -> None:
        try:
            found = await self.port.workflows(shown="notices")
        except VictorError as error:
            self.console.report(error)
            return
        self._notice_rows = [version for workflow in found for version in workflow.versions]
        self._explain(to_top=True)

    @work(group="action")
    async def action_remove(self) -> None:
        info: VersionInfo = self.current.info
        body = (
            "Nothing new starts on it any more; what runs on it goes on. Fires of schedules that name it are\n"
            f"skipped with your note. It has {plural(info.schedules, 'schedule')} and "
            f"{plural(info.active_runs, 'active run')}."
        )
        note = await self.console.dialogs.confirm(f"Remove {info.workflow} {info.version}?", body)
        if note is not None:
            action = self.port.remove_version(info.workflow, info.version, note)
            await self.console.perform(action, f"Nothing new starts on {info.workflow} {info.version}.")

    @work(group="action")
    async def action_restore(self) -> None:
        info: VersionInfo = self.current.info
        action = self.port.restore_version(info.workflow, info.version)
        await self.console.perform(action, f"{info.workflow} {info.version} may be started on again.")

    @work(group="action")
    async def action_alias(self) -> None:
        from victor_tui.dialogs.alias import AliasDialog

        info: VersionInfo = self.current.info
        await self.app.push_screen_wait(AliasDialog(info, self._aliases(info.workflow)))

    def _rollout(self, action: str) -> AliasInfo | None:
        """The alias that a promotion or roll-back would change: one that points at this version first."""
        if self.current is None:
            return None
        row: VersionRow = self.current
        able = [
            info
            for info in self._aliases(row.info.workflow)
            if (len(info.sides) > 1 if action == "promote" else info.rolls_back_to is not None)
        ]
        here = [info for info in able if info.name in row.info.aliases]
        return next(iter(here or able), None)

    @work(group="action")
    async def action_promote(self) -> None:
        info = self._rollout("promote")
        if info is None:
            return
        old, new = info.sides
        body = f"All that starts by {info.name} is {new.version} then; now {old.weight}% is {old.version}."
        note = await self.console.dialogs.confirm(f"Promote {info.workflow} {new.version}?", body)
        if note is not None:
            action = self.port.promote_alias(info.workflow, info.name, note=note)
            await self.console.perform(action, f"{info.name} is {new.version}.")

    @work(group="action")
    async def action_roll_back(self) -> None:
        info = self._rollout("roll_back")
        if info is None:
            return
        body = f"All that starts by {info.name} is {info.rolls_back_to} then. What runs goes on."
        note = await self.console.dialogs.confirm(f"Roll {info.workflow} {info.name} back?", body)
        if note is not None:
            action = self.port.roll_back_alias(info.workflow, info.name, note=note)
            await self.console.perform(action, f"{info.name} is {info.rolls_back_to}.")

    def action_runs(self) -> None:
        self.console.navigator.show_runs(f"workflow:{self.current.info.workflow}")

    @work(group="action")
    async def action_start(self) -> None:
        info: VersionInfo = self.current.info
        await self.console.dialogs.start_workflow(info.workflow, info.version)
