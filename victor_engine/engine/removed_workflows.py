"""Workflows that were removed from the files of a workspace. Their schedules are disabled until they return."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from victor_engine.api import ProblemInfo
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import VictorError
from victor_engine.loading.pieces import Problem
from victor_engine.scheduling import schedule_commands, stored_schedules
from victor_engine.scheduling.declarations import file_schedule_id
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries import declared

log = logging.getLogger(__name__)

LARGEST = 1 << 20
"""Maximum bytes of a file with errors in which the name of a workflow is searched."""


class UncertainRemovalError(Exception):
    """A file or directory cannot be read, so it is unknown whether a workflow still exists."""


@dataclass(frozen=True, slots=True)
class RemovedWorkflow:
    """A removed workflow, with the reason and its former file."""

    workflow: str
    note: str
    path: Path


@dataclass(slots=True)
class Plan:
    """The schedules to disable and to enable; False if there are none."""

    removed: list[RemovedWorkflow] = field(default_factory=list)
    restored: list[tuple[str, str]] = field(default_factory=list)  # workflow and schedule
    problems: list[Problem] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.removed or self.restored)


class Search:
    """The search for workflows in the files with errors of a workspace. Each file is read once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._texts: list[tuple[Path, str | None]] | None = None

    def may_be_in(self, workflow: str) -> Path | None:
        """Return a file with errors that may contain a workflow, or None."""
        if self._texts is None:
            held = self.workspace.held
            self._texts = [
                (path, None if path in held else _text(path))
                for path in sorted(self.workspace.files_with_errors)
            ]
        return next((path for path, text in self._texts if text is None or workflow in text), None)


def _text(path: Path) -> str | None:
    """Return the text of a file; None if it cannot be read or is too large to search."""
    try:
        return path.read_text("utf-8", errors="replace") if path.stat().st_size <= LARGEST else None
    except OSError:
        return None


def find(connection: sqlite3.Connection, search: Search, names: AbstractSet[str]) -> Plan:
    """Return the schedules to disable, of removed workflows, and to enable, of workflows that returned.

    `names` are the loaded workflows. Workflows that were never in a file, or that may be in a file or directory
    that cannot be read, are ignored.
    """
    plan = Plan()
    armed, disabled = _known(connection)
    for workflow, ids in disabled.items():
        # The schedule that a file declares returns with its block.
        own = file_schedule_id(workflow)
        if workflow in names:
            plan.restored += [(workflow, schedule) for schedule in ids if schedule != own]
    for workflow, paths in armed.items():
        if workflow in names:
            continue
        try:
            plan.removed.append(RemovedWorkflow(workflow, _why_gone(search, workflow, paths), paths[0]))
        except UncertainRemovalError as error:
            message = f"workflow {workflow} may have been removed: {error}. Its schedules do not change"
            problem = ProblemInfo(severity="error", message=message, path=str(paths[0]))
            plan.problems.append((workflow, problem))
    return plan


def lock(tx: Tx, plan: Plan) -> None:
    """Lock the schedules that `apply` changes."""
    names = {each.workflow for each in plan.removed}
    found = (
        {row.id for row in stored_schedules.all_rows(tx) if row.workflow in names} if names else set[str]()
    )
    for schedule in sorted(found | {schedule for _, schedule in plan.restored}):
        tx.lock(Root.SCHEDULE, schedule)


def apply(tx: Tx, plan: Plan) -> list[Problem]:
    """Disable and enable schedules; return errors and warnings about them."""
    problems: list[Problem] = []
    for workflow, schedule in plan.restored:
        try:
            schedule_commands.restore(tx, stored_schedules.get(tx, schedule, removed=True))
        except VictorError as error:
            message = f"schedule {schedule} of {workflow} stays disabled: {error.message}"
            problems.append((workflow, ProblemInfo(severity="error", message=message)))
    if not plan.removed:
        return problems
    known = stored_schedules.all_rows(tx)
    for removed in plan.removed:
        found = [row for row in known if row.workflow == removed.workflow]
        for row in found:
            schedule_commands.vanish(tx, row, removed.note)
        message = f"{removed.note}; its {len(found)} schedules are disabled until the workflow returns"
        log.warning("%s", message)
        problems.append(
            (removed.workflow, ProblemInfo(severity="warning", message=message, path=str(removed.path)))
        )
    return problems


def _known(connection: sqlite3.Connection) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Return the files of workflows with schedules, and the disabled schedules, both by workflow."""
    armed = {
        workflow: [Path(path) for path in paths]
        for workflow, paths in declared.files_with_schedules(connection).items()
    }
    return armed, declared.vanished_schedules(connection)


def _why_gone(search: Search, workflow: str, paths: list[Path]) -> str:
    """Return why a workflow counts as removed. Raise UncertainRemovalError if it may still exist."""
    workspace, config = search.workspace, search.workspace.config
    configured = config.workspace / "victor.yaml" in config.files
    if not configured and not workspace.files:
        raise UncertainRemovalError(f"{config.workspace} has neither a victor.yaml nor a workflow file")
    suspect = search.may_be_in(workflow)
    if suspect is not None:
        raise UncertainRemovalError(f"{suspect} has errors")
    renamed: list[Path] = []
    for path in paths:
        _check_folders(path, config.workspace)
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise UncertainRemovalError(f"{path} is a link to a file that does not exist") from None
            continue
        except OSError as error:
            raise UncertainRemovalError(f"{path}: {error.strerror or error}") from error
        if path in workspace.files:
            renamed.append(path)
            continue
        if not stat.S_ISREG(mode):
            raise UncertainRemovalError(f"{path} is not a regular file")
        if not configured:
            raise UncertainRemovalError(f"{config.workspace} has no victor.yaml that lists {path}")
    if renamed:
        return f"{renamed[0]} does not contain workflow {workflow} any more"
    return (
        f"{paths[0]}, the file of workflow {workflow}, was removed or is not listed in victor.yaml any more"
    )


def _check_folders(path: Path, root: Path) -> None:
    """Raise UncertainRemovalError if a folder between the workspace and one of its files cannot be listed."""
    for folder in path.parents:
        if not folder.is_relative_to(root):
            return
        try:
            os.scandir(folder).close()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UncertainRemovalError(f"{folder}: {error.strerror or error}") from error
