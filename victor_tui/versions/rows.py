"""The rows of the Versions screen: workflows with their versions, folded or unfolded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from victor_engine.api import FilesInfo, Port, ProblemInfo, VersionInfo, WorkflowInfo
from victor_tui.filter_language import Filter, has_words
from victor_tui.text import relative
from victor_tui.versions.facts import status_of
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.table import LineTable

UNFOLDED_AT_FIRST = 100
"""Maximum number of versions up to which all workflows are unfolded. Above it, versions are loaded on
unfolding."""

EMPTY = """No workflow is registered.

Put a workflow file into workflows/ of the workspace and press F5."""

EMPTY_FILTER = "No version matches the filter.\n\n/  change the filter"


@dataclass(frozen=True)
class VersionRow:
    """One version, with the facts of its workflow."""

    info: VersionInfo
    description: str
    problems: tuple[ProblemInfo, ...]
    first: bool
    last: bool
    folded: int = 0  # number of hidden versions
    files: str = ""  # the state of the files of the workflow, if they differ from its current version

    @property
    def id(self) -> tuple[str, str]:
        return self.info.workflow, self.info.version


def version_rows(workflows: list[WorkflowInfo], unfolded: Collection[str] | None = None) -> list[VersionRow]:
    """Return workflows by name with their versions, newest first. A folded workflow has only its current version.

    `unfolded` has the names of unfolded workflows; None unfolds all.
    """
    rows = []
    for workflow in sorted(workflows, key=lambda w: w.name):
        versions = workflow.versions
        if unfolded is not None and workflow.name not in unfolded and len(versions) > 1:
            versions = (next((v for v in versions if v.current), versions[0]),)
        folded = max(workflow.version_count, len(workflow.versions)) - len(versions)
        end = len(versions) - 1
        for index, info in enumerate(versions):
            first = index == 0
            rows.append(
                VersionRow(info, workflow.description, workflow.problems, first, index == end, folded)
            )
    return rows


def matching(workflows: Iterable[WorkflowInfo], wanted: Filter) -> list[WorkflowInfo]:
    """Return the workflows with a version that matches the filter, each with these versions only."""
    found = []
    for workflow in workflows:
        versions = tuple(each for each in workflow.versions if _matches(each, workflow.description, wanted))
        if versions:
            found.append(msgspec.structs.replace(workflow, versions=versions))
    return found


def _matches(info: VersionInfo, description: str, wanted: Filter) -> bool:
    text = f"{info.workflow} {info.version} {status_of(info)[0]} {' '.join(info.aliases)} {description}"
    return (
        (wanted.workflow or "").lower() in info.workflow.lower()
        and info.version.startswith(wanted.version or "")
        and has_words(wanted, text)
    )


def with_files(rows: list[VersionRow], files: FilesInfo | None) -> list[VersionRow]:
    """Return the rows; that of a current version has the state of the files if they differ."""
    states = {each.workflow: each.state for each in files.workflows} if files is not None else {}
    return [
        replace(row, files=states[row.info.workflow])
        if row.info.current and row.info.workflow in states
        else row
        for row in rows
    ]


def status_cell(row: VersionRow, now: datetime) -> Cell:
    if row.first and any(problem.severity == "error" for problem in row.problems):
        return "✗ error", "bad"
    if row.files:
        return f"≠ {row.files}", "warn"
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
                live=True,
            ),
        ],
        key=lambda row: row.id,
        now=now,
        empty=EMPTY,
        id="versions",
    )


class VersionTree:
    """The unfolded workflows. If there are many versions, only unfolded workflows are loaded completely."""

    def __init__(self) -> None:
        self._unfolded: set[str] | None = None  # None: all
        self._complete: dict[str, WorkflowInfo] = {}  # workflows with all versions

    async def load(self, port: Port) -> list[WorkflowInfo]:
        """Load all workflows, with all versions if there are few, else with the current version."""
        heads = await port.workflows(shown="heads")
        if sum(workflow.version_count for workflow in heads) <= UNFOLDED_AT_FIRST:
            return await port.workflows()
        self._complete = {
            name: found for name in self._unfolded or () for found in await port.workflows(name)
        }
        return heads

    def rows(self, workflows: list[WorkflowInfo], wanted: Filter) -> list[VersionRow]:
        """Return the rows of the loaded workflows that match the filter."""
        if self._unfolded is None and sum(w.version_count for w in workflows) > UNFOLDED_AT_FIRST:
            self._unfolded = set()
        known = [self._complete.get(workflow.name, workflow) for workflow in workflows]
        return version_rows(matching(known, wanted), self._unfolded)

    def fold(self, name: str, folded: bool, workflows: list[WorkflowInfo]) -> bool:
        """Fold or unfold a workflow. Return whether its other versions must be loaded."""
        if self._unfolded is None:
            self._unfolded = {workflow.name for workflow in workflows}
        self._unfolded = self._unfolded - {name} if folded else self._unfolded | {name}
        return not folded and any(w.name == name and len(w.versions) < w.version_count for w in workflows)

    def add(self, workflows: Iterable[WorkflowInfo]) -> None:
        """Add workflows that were loaded with all versions."""
        self._complete |= {workflow.name: workflow for workflow in workflows}
