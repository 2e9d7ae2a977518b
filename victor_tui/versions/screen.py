"""The Versions screen: versions of workflows, their use, and their differences."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from victor_engine.api import (
    AliasInfo,
    DefinitionDiff,
    MigrationEdge,
    VersionInfo,
)
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.file_facts import files_facts
from victor_tui.keys import bindings
from victor_tui.text import full, plural
from victor_tui.theme import Tone, palette_for
from victor_tui.versions.actions import VersionCommands
from victor_tui.versions.facts import (
    alias_facts,
    diff_facts,
    migration_facts,
    notice_facts,
    notices,
    notices_facts,
)
from victor_tui.versions.rows import VersionRow, status_cell, versions_table
from victor_tui.versions.version_list import VersionList
from victor_tui.versions.yaml_view import highlight_yaml
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable


class VersionTexts:
    """The YAML of versions and the migrations of workflows, loaded on first use."""

    def __init__(self, screen: TableScreen) -> None:
        self._screen = screen
        self.known: dict[tuple[str, str], str] = {}
        """The YAML of each version. A version never changes, so it is loaded once."""
        self.edges: dict[str, list[MigrationEdge]] = {}
        """The migrations of each workflow."""

    async def read(self, row: VersionRow) -> str | None:
        """Return the YAML of a version, or None after it showed the error."""
        console = self._screen.console
        if row.id not in self.known:
            try:
                found = await console.port.definition(row.info.workflow, row.info.version)
            except VictorError as error:
                console.report(error)
                return None
            self.known[row.id] = found.text
        return self.known[row.id]

    async def read_edges(self, workflow: str) -> None:
        """Read the migrations of a workflow, or show the error."""
        console = self._screen.console
        if workflow not in self.edges:
            try:
                self.edges[workflow] = await console.port.migration_graph(workflow)
            except VictorError as error:
                console.report(error)


class VersionsScreen(TableScreen):
    MODE = "versions"
    CSS_PATH = "screen.tcss"
    LIVE_PREVIEW = False
    KEYS = "versions"
    BINDINGS: ClassVar[list[BindingType]] = bindings("versions")

    def __init__(self) -> None:
        super().__init__()
        self.versions = VersionList(self)
        self.texts = VersionTexts(self)
        self.commands = VersionCommands(self, lambda: self.table, self._aliases)
        self._compared: tuple[VersionRow, VersionRow] | None = None
        self._difference: DefinitionDiff | None = None
        self._notice_rows: list[VersionInfo] = []
        self._notices = False

    @property
    def table(self) -> LineTable[VersionRow]:
        found: LineTable[VersionRow] = self.query_one("#versions", LineTable)
        return found

    def compose_body(self) -> ComposeResult:
        yield FilterBar(
            "words  workflow:deploy  version:2.1",
            self.console.zone,
            self.now,
            fields=("workflow", "version"),
            collapses=True,
        )
        with Container(classes="body tall"):
            yield versions_table(self.now)
            yield Preview()

    def loaders(self) -> dict[Subject, Loader]:
        return {"workflows": self.versions.tree.load, "aliases": lambda port: port.aliases()}

    def draw(self, subject: Subject) -> None:
        if subject == "aliases":
            self._explain(to_top=False)
            self.refresh_bindings()
            return
        self.texts.edges.clear()
        self.versions.show()
        if self._notices:
            self._load_notices()

    def feed_refreshed(self, subject: Subject) -> None:
        super().feed_refreshed(subject)
        if subject == "engine" and self.query(LineTable):
            self.versions.show_files()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.versions.set_filter(message.filter)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        row: VersionRow = message.row
        self.versions.fold(row, not row.folded)

    def action_fold(self, folded: bool) -> None:
        if self.current is not None:
            self.versions.fold(self.current, folded)

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
        await self.texts.read_edges(row.info.workflow)
        text = await self.texts.read(row)
        if text is not None and self.current is not None and self.current.id == row.id:
            self._explain(to_top=False)

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        if self._notices:
            return notices_facts(self.facts(), notices(self._notice_rows))
        if self._compared is not None and self._difference is not None:
            old, new = self._compared
            return diff_facts(
                self.facts(), self._difference, self.texts.known[old.id], self.texts.known[new.id]
            )
        version: VersionRow = row
        info, now, zone = version.info, self.now(), self.console.zone
        status, tone = status_cell(version, now)
        facts = self.facts().line((f"{info.workflow} {info.version}  ", "head"), (status, tone))
        facts.text(version.description, "dim")
        if info.current:
            files_facts(facts, self.console.feed.snapshots.get("engine"), info.workflow)
        notice_facts(facts, info)
        if info.unversioned:
            facts.text("The file gives no version: this is a revision number.", "dim")
        for problem in version.problems:
            location = f"{problem.path}:{problem.line}:{problem.column}: " if problem.path else ""
            bad: Tone = "bad" if problem.severity == "error" else "warn"
            facts.text(f"{problem.severity}: {location}{problem.message} {problem.remedy}", bad)
        facts.fact(
            "in use",
            f"{plural(info.schedules, 'schedule')}, {plural(info.active_runs, 'active run')}, {info.total_runs:,} total",
        )
        facts.fact("since", full(info.registered_at, zone))
        facts.fact("file", info.path).fact("checksum", info.checksum[:16])
        alias_facts(facts, self._aliases(info.workflow), zone)
        migration_facts(facts, self.texts.edges.get(info.workflow, ()), info.version)
        text = self.texts.known.get(version.id)
        if text is not None:
            facts.heading("Definition").block(highlight_yaml(text, palette_for(self.app.theme)))
        return facts

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "version":
            return self.commands.allows(str(parameters[0]))
        if action == "diff":
            return self.current is not None and self.commands.pair() is not None
        return True

    def action_version(self, command: str) -> None:
        self.commands.start(command)

    @work(group="action")
    async def action_diff(self) -> None:
        if self._compared is not None:
            self._compared = None
        elif (pair := self.commands.pair()) is not None:
            old, new = pair
            if old.info.workflow != new.info.workflow:
                self.notify("Mark two versions of the same workflow.", markup=False)
                return
            texts = [await self.texts.read(row) for row in pair]
            numbers = [row.info.version for row in pair]
            self._difference = await self.console.perform(
                self.port.diff_versions(new.info.workflow, *numbers), ""
            )
            self._compared = pair if None not in texts and self._difference is not None else None
        self._explain(to_top=True)

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
