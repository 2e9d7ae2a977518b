"""The rows of the Versions screen: workflows, each with its versions, folded or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from victor_engine.api import Port, ProblemInfo, VersionInfo, WorkflowInfo
from victor_tui.text import relative
from victor_tui.versions.facts import status_of
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.table import LineTable

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


def versions_table(now: Callable[[], datetime]) -> LineTable[VersionRow]:
    """Return the table of the versions."""
    return LineTable[VersionRow](
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
        now=now,
        empty=EMPTY,
        id="versions",
    )


class VersionTree:
    """Which workflows show all of their versions. Where there are many, only these are loaded whole."""

    def __init__(self) -> None:
        self._unfolded: set[str] | None = None  # None: all, as long as they are few
        self._whole: dict[str, WorkflowInfo] = {}  # with all versions, where the snapshot has only one

    async def load(self, port: Port) -> list[WorkflowInfo]:
        """Load every workflow, with all versions where they are few or unfolded, else with the current one."""
        heads = await port.workflows(shown="heads")
        if sum(workflow.version_count for workflow in heads) <= UNFOLDED_AT_FIRST:
            return await port.workflows()
        self._whole = {name: found for name in self._unfolded or () for found in await port.workflows(name)}
        return heads

    def rows(self, workflows: list[WorkflowInfo]) -> list[VersionRow]:
        """Return the rows for the workflows that were loaded."""
        if self._unfolded is None and sum(w.version_count for w in workflows) > UNFOLDED_AT_FIRST:
            self._unfolded = set()
        known = [self._whole.get(workflow.name, workflow) for workflow in workflows]
        return version_rows(known, self._unfolded)

    def fold(self, name: str, folded: bool, workflows: list[WorkflowInfo]) -> bool:
        """Show one version of a workflow, or all. Return whether the others have yet to be loaded."""
        if self._unfolded is None:
            self._unfolded = {workflow.name for workflow in workflows}
        self._unfolded = self._unfolded - {name} if folded else self._unfolded | {name}
        return not folded and any(w.name == name and len(w.versions) < w.version_count for w in workflows)

    def add(self, workflows: Iterable[WorkflowInfo]) -> None:
        """Take workflows with all of their versions."""
        self._whole |= {workflow.name: workflow for workflow in workflows}
