"""The list of the Versions screen: folded and unfolded workflows, and those that match the filter."""

from __future__ import annotations

from victor_engine.api import EngineInfo, FilesInfo, WorkflowInfo
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.filter_language import Filter
from victor_tui.text import plural
from victor_tui.versions.rows import EMPTY, EMPTY_FILTER, VersionRow, VersionTree, with_files
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable


class VersionList:
    """The rows in the table of one screen."""

    def __init__(self, screen: TableScreen) -> None:
        self._screen = screen
        self.tree = VersionTree()
        self._filter = Filter()
        self._shown_files: FilesInfo | None = None
        self._wanted: tuple[str, str | None] | None = None
        """The workflow and version to which the cursor moves when they are loaded."""

    @property
    def _table(self) -> LineTable[VersionRow]:
        found: LineTable[VersionRow] = self._screen.query_one("#versions", LineTable)
        return found

    @property
    def _workflows(self) -> list[WorkflowInfo]:
        return self._screen.snapshot("workflows") or []

    @property
    def _files(self) -> FilesInfo | None:
        engine: EngineInfo | None = self._screen.console.feed.snapshots.get("engine")
        return engine.files if engine is not None else None

    def show(self) -> None:
        """Show the rows that are loaded and match the filter."""
        workflows = self._workflows
        self._shown_files = self._files
        rows = self.tree.rows(workflows, self._filter)
        self._table.empty = EMPTY_FILTER if workflows else EMPTY
        self._table.set_rows(with_files(rows, self._shown_files), of=self._filter)
        shown = len({row.info.workflow for row in rows})
        loaded = all(len(each.versions) >= each.version_count for each in workflows)
        searched = (
            "" if loaded or self._filter == Filter() else " · only current versions of folded workflows"
        )
        self._screen.query_one(FilterBar).note(f"{shown:,} of {plural(len(workflows), 'workflow')}{searched}")
        if self._wanted is not None:
            self._reveal(*self._wanted)

    def show_files(self) -> None:
        """Show the rows again if the state of the files has changed."""
        if self._files != self._shown_files:
            self.show()

    def set_filter(self, wanted: Filter) -> None:
        """Show only the versions that match a filter."""
        self._filter = wanted
        if self._screen.snapshot("workflows") is not None:
            self.show()

    def show_only(self, workflow: str, version: str | None) -> None:
        """Show only a workflow, with the cursor on a version."""
        self._wanted = workflow, version
        self._screen.show_filter(f"workflow:{workflow}")
        if self._screen.is_mounted and self._screen.snapshot("workflows") is not None:
            self.show()

    def _reveal(self, workflow: str, version: str | None) -> None:
        """Move the cursor to the wanted row. Load the versions of its workflow if it is not listed yet."""
        rows = [row for row in self._table.rows if row.info.workflow == workflow]
        found = [row for row in rows if version in (None, row.info.version)]
        if found:
            self._wanted = None
            self._table.select(found[0].id)
        elif rows and self.tree.fold(workflow, False, self._workflows):
            self._screen.run_worker(self._load(workflow), group="versions")

    def fold(self, row: VersionRow, folded: bool) -> None:
        """Fold or unfold a workflow."""
        name = row.info.workflow
        if self.tree.fold(name, folded, self._workflows):
            self._screen.run_worker(self._load(name), group="versions")
        self.show()
        if not self._table.select(row.id):
            heads = [found.id for found in self._table.rows if found.info.workflow == name]
            self._table.select(heads[0]) if heads else None

    async def _load(self, name: str) -> None:
        """Load the other versions of an unfolded workflow."""
        try:
            found = await self._screen.port.workflows(name)
        except VictorError as error:
            self._screen.console.report(error)
            return
        self.tree.add(found)
        self.show()
