"""The load of a workspace: its configuration, its workflow files, and their errors and warnings."""

from __future__ import annotations

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.config.yaml_locations import place_from_text
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import VictorError
from victor_engine.loading.loader import Loader, Order
from victor_engine.notify.sender import INSTALL, installed


async def load_workspace(loader: Loader, order: Order) -> Workspace:
    """Read all files of a workspace. Execute and import nothing from it unless it is trusted."""
    found = await loader.load(order)
    config = found.config
    workspace = Workspace(
        config,
        found.bindings,
        found.functions,
        found.calendars,
        found.judgement,
        workflows=found.workflows,
        assignees=found.assignees,
        files=found.files,
        files_with_errors=found.files_with_errors,
        settings=found.settings,
    )
    for problem in config.warnings:
        workspace.add(problem)
    for error in found.calendar_errors:
        workspace.add(_calendar_problem(error, config))
    if config.notify and not installed():
        workspace.add(_unsendable(config))
    for workflow, problem in found.problems:
        workspace.add(problem, workflow)
    return workspace


def _calendar_problem(error: VictorError, config: Config) -> ProblemInfo:
    """Return the error of a calendar that cannot be read, with its location."""
    detail = error.details
    return ProblemInfo(
        severity="error",
        message=str(detail.get("problem") or error.message),
        path=str(detail.get("path") or config.workspace / "victor.yaml"),
        line=int(detail.get("line") or 0),
        column=int(detail.get("column") or 0),
        remedy=str(detail.get("remedy") or ""),
    )


def _unsendable(config: Config) -> ProblemInfo:
    """Return an error for notification rules without Apprise."""
    path, line, column = place_from_text(config.notify[0].place)
    message = (
        f"notify has {len(config.notify)} rules, but Apprise, which sends notifications, is not installed"
    )
    return ProblemInfo(
        severity="error",
        message=message,
        path=path,
        line=line,
        column=column,
        remedy=f"Install it: {INSTALL}",
    )
