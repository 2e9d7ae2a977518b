"""Workflows that are gone from the files of a workspace: their schedules are disabled until they are back."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.engine.loaded import Workspace
from victor_engine.errors import VictorError
from victor_engine.scheduler import operations, rows
from victor_engine.scheduler.declare import file_schedule_id
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import declared

log = logging.getLogger(__name__)

LARGEST = 1 << 20
"""Bytes of a file with errors in which the name of a workflow is looked for."""


class CannotTellError(Exception):
    """Something cannot be read, so that a workflow may still be there."""


async def follow(store: Store, workspace: Workspace, names: set[str]) -> None:
    """Disable the schedules of workflows that are gone, and enable those of workflows that are back.

    `names` are the workflows that were loaded. A workflow that was never in a file is left alone, and so is
    one that may be in a file or directory that cannot be read.
    """
    armed, disabled = await store.read(_known)
    for workflow, ids in disabled.items():
        # The schedule that a file declares comes back with its block.
        own = file_schedule_id(workflow)
        for schedule in [found for found in ids if found != own] if workflow in names else []:
            await _enable(store, workspace, workflow, schedule)
    for workflow, paths in armed.items():
        if workflow in names:
            continue
        try:
            note = _why_gone(workspace, workflow, paths)
        except CannotTellError as error:
            message = f"workflow {workflow} cannot be looked for: {error}. Its schedules stay as they are"
            workspace.add(ProblemInfo(severity="error", message=message, path=str(paths[0])), workflow)
            continue
        await _disable(store, workspace, workflow, note, paths[0])


def _known(connection: Any) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Return the files of workflows with schedules, where all are from files; and schedules that are disabled."""
    armed = {
        workflow: [Path(path) for path in paths]
        for workflow, paths in declared.files_with_schedules(connection).items()
    }
    return armed, declared.vanished_schedules(connection)


def _why_gone(workspace: Workspace, workflow: str, paths: list[Path]) -> str:
    """Return the reason why a workflow is gone. Raise CannotTellError if it may still be there."""
    config = workspace.config
    configured = config.workspace / "victor.yaml" in config.files
    if not configured and not workspace.files:
        raise CannotTellError(f"{config.workspace} has neither a victor.yaml nor a workflow file")
    suspect = may_be_in(workspace, workflow)
    if suspect is not None:
        raise CannotTellError(f"{suspect} has errors")
    renamed: list[Path] = []
    for path in paths:
        _check_folders(path, config.workspace)
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise CannotTellError(f"{path} is a link to a file that does not exist") from None
            continue
        except OSError as error:
            raise CannotTellError(f"{path}: {error.strerror or error}") from error
        if path in workspace.files:
            renamed.append(path)
            continue
        if not stat.S_ISREG(mode):
            raise CannotTellError(f"{path} is not a regular file")
        if not configured:
            raise CannotTellError(f"{config.workspace} has no victor.yaml that names {path}")
    if renamed:
        return f"{renamed[0]} holds no workflow {workflow} any more"
    return f"{paths[0]}, the file of workflow {workflow}, is gone or is not named by victor.yaml any more"


def may_be_in(workspace: Workspace, workflow: str) -> Path | None:
    """Return a file with errors that may hold a workflow, if there is one."""
    for path in sorted(workspace.faulty):
        try:
            if path.stat().st_size > LARGEST or workflow in path.read_text("utf-8", errors="replace"):
                return path
        except OSError:
            return path
    return None


def _check_folders(path: Path, root: Path) -> None:
    """Raise CannotTellError if a folder between the workspace and one of its files cannot be listed."""
    for folder in path.parents:
        if not folder.is_relative_to(root):
            return
        try:
            os.scandir(folder).close()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise CannotTellError(f"{folder}: {error.strerror or error}") from error


async def _disable(store: Store, workspace: Workspace, workflow: str, note: str, path: Path) -> None:
    def transition(tx: Tx) -> int:
        found = [row for row in rows.all_rows(tx) if row.workflow == workflow]
        for row in found:
            operations.vanish(tx, row, note)
        return len(found)

    count = await store.write(transition)
    message = f"{note}; its schedules are disabled ({count}), and come back with it as they were"
    log.warning("%s", message)
    workspace.add(ProblemInfo(severity="warning", message=message, path=str(path)), workflow)


async def _enable(store: Store, workspace: Workspace, workflow: str, schedule: str) -> None:
    try:
        await store.write(lambda tx: operations.come_back(tx, rows.get(tx, schedule, removed=True)))
    except VictorError as error:
        message = f"schedule {schedule} of {workflow} stays disabled: {error.message}"
        workspace.add(ProblemInfo(severity="error", message=message), workflow)
